"""What carries the project elsewhere says what pyproject.toml and the lock say, and starts."""

import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
from importlib.metadata import requires
from pathlib import Path

import httpx
import pytest
import yaml
from packaging.requirements import Requirement
from PIL import Image
from toy_pictures import toy_picture

ROOT = Path(__file__).parents[1]
PACKAGING = ROOT / "packaging"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text()

CONDA_NAMES = {"matplotlib": "matplotlib-base"}
"""conda-forge's names where they aren't those of the Python index."""

# As the proxy of a Space asks, whose page another site shows in a frame.
SPACE = "someone-flax-glitch.hf.space"
FRAMED = {
    "Host": SPACE,
    "X-Forwarded-Host": SPACE,
    "X-Forwarded-Proto": "https",
    "X-Forwarded-For": "203.0.113.7",
    "Origin": f"https://{SPACE}",
    "Referer": "https://huggingface.co/",
}


def front_matter():
    return yaml.safe_load((PACKAGING / "space/README.md").read_text().split("---\n")[1])


def recipe():
    return yaml.safe_load((PACKAGING / "conda/recipe.yaml").read_text())


def core_lock():
    spec = importlib.util.spec_from_file_location("core_lock", PACKAGING / "core_lock.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def locked(name):
    return re.search(rf"^{name}==(\S+)", LOCK, re.MULTILINE)[1]


def test_the_recipe_for_conda_has_the_dependencies_of_the_package():
    python, *run = recipe()["requirements"]["run"]
    expected = [Requirement(line) for line in PROJECT["dependencies"]]
    found = [Requirement(line) for line in run]
    assert [(CONDA_NAMES.get(line.name, line.name), line.specifier) for line in expected] == [
        (line.name, line.specifier) for line in found
    ]
    assert python == "python >=${{ python_min }}"
    assert PROJECT["requires-python"] == f">={recipe()['context']['python_min']}"


def test_the_recipe_for_conda_says_what_the_package_says():
    stated = recipe()
    assert stated["context"]["version"] == PROJECT["version"]
    assert stated["about"]["summary"] == PROJECT["description"]
    assert stated["about"]["license"] == PROJECT["license"]
    commands = [f"{name} = {function}" for name, function in PROJECT["scripts"].items()]
    assert stated["build"]["python"]["entry_points"] == commands


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]


def test_the_space_has_the_locked_gradio_a_python_of_ours_and_this_version():
    stated = front_matter()
    assert stated["sdk_version"] == locked("gradio")
    assert f"Programming Language :: Python :: {stated['python_version']}" in PROJECT["classifiers"]
    assert (PACKAGING / "space" / stated["app_file"]).is_file()
    assert len(stated["short_description"]) <= 60  # more is refused
    lines = (PACKAGING / "space/requirements.txt").read_text().splitlines()
    wanted = [line for line in lines if not line.startswith("#")]
    assert wanted == [f"{PROJECT['name']}=={PROJECT['version']}"]
    assert f"/flax_glitch-{PROJECT['version']}-py3-none-any.whl" in lines[2]


def test_tests_on_github_run_on_every_python_of_ours():
    jobs = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())["jobs"]
    tested = jobs["checks"]["strategy"]["matrix"]["python"]
    ours = [line for line in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d", line)]
    assert [f"Programming Language :: Python :: {python}" for python in tested] == ours


def needed_here(lines):
    """The names of all that these requirements need on this Python, by what is installed."""
    todo, seen = [Requirement(line) for line in lines], set()
    while todo:
        wanted = todo.pop()
        if str(wanted) not in seen:
            seen.add(str(wanted))
            yield re.sub(r"[-_.]+", "-", wanted.name).lower()
            for line in map(Requirement, requires(wanted.name) or []):
                extras = [{"extra": name} for name in wanted.extras or {""}]
                if not line.marker or any(map(line.marker.evaluate, extras)):
                    todo.append(line)


def test_what_the_image_installs_is_what_the_installed_packages_need():
    module = core_lock()
    text = module.part_of(LOCK, module.core((ROOT / "pyproject.toml").read_text()))
    part = [Requirement(line.rstrip(" \\")) for line in text.splitlines() if "==" in line]
    here = {pin.name for pin in part if not pin.marker or pin.marker.evaluate()}
    needed = set(needed_here(PROJECT["dependencies"]))
    # colorama is click's on Windows alone, but the lock has it everywhere for others.
    assert needed <= here and len(here - needed) < 5
    assert text.count("--hash=sha256:") > len(part)
    assert not {"pytest", "keras", "mkdocs", "tensorflow-datasets"} & here


def test_a_package_that_is_not_locked_is_named():
    with pytest.raises(ValueError, match=r"not in requirements\.lock: nothing; run make lock"):
        core_lock().part_of(LOCK, ["jax", "nothing"])


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    """The address of the Space's app, from its own files and the package alone."""
    folder = tmp_path_factory.mktemp("space")
    shutil.copytree(PACKAGING / "space", folder, dirs_exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
        "SYSTEM": "spaces",
        "SPACE_ID": "someone/flax-glitch",
        "PYTHONPATH": str(ROOT),
    }
    process = subprocess.Popen(
        [sys.executable, front_matter()["app_file"]],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            if "flax_glitch is at" in line:
                break
        else:
            pytest.fail(f"it did not start: {''.join(said)}{process.stderr.read()}")
        yield f"http://127.0.0.1:{port}"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("left_out", ["X-Forwarded-Host", "Origin", "none"])
def test_the_page_of_a_space_can_be_shown_in_a_frame_and_asks_its_own_address(space, left_out):
    headers = {name: value for name, value in FRAMED.items() if name != left_out}
    page = httpx.get(space, headers=headers)
    assert page.status_code == 200
    assert "x-frame-options" not in page.headers
    assert "frame-ancestors" not in page.headers["content-security-policy"]
    config = httpx.get(f"{space}/config", headers=headers).json()
    assert config["root"] == f"https://{SPACE}"
    assert f"http://{SPACE}" not in page.text


def test_a_space_gives_a_verdict_through_its_proxy(space, tmp_path):
    path = tmp_path / "H1_abc_spectrogram_1.0.png"
    Image.fromarray(toy_picture("Whistle", 1.0)).save(path)
    with httpx.Client(base_url=f"{space}/gradio_api", headers=FRAMED, timeout=60) as client:
        uploaded = client.post("/upload", files={"files": (path.name, path.read_bytes())}).json()
        file = {"path": uploaded[0], "meta": {"_type": "gradio.FileData"}}
        event = client.post("/call/classify", json={"data": [file, "balanced"]}).json()["event_id"]
        answer = client.get(f"/call/classify/{event}").text
    assert "event: complete" in answer
    assert '"class"' in answer and '"confidence"' in answer
