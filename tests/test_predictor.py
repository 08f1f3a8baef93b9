"""The predictor: the same answer by every road, and one verdict a glitch."""

import base64
import dataclasses
import io
import re
import subprocess
import sys
from html import escape

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy.special import log_softmax, softmax
from scipy.stats import binomtest

from flax_glitch import Predictor
from flax_glitch.checkpoint import Calibration, CheckpointError
from flax_glitch.classes import CLASSES
from flax_glitch.data.pictures import PictureError, load_picture
from flax_glitch.events.triggers import stable_id
from flax_glitch.predict.calibration import PLAIN
from flax_glitch.predict.verdicts import Failure, Prediction, percent
from flax_glitch.strain.files import Strain, StrainError
from flax_glitch.strain.picture import Scan, colour_distance

CLOSE = 1e-4
"""As near as float32 sums in another order come."""


@pytest.fixture(scope="module")
def predictor(trained):
    return Predictor.from_checkpoint(trained)


@pytest.fixture(scope="module")
def model_in_the_box():
    return Predictor()


@pytest.fixture(scope="module")
def windows(drawn):
    """The four windows of one drawn glitch."""
    first = min((drawn / "Chirp").iterdir()).name.split("_spectrogram_")[0]
    return sorted((drawn / "Chirp").glob(f"{first}_*"))


def test_files_bytes_arrays_pillow_s_and_loaded_pictures_give_the_same_probabilities(
    predictor, windows
):
    path = windows[0]
    array = np.asarray(Image.open(path).convert("RGB"))
    roads = [path, str(path), path.read_bytes(), array, load_picture(path)]
    roads += [jnp.asarray(array), array.astype(int), Image.open(path), Image.fromarray(array)]
    roads += [io.BytesIO(path.read_bytes()), iter([path])]
    with path.open("rb") as file:
        first, *others = [predictor.predict(road).probabilities for road in [*roads, file]]
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_the_verdict_is_the_class_of_the_highest_of_probabilities_that_sum_to_one(
    predictor, windows
):
    prediction = predictor.predict(windows[0])
    assert prediction.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert prediction.label == predictor.classes[prediction.probabilities.argmax()]
    assert prediction.confidence == prediction.probabilities.max()
    names, values = zip(*prediction.top(10), strict=True)
    assert set(names) == set(predictor.classes) == set(CLASSES[3:13])
    assert list(values) == sorted(values, reverse=True)


def test_windows_of_a_glitch_are_fused_by_their_mean_log_probability(predictor, windows):
    alone = np.stack([predictor.predict(path).probabilities for path in windows])
    mean = np.exp(np.log(alone).mean(axis=0))
    together = predictor.predict(windows)
    np.testing.assert_allclose(together.probabilities, mean / mean.sum(), atol=CLOSE)
    np.testing.assert_allclose(together.per_view, alone, atol=CLOSE)
    assert together.durations == (0.5, 1.0, 2.0, 4.0)


@pytest.fixture
def calibrated(predictor, monkeypatch):
    """The predictor with another temperature and threshold for each number of windows."""
    scores = tuple(np.linspace(0, 1, 101).tolist())
    known = tuple(Calibration(0.5 * n, float(n), scores, 99) for n in range(1, 5))
    monkeypatch.setattr(predictor, "calibration", known)
    return predictor


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_probabilities_have_the_temperature_of_their_number_of_windows(calibrated, windows, count):
    found = calibrated.predict(windows[:count])
    each = np.stack([calibrated.predict(path).raw for path in windows[:count]])
    np.testing.assert_allclose(found.raw, each.mean(axis=0), atol=CLOSE)
    np.testing.assert_allclose(found.probabilities, softmax(found.raw / (0.5 * count)))
    np.testing.assert_allclose(found.per_view, softmax(each / 0.5, axis=1), atol=CLOSE)
    strange = [colour_distance(calibrated.seen(path)) - PLAIN for path in windows[:count]]
    none = log_softmax(found.raw)[calibrated.classes.index("None_of_the_Above")]
    expected = none + np.mean(strange)
    assert min(strange) > 0 and found.ood_score == pytest.approx(expected, abs=CLOSE)
    assert found.calibration is calibrated.calibration[count - 1]


