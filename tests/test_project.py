"""The project's own files: what is locked is safe and complete, and documents tell the truth."""

import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text()
NEEDED = ("dev", "docs", "tables", "train")
"""The extras that are locked."""

LOCKED = dict(re.findall(r"^([a-z0-9._-]+)==([^ \\\\]+)", LOCK, re.MULTILINE))


def release(text):
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


def test_pillow_is_locked_and_installed_without_the_decoder_bugs_of_version_12():
    assert release(LOCKED["pillow"]) >= (13, 0)
    assert release(version("pillow")) >= (13, 0)


def test_every_requirement_is_locked_with_hashes():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = project["dependencies"] + [line for name in NEEDED for line in extras[name]]
    names = {re.split(r"[<>=\[]", line)[0].lower().replace("_", "-") for line in wanted}
    assert names - LOCKED.keys() == {project["name"]}  # which dev takes other extras by
    assert f"{project['name']}[{','.join(NEEDED[1:])}]" in extras["dev"]
    pins = re.split(r"^(?=[a-z0-9._-]+==)", LOCK, flags=re.MULTILINE)[1:]
    assert [pin.split()[0] for pin in pins if "--hash=sha256:" not in pin] == []


def test_files_that_lie_beside_the_code_are_installed_with_it():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    package = ROOT / "flax_glitch"
    code = (".py", ".pyc")
    files = {path for path in package.rglob("*.*") if path.is_file() and path.suffix not in code}
    listed = setuptools["package-data"][package.name]
    assert files == {path for pattern in listed for path in package.glob(pattern)}


def test_nothing_is_imported_that_windows_lacks():
    lacked = {"fcntl", "grp", "pwd", "resource", "termios"}
    for path in (ROOT / "flax_glitch").rglob("*.py"):
        imports = re.findall(r"^\s*(?:import|from) (\w+)", path.read_text(), re.MULTILINE)
        assert not lacked & set(imports), path


def test_tensorflow_is_no_requirement():
    assert "tensorflow" not in LOCKED


def test_the_lock_names_no_host():
    assert "://" not in LOCK


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_files_that_documents_point_to_exist(name):
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / name).read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []


SCRIPT = """
from flax_glitch import Predictor

prediction = Predictor("checkpoints/fast").predict(["H1_abc_spectrogram_1.0.png"])
reveal_type(prediction)
reveal_type(prediction.label)
reveal_type(prediction.confidence)
reveal_type(prediction.top(3))
print(prediction.to_frame())
prediction.labels
"""
REVEALED = ["flax_glitch.predict.verdicts.Prediction", "str", "float", "list[tuple[str, float]]"]


def test_a_users_script_is_checked_against_our_types_and_its_error_is_found(tmp_path):
    # A user's environment: the package lies in it, as PEP 561 wants it.
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    (folder,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (folder / "here.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n")
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "mypy", "--python-executable", python, "script.py"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
    found = re.findall(r'Revealed type is "(.*)"', said.replace("builtins.", ""))
    assert found == REVEALED, said
    assert 'script.py:10: error: "Prediction" has no attribute "labels"' in said
    assert "Found 1 error in 1 file" in said
