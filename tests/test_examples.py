"""The app's examples: a picture of each class, simulated once."""

from pathlib import Path

import numpy as np
import pytest
from toy_pictures import toy_simulation

from flax_glitch.app import examples
from flax_glitch.classes import CLASSES
from flax_glitch.data.pictures import load_picture
from flax_glitch.simulate import catalogue
from flax_glitch.strain.picture import spectrogram


@pytest.fixture
def simulated(monkeypatch):
    """The glitches simulated, toys."""
    made = []

    def simulate(label, rng):
        made.append(toy_simulation(label, rng))
        return made[-1]

    monkeypatch.setattr(catalogue, "simulate", simulate)
    return made


def test_each_class_has_a_picture_in_its_window_and_is_simulated_once(tmp_path, simulated):
    found = examples.pictures(CLASSES, tmp_path / "spare", tmp_path / "cache")
    assert tuple(found) == CLASSES
    assert len(simulated) == 22
    energies = {glitch.label: glitch.energies for glitch in simulated}
    for name, view in (("Blip", 0), ("Whistle", 1), ("Scratchy", 2), ("Scattered_Light", 3)):
        np.testing.assert_array_equal(found[name][1:, 1:], spectrogram(energies[name][view]))
    again = examples.pictures(CLASSES, tmp_path / "spare", tmp_path / "cache")
    assert len(simulated) == 22
    np.testing.assert_array_equal(again["Blip"], found["Blip"])
    assert not (tmp_path / "spare").exists()


def test_two_apps_that_start_at_once_share_the_cache(tmp_path, simulated, monkeypatch):
    make, other = Path.mkdir, []

    def overtaken(path, *arguments, **named):
        make(path, *arguments, **named)
        if path.parent == tmp_path / "cache" and not other:
            other.append(None)
            other[0] = examples.pictures(CLASSES, tmp_path / "spare", tmp_path / "cache")

    monkeypatch.setattr(Path, "mkdir", overtaken)
    found = examples.pictures(CLASSES, tmp_path / "spare", tmp_path / "cache")
    assert not (tmp_path / "spare").exists()
    for name in CLASSES:
        np.testing.assert_array_equal(found[name], other[0][name])


def test_a_cache_that_cannot_be_written_does_not_keep_the_app_from_starting(tmp_path, simulated):
    (tmp_path / "file").touch()
    found = examples.pictures(CLASSES, tmp_path / "spare", tmp_path / "file")
    assert tuple(found) == CLASSES


def test_a_file_that_was_swept_away_is_written_again(tmp_path, simulated):
    pictures = examples.pictures(CLASSES, tmp_path / "spare", tmp_path)
    for path, caption in examples.files(pictures, tmp_path / "served"):
        if caption == "Koi Fish":
            path.unlink()
    found = {caption: path for path, caption in examples.files(pictures, tmp_path / "served")}
    assert len(found) == 8
    loaded = load_picture(found["Koi Fish"])
    assert loaded.geometry == "kaggle"
    np.testing.assert_array_equal(loaded.pixels, pictures["Koi_Fish"][1:, 1:])