def test_what_scores_above_the_threshold_is_unlike_training(calibrated, windows, monkeypatch):
    score = calibrated.predict(windows[0]).ood_score
    for unlike, said in [(score - 0.01, True), (score + 0.01, False)]:
        known = (Calibration(1.0, unlike, calibrated.calibration[0].scores, 99),) * 4
        monkeypatch.setattr(calibrated, "calibration", known)
        assert calibrated.predict(windows[0]).unlike is said


def test_without_a_calibration_nothing_is_called_unlike_and_softmax_is_bare(predictor, windows):
    found = predictor.predict(windows)
    np.testing.assert_allclose(found.probabilities, softmax(found.raw))
    assert found.unlike is None and found.calibration is None


def test_a_picture_alone_predicts_as_it_does_among_many(predictor, drawn):
    paths = sorted(drawn.rglob("*_spectrogram_1.0.png"))[:21]
    for result, path in zip(predictor.classify(paths), paths, strict=True):
        assert result.inputs == (str(path),)
        alone = predictor.predict(path)
        np.testing.assert_allclose(result.probabilities, alone.probabilities, atol=CLOSE)


def test_many_files_give_a_verdict_a_glitch_and_a_failure_a_bad_picture(
    predictor, windows, tmp_path
):
    bad = tmp_path / "H1_bad_spectrogram_1.0.png"
    bad.write_text("not a picture")
    *failures, verdict = sorted(
        predictor.classify([windows[3], bad, *windows[:2], tmp_path / "none.png"]),
        key=lambda result: not isinstance(result, Failure),
    )
    assert {failure.input for failure in failures} == {str(bad), str(tmp_path / "none.png")}
    for failure in failures:
        assert "\n" not in failure.error and failure.input not in failure.error
    assert verdict.durations == (0.5, 1.0, 4.0)
    assert f"{verdict.ifo}_{verdict.gravityspy_id}_" in windows[0].name


def test_a_repeated_window_is_left_out_and_said(predictor, windows):
    names = ["H1_a_spectrogram_0.5.png", "H1_a_spectrogram_0.5.png", "H1_a_spectrogram_1.0.png"]
    failure, verdict = predictor.classify(windows[:3], names)
    assert failure == Failure(names[1], "repeats the 0.5 s window of its glitch")
    assert verdict.durations == (0.5, 1.0)


def test_the_same_window_or_picture_twice_is_refused(predictor, windows):
    with pytest.raises(PictureError, match=r"spectrogram_0.5.png: repeats the 0.5 s window"):
        predictor.predict([windows[0], windows[1], windows[0]])
    pixels = load_picture(windows[0])
    with pytest.raises(PictureError, match="picture: is the same picture as another"):
        predictor.predict([pixels, pixels])


def test_a_window_of_another_length_is_of_unknown_length_and_a_fifth_view_is_an_error(
    predictor, windows, drawn
):
    names = [*(path.name for path in windows[:3]), windows[3].name.replace("_4.0", "_8.0")]
    (verdict,) = predictor.classify(windows, names)
    assert verdict.durations == (0.5, 1.0, 2.0, None)
    five = [*windows, max((drawn / "Chirp").iterdir())]
    names = [*(path.name for path in windows), windows[3].name.replace("_4.0", "_8.0")]
    other = min((drawn / "Blip").iterdir())
    *failures, verdict = predictor.classify([*five, other], [*names, other.name])
    assert [failure.input for failure in failures] == names
    for failure in failures:
        assert "is one of 5 views of its glitch" in failure.error
        assert all(name in failure.error for name in names)
    assert verdict.inputs == (other.name,)


