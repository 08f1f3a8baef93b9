"""What a glitch resembles: glitches of its class, in the set in the box and in one's own."""

import numpy as np
import pytest
from PIL import Image

from flax_glitch.box import REFERENCE
from flax_glitch.classes import CLASSES
from flax_glitch.data.pictures import resize
from flax_glitch.predict.predictor import Predictor
from flax_glitch.predict.similar import SIDE, Reference
from flax_glitch.simulate.glitches import scan_simulated
from flax_glitch.strain.picture import colour_distance, spectrogram


@pytest.fixture(scope="module")
def predictor():
    return Predictor("fast")


@pytest.fixture(scope="module")
def shipped(predictor):
    return Reference.shipped(predictor)


def windows(label, seed, size=SIDE):
    energies = scan_simulated(label, np.random.default_rng(seed)).energies
    return [resize(spectrogram(one), size, size) for one in energies]


@pytest.mark.parametrize("label", ["Chirp", "Helix", "Scattered_Light", "Tomte"])
def test_the_nearest_of_the_set_in_the_box_is_of_the_same_class(shipped, label):
    near = shipped.nearest(windows(label, 11))
    assert near[0].label == label
    similarities = [one.similarity for one in near]
    assert len(near) == 6 and similarities == sorted(similarities, reverse=True)
    assert similarities[-1] >= -1 and similarities[0] <= 1


def test_the_set_in_the_box_has_three_of_each_class_in_a_spectrogram_s_colours(shipped):
    assert sorted(shipped.labels) == sorted(list(CLASSES) * 3)
    assert REFERENCE.stat().st_size < 400_000
    for one in shipped.nearest(windows("Tomte", 3), 66):
        assert one.picture.shape == (SIDE, SIDE, 3)
        assert colour_distance(one.picture) < 1


def test_its_pictures_are_what_they_are_called(predictor, shipped):
    told = [predictor.classes[number] for number in shipped.scores.argmax(axis=1)]
    assert np.mean([one == label for one, label in zip(told, shipped.labels, strict=True)]) > 0.9


def test_a_picture_of_the_set_is_most_like_itself(predictor, shipped):
    for number in (0, 31, 65):
        (near,) = shipped.nearest([predictor.seen(shipped.pictures[number])], 1)
        assert near.similarity == pytest.approx(1, abs=1e-3)
        np.testing.assert_array_equal(near.picture, shipped.pictures[number])


@pytest.fixture
def own(tmp_path):
    """Two glitches of two classes, one in four windows and one in one; and one that is broken."""
    for seed, window in enumerate((0.5, 1.0, 2.0, 4.0)):
        Image.fromarray(windows("Blip", 7)[seed]).save(
            tmp_path / f"H1_blip_spectrogram_{window}.png"
        )
    Image.fromarray(windows("Whistle", 7)[2]).save(tmp_path / "whistle.png")
    (tmp_path / "broken.png").write_bytes(b"nothing")
    return sorted(tmp_path.iterdir())


def test_glitches_of_ones_own_are_named_by_their_pictures(predictor, own, caplog):
    labels = ["mine"] * (len(own) - 1) + [""]
    reference = Reference.of(predictor, own, labels)
    assert "left out" in caplog.text and "broken.png" in caplog.text
    blip, whistle = reference.nearest(windows("Blip", 8), 5)
    assert (blip.label, whistle.label) == ("mine", predictor.predict(whistle.name).label)
    assert blip.similarity > 0.5 > whistle.similarity
    assert blip.name in map(str, own) and whistle.name.endswith("whistle.png")
    np.testing.assert_array_equal(blip.picture, predictor.seen(blip.name))


def test_the_same_windows_are_as_similar_as_can_be(predictor, own):
    reference = Reference.of(predictor, own)
    assert reference.nearest(windows("Blip", 7), 1)[0].similarity == pytest.approx(1, abs=1e-4)


def test_a_set_without_pictures_is_refused(predictor, tmp_path):
    (tmp_path / "a.png").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="no pictures"):
        Reference.of(predictor, [tmp_path / "a.png"])


def test_a_model_of_another_size_and_kind_can_ask_too(trained):
    predictor = Predictor(trained)
    near = Reference.shipped(predictor).nearest(windows("Blip", 1, 32), 2)
    assert [one.picture.shape for one in near] == [(32, 32, 3)] * 2
