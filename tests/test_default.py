"""The models in the box: whole, small, and right where everybody looks first."""

from fractions import Fraction

import h5py
import numpy as np
import pytest
from gwosc_server import write_strain
from scipy.signal import resample_poly
from sklearn.datasets import load_sample_images

from flax_glitch.box import find_model
from flax_glitch.checkpoint import read_description
from flax_glitch.events.find import find
from flax_glitch.events.question import Question
from flax_glitch.predict.predictor import Predictor
from flax_glitch.strain.files import read_strain
from flax_glitch.strain.picture import scan

SIZES = {"default": 40e6, "fast": 3e6}
"""Bytes that each may have at most."""


@pytest.fixture(scope="module", params=SIZES)
def folder(request):
    return find_model(request.param)


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


def written(kind, strain, folder):
    """Writes strain of H1 as one of the kinds that it comes in; returns its file or folder."""
    values, start, path = strain.values, int(strain.start), folder / f"H1.{kind}"
    match kind:
        case "gwpy.h5" | "pycbc.hdf":
            pairs = ("x0", "dx") if kind == "gwpy.h5" else ("start_time", "delta_t")
            with h5py.File(path, "w") as file:
                for name, one in (("H1:GDS-CALIB_STRAIN", values), ("H1:INJ-STRAIN", values[::-1])):
                    file[name] = one
                    file[name].attrs.update(zip(pairs, (float(start), 1 / 4096), strict=True))
        case "txt.gz":
            path = folder / f"H-H1_LOSC_4_V2-{start}-32.txt.gz"
            np.savetxt(path, values)
        case "2048.hdf5" | "10007.hdf5" | "65536.hdf5":
            rate = int(kind.split(".")[0])
            ratio = Fraction(rate, 4096)
            other = resample_poly(values, ratio.numerator, ratio.denominator, padtype="line")
            write_strain(path, other[: 32 * rate], start, rate=rate)
        case "int32.hdf5":
            write_strain(path, np.round(values * 1e26).astype(np.int32), start)
        case "folder":
            path.mkdir()
            for place in range(0, 32, 4):
                part = values[place * 4096 : (place + 4) * 4096]
                write_strain(path / f"H-H1_X-{start + place}-4.hdf5", part, start + place)
    return path


KINDS = ["gwpy.h5", "pycbc.hdf", "txt.gz", "int32.hdf5", "folder"]


@pytest.mark.parametrize("kind", [*KINDS, "2048.hdf5", "10007.hdf5", "65536.hdf5"])
def test_gw150914_gets_one_verdict_in_whatever_file_it_comes(model, shared_data, tmp_path, kind):
    (path,) = (shared_data / "strain").glob("H-*.hdf5")
    strain, gps = read_strain(path), 1126259462.4
    found = find(Question(gps=gps, strain=str(written(kind, strain, tmp_path))))
    verdict, expected = model.predict(found.read("H1", gps), gps), model.predict(strain, gps)
    np.testing.assert_allclose(verdict.probabilities, expected.probabilities, atol=0.01)


@pytest.mark.parametrize("detector", ["H", "L"])
def test_gw150914_is_a_chirp_at_both_detectors(model, shared_data, detector):
    (path,) = (shared_data / "strain").glob(f"{detector}-*.hdf5")
    (verdict,) = model.classify_scans([scan(read_strain(path), 1126259462.4)])
    assert verdict.label == "Chirp"
    assert verdict.confidence > 0.9
    assert verdict.classes(0.9) == ("Chirp",)
    assert not verdict.unlike