def test_none_of_the_above_is_a_verdict_and_unlike_training_is_another(model_in_the_box):
    calibration = Calibration(1.0, -2.0, tuple(np.linspace(0, 1, 101).tolist()), 99)
    names = model_in_the_box.classes
    probabilities = np.full(22, 0.01)

    def said(label, ood_score):
        row = probabilities.copy()
        row[names.index(label)] = 1 - 21 * 0.01
        return Prediction(
            names, ("x",), None, None, (None,), ("kaggle",), row[None], row,
            ood_score=ood_score, calibration=calibration,
        ).unlike  # fmt: skip

    assert said("None_of_the_Above", -0.2) is False  # as its own probability alone makes it
    assert said("None_of_the_Above", 3.0) is True  # colours that no spectrogram has
    assert said("Blip", -1.0) is True
    assert said("Blip", -3.0) is False


def test_real_glitches_that_are_none_of_the_above_are_not_unlike_training_by_that(
    model_in_the_box, shared_data
):
    folders = sorted(shared_data.glob("*/None_of_the_Above"))
    verdicts = [
        v for folder in folders for v in model_in_the_box.classify(sorted(folder.iterdir()))
    ]
    named = [verdict for verdict in verdicts if verdict.label == "None_of_the_Above"]
    assert len(named) >= 3
    flagged = sum(bool(verdict.unlike) for verdict in named)
    # Of others it is one in twenty.
    assert binomtest(flagged, len(named), 0.05, alternative="greater").pvalue > 0.05


def test_predicting_imports_no_training_data_sets_or_simulator():
    code = (
        "import sys, flax_glitch.predict.predictor as p; bad = [m for m in ('tensorflow_datasets', "
        "'flax_glitch.simulate', 'flax_glitch.training', 'grain', 'sklearn') "
        "if m in sys.modules]; sys.exit(', '.join(bad) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_windows_of_different_glitches_are_not_fused(predictor, windows, drawn):
    with pytest.raises(PictureError, match="pictures of other glitches"):
        predictor.predict([windows[0], next((drawn / "Blip").iterdir())])


def test_the_names_of_uploads_decide_what_belongs_together(predictor, windows):
    names = ["H1_a_spectrogram_0.5.png", "L1_a_spectrogram_0.5.png", "H1_a_spectrogram_1.0.png"]
    results = list(predictor.classify(windows[:3], names))
    assert [result.inputs for result in results] == [(names[0], names[2]), (names[1],)]


def made_scan(gps):
    """A scan of which no picture is like another."""
    columns = np.linspace(0, 30, 568, dtype=np.float32)
    windows = [np.tile(np.roll(columns, 100 * number + int(gps)), (478, 1)) for number in range(4)]
    return Scan("L1", gps, 5.66, np.stack(windows))


def test_a_scan_is_judged_as_its_four_pictures_are(predictor):
    (verdict,) = predictor.classify_scans([made_scan(1000.25)], ["abc"])
    pictures = list(made_scan(1000.25).views.values())
    asked = predictor.predict(pictures)
    np.testing.assert_allclose(verdict.probabilities, asked.probabilities, atol=CLOSE)
    np.testing.assert_allclose(verdict.per_view, asked.per_view, atol=CLOSE)
    assert verdict.inputs == ("L1 at 1000.250",) and verdict.durations == (0.5, 1.0, 2.0, 4.0)
    assert (verdict.gravityspy_id, verdict.ifo, verdict.gps, verdict.q) == (
        "abc",
        "L1",
        1000.25,
        5.66,
    )


def test_strain_is_judged_at_a_time_as_its_scan_is(predictor, monkeypatch):
    monkeypatch.setattr("flax_glitch.strain.picture.q_scan", lambda *_: (made.energies, 5.66))
    made = made_scan(1004.25)
    strain = Strain(np.random.default_rng(0).normal(size=10 * 4096), 1000.0, 4096.0, "L1", "L1:A")
    verdict = predictor.predict(strain, 1004.25)
    (expected,) = predictor.classify_scans([made], [stable_id("L1", 1004.25)])
    np.testing.assert_array_equal(verdict.probabilities, expected.probabilities)
    assert (verdict.inputs, verdict.gravityspy_id) == (expected.inputs, expected.gravityspy_id)
    assert verdict.channel == "L1:A"
    with pytest.raises(StrainError, match="give the event's GPS time too"):
        predictor.predict(strain)


def test_scans_are_judged_in_batches_as_they_come_and_failures_are_passed_on(predictor):
    taken = []

    def scans():
        for number in range(10):
            taken.append(number)
            yield Failure("odd", "no strain") if number == 2 else made_scan(float(number))

    results = predictor.classify_scans(scans(), map(str, range(10)))
    assert next(results) == Failure("odd", "no strain")
    assert next(results).gravityspy_id == "0"
    assert taken == [0, 1, 2, 3, 4]
    rest = list(results)
    assert [verdict.gravityspy_id for verdict in rest] == [*"1345678", "9"]
    assert [verdict.gps for verdict in rest] == [1.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]
    (alone,) = predictor.classify_scans([made_scan(7.0)])
    np.testing.assert_allclose(rest[5].probabilities, alone.probabilities, atol=CLOSE)
    assert alone.gravityspy_id is None


def test_unknown_sizes_are_used_whole_and_say_so(predictor, windows):
    whole = np.asarray(Image.open(windows[0]).convert("RGB"))[10:300, 20:400]
    assert predictor.predict(whole).geometry == ("unknown",)
    assert predictor.predict(windows[0]).geometry == ("kaggle",)


def test_the_picture_seen_is_the_spectrogram_area_at_the_networks_size(predictor, windows):
    seen = predictor.seen(windows[0])
    assert seen.shape == (32, 32, 3)
    area = np.asarray(Image.open(windows[0]).convert("RGB"))[1:, 1:]
    np.testing.assert_allclose(seen.mean((0, 1)), area.mean((0, 1)), atol=1)


def test_no_picture_or_a_bad_one_is_a_clear_error(predictor, tmp_path):
    with pytest.raises(PictureError, match="0 pictures given"):
        predictor.predict([])
    with pytest.raises(PictureError, match=r"none\.png: can't be read"):
        predictor.predict(tmp_path / "none.png")


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"no model\.json"):
        Predictor.from_checkpoint(tmp_path)


