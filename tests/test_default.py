"""The models in the box: whole, small, and right where everybody looks first."""

import pytest
from sklearn.datasets import load_sample_images

from flax_glitch.checkpoint import read_description
from flax_glitch.checkpoint.model import DEFAULT
from flax_glitch.predict.predictor import Predictor
from flax_glitch.strain.files import read_strain
from flax_glitch.strain.picture import scan

SIZES = {"default": 40e6, "fast": 3e6}
"""Bytes that each may have at most."""


@pytest.fixture(scope="module", params=SIZES)
def folder(request):
    return DEFAULT.with_name(request.param)


@pytest.fixture(scope="module")
def model(folder):
    return Predictor.from_checkpoint(folder)


def test_it_is_small_calibrated_and_says_what_it_was_trained_on(folder):
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert size < SIZES[folder.name]
    described = read_description(folder)
    assert [part.n > 100 for part in described.calibration] == [True] * 4
    card = (folder / "MODEL_CARD.md").read_text()
    assert described.sha256 in card and "On real glitches that it had not seen" in card


def test_a_photograph_is_unlike_anything_in_training(model):
    for picture in load_sample_images().images:
        assert model.predict(picture).unlike


@pytest.mark.parametrize("detector", ["H", "L"])
def test_gw150914_is_a_chirp_at_both_detectors(model, shared_data, detector):
    (path,) = (shared_data / "strain").glob(f"{detector}-*.hdf5")
    (verdict,) = model.classify_scans([scan(read_strain(path), 1126259462.4)])
    assert verdict.label == "Chirp"
    assert verdict.confidence > 0.9
    assert verdict.classes(0.9) == ("Chirp",)
    assert not verdict.unlike
