"""Where a network looked: inside of glitches whose place is known, for every kind of model."""

import numpy as np
import pytest
from flax import nnx

from flax_glitch.classes import CLASSES
from flax_glitch.data.pictures import resize
from flax_glitch.models.classifier import build
from flax_glitch.models.systems import MODELS, settings
from flax_glitch.predict.explain import confused_with, overlay, saliency
from flax_glitch.predict.predictor import Predictor
from flax_glitch.simulate.glitches import scan_simulated
from flax_glitch.strain.picture import VIRIDIS, spectrogram

QUICK = ("ann", "compact", "gravityspy-cnn")
"""Models that take seconds; the last one sees all windows as one picture."""


@pytest.fixture(scope="module")
def predictor():
    return Predictor("fast")


@pytest.fixture(scope="module")
def blip(predictor):
    """The four windows of a simulated Blip."""
    energies = scan_simulated("Blip", np.random.default_rng(5)).energies
    return [resize(spectrogram(one), *predictor.preprocessing.shape) for one in energies]


def made_of(**attributes):
    """A predictor that has these attributes alone."""
    predictor = object.__new__(Predictor)
    vars(predictor).update(attributes)
    return predictor


def untrained(name):
    """What `saliency` needs of a predictor, with random weights."""
    config = settings("quick", name)
    classes = CLASSES[:4]
    model = build(config.model, config.preprocessing, len(classes), rngs=nnx.Rngs(0))
    graphdef, state = nnx.split(model)
    return made_of(
        graphdef=graphdef,
        state=state,
        preprocessing=config.preprocessing,
        outputs=classes,
        merged=MODELS[name].merged,
    )


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in MODELS],
)
def test_every_kind_of_model_can_be_asked(name):
    model = untrained(name)
    random = np.random.default_rng(0)
    shape = (3, *model.preprocessing.shape)
    pictures = list(random.integers(0, 256, (*shape, 3), np.uint8))
    maps = saliency(model, pictures, CLASSES[2])
    assert maps.shape == shape
    assert maps.min() >= 0
    np.testing.assert_allclose(maps.max(axis=(1, 2)), 1)


def test_the_greatest_place_of_a_blip_is_in_its_teardrop(predictor, blip):
    for pixels, found in zip(blip, saliency(predictor, blip), strict=True):
        row, column = np.unravel_index(found.argmax(), found.shape)
        assert abs(column - found.shape[1] / 2) < 12
        near = pixels[max(row - 3, 0) : row + 4, column - 3 : column + 4, 1]
        assert near.max() > VIRIDIS[90, 1]
        assert found[pixels[..., 1] < VIRIDIS[40, 1]].mean() < 0.05


def test_it_is_of_the_verdict_if_no_class_is_named(predictor, blip):
    maps = saliency(predictor, blip)
    np.testing.assert_array_equal(maps, saliency(predictor, blip, "Blip"))
    assert np.abs(maps - saliency(predictor, blip, "Tomte")).max() > 0.2


def test_a_window_alone_has_the_map_that_it_has_among_others(predictor, blip):
    whole = saliency(predictor, blip, "Blip")
    for pixels, found in zip(blip, whole, strict=True):
        np.testing.assert_allclose(saliency(predictor, [pixels], "Blip")[0], found, atol=1e-4)


def test_a_picture_without_anything_in_it_has_an_empty_map(predictor):
    even = np.full((*predictor.preprocessing.shape, 3), 40, np.uint8)
    assert not saliency(predictor, [even]).any()


def test_taking_away_where_it_looked_takes_away_the_verdict(predictor, blip):
    for pixels, found in zip(blip, saliency(predictor, blip), strict=True):
        before = dict(predictor.predict(pixels).top(22))["Blip"]
        most = found > np.quantile(found, 0.9)
        gone = pixels.copy()
        gone[most] = np.median(pixels, axis=(0, 1))
        assert dict(predictor.predict(gone).top(22))["Blip"] < before / 2


def test_only_the_outline_is_white_and_only_the_rest_is_dimmed():
    picture = np.full((200, 300, 3), 100, np.uint8)
    found = np.zeros((100, 150))
    found[20:40, 30:60] = 1
    drawn = overlay(picture, found)
    assert drawn.shape == picture.shape
    assert (drawn[50:70, 70:110] == 100).all()
    assert (drawn[150:] == 45).all()  # 100 dimmed
    white = (drawn == 255).all(-1)
    assert white[30:90, 50:130].any() and not white[100:].any()
    assert overlay(picture, np.zeros((100, 150))).max() == 45


def test_what_a_class_is_mixed_up_with_is_told_by_what_was_called_so():
    rows = {"Blip": {"Blip": 50, "Tomte": 9}, "Tomte": {"Blip": 3}, "Helix": {"Blip": 1}}
    model = made_of(provenance={"confusion": rows})
    assert confused_with(model, "Blip") == (
        "Of 54 real glitches that were called Blip in tests, 3 were Tomte, 1 was Helix."
    )
    assert confused_with(model, "Helix") == ""
    assert confused_with(made_of(provenance={}), "Blip") == ""
    rows["Tomte"] = {"Tomte": 2}
    rows["Blip"] = {"Blip": 50}
    said = "All 2 real glitches that were called Tomte in tests were that."
    assert confused_with(model, "Tomte") == said


@pytest.mark.parametrize("name", ["default", "fast"])
def test_the_models_in_the_box_know_what_each_class_is_mixed_up_with(name):
    predictor = Predictor(name)
    assert all(confused_with(predictor, label) for label in predictor.classes)

    counted = sum(sum(row.values()) for row in predictor.provenance["confusion"].values())
    assert counted == predictor.calibration[0].n