def test_open_files_and_pillow_s_pictures_say_their_window_by_their_name(predictor, windows):
    expected = predictor.predict(windows[2])
    for opened in (windows[2].open("rb"), Image.open(windows[2])):
        with opened:
            found = predictor.predict(opened)
        assert found.inputs == expected.inputs and found.durations == (2.0,)


def test_windows_come_from_a_generator_too(predictor, windows):
    together = predictor.predict(path for path in windows)
    assert together.inputs == predictor.predict(windows).inputs
    with pytest.raises(PictureError, match="5 pictures given: pass one to four"):
        predictor.predict(windows[0] for _ in range(1000))


def test_a_verdict_becomes_a_frame_with_the_columns_of_the_csv(predictor, windows):
    prediction = predictor.predict(windows)
    frame = prediction.to_frame()
    assert list(frame["input"]) == list(map(str, windows))
    assert list(frame["view"]) == ["0.5", "1.0", "2.0", "4.0"]
    assert set(frame["class"]) == {prediction.label}
    probabilities = frame[[f"p({name})" for name in predictor.classes]]
    np.testing.assert_array_equal(probabilities, np.tile(prediction.probabilities, (4, 1)))
    failed = Failure("a.png", "is empty").to_frame()
    assert failed.to_dict("records") == [{"input": "a.png", "error": "is empty"}]


def test_a_notebook_shows_the_pictures_and_the_verdict(predictor, windows):
    prediction = predictor.predict([Image.open(path) for path in windows])
    page = prediction._repr_html_()
    shown = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    for picture, pixels in zip(shown, prediction.pixels, strict=True):
        found = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))))
        np.testing.assert_array_equal(found, pixels)
    assert f"<b>{prediction.label}</b>" in page and escape(percent(prediction.confidence)) in page
    prediction = dataclasses.replace(prediction, inputs=("<script>",), gravityspy_id=None)
    assert "<script>" not in prediction._repr_html_()
