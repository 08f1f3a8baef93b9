"""Outliers: a model learns them as a class, names none, and has by them its score of the unlike."""

import json

import numpy as np
import pytest
from flax import nnx
from PIL import Image
from scipy.special import log_softmax, softmax
from test_cli import run

from flax_glitch import Predictor
from flax_glitch.checkpoint import (
    Calibration,
    Description,
    add_calibration,
    arrays_of,
    load_model,
    read_card,
    read_description,
    release,
    save_model,
)
from flax_glitch.classes import OUTLIER
from flax_glitch.config import Config, DataConfig, ModelConfig, Preprocessing, TrainingConfig
from flax_glitch.data.records import prepare
from flax_glitch.evaluation.evaluate import evaluate
from flax_glitch.models.classifier import build, inference_mode
from flax_glitch.models.preprocess import standardise
from flax_glitch.models.systems import MODELS
from flax_glitch.predict.calibration import PLAIN, fitted_temperature
from flax_glitch.strain.picture import colour_distance
from flax_glitch.training.start import train

NAMED = ("Blip", "None_of_the_Above", "Zebra")
OUTPUTS = ("Blip", "None_of_the_Above", OUTLIER, "Zebra")
"""The outlier is not the last, as later classes may come after it."""

WINDOWS = (0.5, 2.0)
CLOSE = 1e-4
"""As near as float32 sums in another order come."""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Seven glitches of each class and seven outliers, in two windows; a bar tells the class."""
    folder = tmp_path_factory.mktemp("source")
    random = np.random.default_rng(0)
    for number, label in enumerate(OUTPUTS):
        (folder / label).mkdir()
        for glitch in range(7):
            for window in WINDOWS:
                pixels = random.integers(0, 60, (48, 48, 3), np.uint8)
                pixels[8 * number : 8 * number + 8] = 230
                name = f"L1_{number}g{glitch}_spectrogram_{window}.png"
                Image.fromarray(pixels).save(folder / label / name)
    return folder


def config(source, name="compact"):
    return Config(
        Preprocessing(48, colour="grayscale", normalise="unit"),
        DataConfig(str(source), batch_size=16),
        ModelConfig(name, "none", batch_norm_momentum=0.5),
        training=TrainingConfig(epochs=2),
    )


@pytest.fixture(scope="module")
def learned(source, cache, tmp_path_factory):
    """The folder of a calibrated run on them."""
    folder = tmp_path_factory.mktemp("runs") / "learned"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flax_glitch.training.start.ENOUGH", 3)
        patch.setattr("flax_glitch.predict.calibration.ENOUGH", 3)
        train(config(source), folder, cache=cache)
    return folder


@pytest.fixture(scope="module", params=["compact", "gravityspy-cnn"])
def model(request, source, tmp_path_factory):
    """A model that has learnt nothing, with a calibration."""
    folder = tmp_path_factory.mktemp("made") / "model"
    made = config(source, request.param)
    network = build(made.model, made.preprocessing, len(OUTPUTS), rngs=nnx.Rngs(0))
    said = Description("made", made.model, made.preprocessing, {}, OUTPUTS)
    save_model(folder, arrays_of(network), said, "# made")
    scores = tuple(np.linspace(0, 1, 101).tolist())
    add_calibration(folder, (Calibration(0.5, -1.0, scores, 99),) * 4, "# made")
    return folder


def outputs_of(folder, pictures, together=False):
    """Logits of all outputs, by the network itself: a row a picture, or one for all."""
    network, said = load_model(folder)
    places = 4 if MODELS[said.model.name].merged else 1
    views = np.zeros((1 if together else len(pictures), places, 48, 48, 3), np.uint8)
    mask = np.zeros(views.shape[:2], bool)
    for number, picture in enumerate(pictures):
        at = (0 if together else number), ((0, 2)[number % 2] if places == 4 else 0)
        views[at], mask[at] = picture, True
    network = inference_mode(network)
    return np.asarray(network(standardise(views, said.preprocessing), mask))[:, 0].astype(float)


def score_of(logits, pictures):
    """The score by the definition: log-probability of outliers among all outputs, and colours."""
    colours = [max(colour_distance(picture) - PLAIN, 0) for picture in pictures]
    return log_softmax(logits)[OUTPUTS.index(OUTLIER)] + np.mean(colours)


def test_a_verdict_names_no_outlier_and_its_score_is_their_log_probability(model, source):
    predictor = Predictor(model)
    assert read_description(model).classes == OUTPUTS and predictor.classes == NAMED
    paths = sorted((source / "Zebra").iterdir())[:2]
    found = predictor.predict(paths)
    pictures = [predictor.seen(path) for path in paths]
    kept = [OUTPUTS.index(name) for name in NAMED]
    each = outputs_of(model, pictures)
    merged = predictor.merged
    mean = outputs_of(model, pictures, together=True)[0] if merged else each.mean(axis=0)
    assert found.names == NAMED
    np.testing.assert_allclose(found.raw, mean[kept], atol=CLOSE)
    np.testing.assert_allclose(found.probabilities, softmax(mean[kept] / 0.5), atol=CLOSE)
    np.testing.assert_allclose(found.per_view, softmax(each[:, kept] / 0.5, axis=1), atol=CLOSE)
    assert found.ood_score == pytest.approx(score_of(mean, pictures), abs=CLOSE)
    assert found.knows_outliers


def test_an_evaluation_is_of_the_classes_and_keeps_the_outlier_scores(model, source, cache):
    predictor = Predictor(model)
    split = prepare(source, 48, cache=cache).only(predictor.classes).split("test")
    said = evaluate(predictor, split, batch_size=4)
    assert said.classes == NAMED and set(said.table["label"]) == set(NAMED)
    pictures = [split[number] for number in range(len(split))]
    each = outputs_of(model, pictures)
    kept, last = [OUTPUTS.index(name) for name in NAMED], OUTPUTS.index(OUTLIER)
    np.testing.assert_allclose(said.logits, each[:, kept], atol=CLOSE)
    np.testing.assert_allclose(said.outlier, each[:, last], atol=CLOSE)
    np.testing.assert_array_equal(said.uncalibrated.outlier, said.outlier)
    np.testing.assert_array_equal(said.scores[0], np.c_[said.logits, said.outlier])
    if not predictor.merged:
        assert said.fused is said.fused_outlier is said.scores[1] is None
        return
    whole = np.concatenate([outputs_of(model, pictures[n : n + 2], True) for n in (0, 2, 4)])
    np.testing.assert_allclose(said.fused, whole[:, kept], atol=CLOSE)
    np.testing.assert_allclose(said.fused_outlier, whole[:, last], atol=CLOSE)
    np.testing.assert_array_equal(said.scores[1], np.c_[said.fused, said.fused_outlier])


def test_a_run_is_calibrated_on_its_classes_alone_and_unlike_is_by_the_outliers(
    learned, source, cache
):
    split = prepare(source, 48, cache=cache).only(NAMED).split("validation")
    one, two, *_ = read_description(learned).calibration
    assert one.n == two.n == len(NAMED)
    pictures = [split[number] for number in range(len(split))]
    kept = [OUTPUTS.index(name) for name in NAMED]
    means = outputs_of(learned, pictures).reshape(len(NAMED), 2, -1).mean(axis=1)
    labels = np.array([NAMED.index(name) for name in split.table["label"][::2]])
    assert two.temperature == pytest.approx(fitted_temperature(means[:, kept], labels), rel=1e-3)
    true = softmax(means[:, kept] / two.temperature, axis=1)[np.arange(len(NAMED)), labels]
    assert two.scores[0] == pytest.approx(1 - true.max(), abs=CLOSE)
    assert two.scores[-1] == pytest.approx(1 - true.min(), abs=CLOSE)
    scores = [score_of(mean, pictures[2 * n : 2 * n + 2]) for n, mean in enumerate(means)]
    assert two.unlike == pytest.approx(max(scores), abs=CLOSE)


def test_the_card_and_provenance_tell_outliers_from_glitches(learned):
    told = read_description(learned).provenance["data"]
    assert told["glitches"] == {"train": 15, "validation": 3, "test": 3}
    assert told["outliers"] == {"train": 5, "validation": 1, "test": 1}
    card = read_card(learned)
    assert "tells 3 classes of glitches (Blip, None_of_the_Above, Zebra) apart" in card
    assert "learned to tell outliers from 5 of them" in card
    assert "Trained on 15 glitches" in card


def test_commands_answer_in_classes_and_measure_no_outlier(learned, source, tmp_path, capsys):
    assert run("classify", source / OUTLIER, "--checkpoint", learned, "--format", "json") == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(answers) == 14
    predictor = Predictor(learned)
    for answer in answers:
        assert tuple(answer["probabilities"]) == tuple(answer["logits"]) == NAMED
        assert answer["class"] in NAMED
        assert sum(answer["probabilities"].values()) == pytest.approx(1)
        paths = sorted((source / OUTLIER).glob(f"L1_{answer['gravityspy_id']}_*"))
        pictures = [predictor.seen(path) for path in paths]
        mean = outputs_of(learned, pictures).mean(axis=0)
        assert answer["ood_score"] == pytest.approx(score_of(mean, pictures), abs=CLOSE)
    arguments = ["--source", source, "--checkpoint", learned, "--cache", tmp_path / "cache"]
    assert run("evaluate", *arguments, "--split", "all") == 0
    assert "pictures of other classes, left out: 14 (Outlier)" in capsys.readouterr().err
    metrics = json.loads((learned / "evaluation" / "metrics.json").read_text())
    assert tuple(metrics["classes"]) == NAMED and metrics["per_glitch"]["n"] == 21
    assert run("compare", learned, "--out", tmp_path / "comparison") == 0


def test_a_released_copy_knows_outliers_too(learned, source, tmp_path):
    release(learned, tmp_path / "copy", "float32")
    picture = min((source / "Blip").iterdir())
    ours, theirs = (Predictor(folder).predict(picture) for folder in (learned, tmp_path / "copy"))
    assert theirs.names == NAMED and theirs.knows_outliers
    assert (theirs.ood_score, theirs.unlike) == (ours.ood_score, ours.unlike)


def test_the_name_is_reserved_so_that_no_notice_calls_it_a_class(source, cache):
    notices = " ".join(prepare(source, 48, cache=cache).notices)
    assert "Zebra" in notices and OUTLIER not in notices


def test_outliers_are_no_second_class(source, cache, tmp_path):
    for classes in (("Zebra", OUTLIER), (OUTLIER,)):
        data = DataConfig(str(source), classes=classes)
        with pytest.raises(ValueError, match=f"{classes[0]} is the only class"):
            train(Config(Preprocessing(48), data), tmp_path / "run", cache=cache)
