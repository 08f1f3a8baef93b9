"""What is in the box is whole, right, and in the wheel too."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from flax_glitch.box import SAMPLES, copy_samples, find_model, holds
from flax_glitch.predict.predictor import Predictor
from flax_glitch.strain.files import read_strain

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel, built from the sdist, and that."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", out]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, sdist


def test_the_wheel_has_model_pictures_and_strain_in_5_megabytes(built):
    wheel, _ = built
    assert wheel.stat().st_size <= 5_000_000
    with zipfile.ZipFile(wheel) as file:
        inside = {name.removeprefix("flax_glitch/box/"): name for name in file.namelist()}
        for path in find_model("fast").rglob("*"):
            name = f"fast/{path.relative_to(find_model('fast')).as_posix()}"
            assert path.is_dir() or file.read(inside[name]) == path.read_bytes()
        for path in SAMPLES.rglob("*.*"):
            assert f"samples/{path.relative_to(SAMPLES).as_posix()}" in inside
        assert {"flax_glitch/py.typed", "flax_glitch/app/style.css"} <= set(file.namelist())
        (metadata,) = (name for name in file.namelist() if name.endswith("/METADATA"))
        readme = file.read(metadata).decode().split("\n\n", 1)[1]
    assert "# flax_glitch" in readme
    assert "](docs/" not in readme and "](checkpoints/" not in readme


def test_the_sdist_has_the_tests_with_their_helpers_and_both_models(built):
    _, sdist = built
    with tarfile.open(sdist) as file:
        inside = {name.partition("/")[2] for name in file.getnames()}
    wanted = ["tests/*.py", "benchmarks/*", "docs/**/*.*", "checkpoints/*/model.json"]
    for path in (path for pattern in wanted for path in ROOT.glob(pattern)):
        name = path.relative_to(ROOT).as_posix()
        ours = name.split("/")[0] != "checkpoints" or name.split("/")[1] in ("default", "fast")
        assert path.is_dir() or not ours or name in inside
    assert {"train_flax.py", "app_gradio.py", "Makefile", "requirements.lock"} <= inside


@pytest.mark.parametrize("name", [None, "fast"])
def test_the_samples_are_what_their_folders_say(name, tmp_path):
    copied = copy_samples(tmp_path)
    assert [path.read_bytes() for path in copied[:1]] == [
        (SAMPLES / copied[0].relative_to(tmp_path)).read_bytes()
    ]
    predictor = Predictor(name)
    for label in ("Koi_Fish", "Scattered_Light", "Whistle"):
        windows = sorted((tmp_path / label).iterdir())
        said = predictor.predict(windows)
        assert (said.label, len(windows), said.unlike) == (label, 4, False)
        assert said.confidence > 0.8
    assert {read_strain(path).detector for path in tmp_path.glob("*.hdf5")} == {"H1", "L1"}


def test_evaluations_are_not_written_into_the_box(monkeypatch, tmp_path):
    assert holds(find_model("fast")) and not holds(tmp_path)
