"""Every picture of a split is scored once, and the views of a glitch are fused."""

import dataclasses
import io
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.special import log_softmax

from flax_glitch.classes import CLASSES
from flax_glitch.data.records import Split
from flax_glitch.data.table import COLUMNS
from flax_glitch.evaluation.evaluate import Outputs, evaluate, join, summary
from flax_glitch.models.classifier import fuse
from flax_glitch.predict.predictor import Predictor


def row(number, glitch="abc", label="Blip", ifo="H1", duration=1.0):
    return f"{label}/{number}.png", "", ifo, glitch, duration, label, "test"


def table_of(rows):
    return pd.DataFrame(list(rows), columns=COLUMNS)


def split_of(count):
    """Pictures that are all of one grey, their own number."""
    records = []
    for number in range(count):
        file = io.BytesIO()
        Image.new("RGB", (32, 32), (number, number, number)).save(file, "PNG")
        records.append({"image": file.getvalue()})
    rows = table_of(row(number, f"id{number}", CLASSES[number]) for number in range(count))
    return Split("test", rows, CLASSES, records)


class Fake(Predictor):
    """A predictor whose network is a function."""

    def __init__(self, forward, merged=False):
        self.forward, self.merged, self.classes, self.calibration = forward, merged, CLASSES, ()


def scores_of_grey(views, mask):
    """Logits that give a picture's grey as its class."""
    return 5 * jax.nn.one_hot(views[:, :, 0, 0, 0], 22)


@pytest.fixture
def four_views():
    """A glitch seen four times with one wrong view, and another glitch seen once between them."""
    logits = np.zeros((5, 22), np.float32)
    logits[[0, 1, 3, 4], [3, 3, 7, 3]] = [2, 1, 2.5, 0.5]
    logits[2, 7] = 4
    rows = (
        row(0, "a", duration=0.5),
        row(1, "a", duration=1.0),
        row(2, "a", "Koi_Fish", ifo="L1"),
        row(3, "a", duration=2.0),
        row(4, "a", duration=4.0),
    )
    return Outputs(logits, table_of(rows), CLASSES)


@pytest.mark.parametrize("batch_size", [1, 4, 7, 32])
def test_every_picture_is_scored_once_and_in_order_whatever_the_batch(batch_size):
    outputs = evaluate(Fake(scores_of_grey), split_of(11), batch_size)
    np.testing.assert_array_equal(outputs.logits, 5 * np.eye(22)[:11])
    np.testing.assert_array_equal(outputs.labels, np.arange(11))


def test_all_batches_have_one_shape_so_that_the_model_compiles_once():
    shapes = []

    def watched(views, mask):
        shapes.append(views.shape)
        return scores_of_grey(views, mask)

    evaluate(Fake(watched), split_of(11), 4)
    assert shapes == [(4, 1, 32, 32, 3)] * 3


def test_scores_in_bfloat16_become_float32():
    def half(views, mask):
        return scores_of_grey(views, mask).astype(jnp.bfloat16)

    outputs = evaluate(Fake(half), split_of(3), 2)
    np.testing.assert_array_equal(outputs.logits, 5 * np.eye(22)[:3])
    assert outputs.logits.dtype == np.float32


def test_a_progress_bar_counts_pictures_on_a_terminal_alone(capsys, monkeypatch):
    evaluate(Fake(scores_of_grey), split_of(5), 4)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    evaluate(Fake(scores_of_grey), split_of(5), 4)
    assert "5/5" in capsys.readouterr().err


def test_an_empty_split_is_refused():
    with pytest.raises(ValueError, match="holds no pictures"):
        evaluate(Fake(scores_of_grey), split_of(0), 4)


def test_a_network_that_wants_all_windows_judges_each_glitch_whole_and_each_picture_alone():
    whole = split_of(6)
    durations = (0.5, 1.0, 2.0, 4.0)
    rows = [row(n, f"id{n // 4}", CLASSES[n // 4], duration=durations[n % 4]) for n in range(6)]
    split = Split("test", table_of(rows), CLASSES, whole.records)

    def sum_of_greys(views, mask):
        greys = jnp.sum(views[:, :, 0, 0, 0] * mask, axis=1, dtype=jnp.int32)
        return 5 * jax.nn.one_hot(greys, 22)[:, None]

    outputs = evaluate(Fake(sum_of_greys, merged=True), split, 4)
    np.testing.assert_array_equal(outputs.logits.argmax(axis=1), np.arange(6))
    np.testing.assert_array_equal(outputs.glitch_probabilities.argmax(axis=1), [6, 9])


def test_pictures_of_one_detector_and_id_are_one_glitch(four_views):
    np.testing.assert_array_equal(four_views.glitches, [0, 0, 1, 0, 0])
    np.testing.assert_array_equal(four_views.glitch_labels, [3, 7])


def test_a_glitch_gets_the_mean_log_probability_of_its_views(four_views):
    each = log_softmax(four_views.logits[[0, 1, 3, 4]].astype(float), axis=1)
    expected = np.exp(each.mean(axis=0)) / np.exp(each.mean(axis=0)).sum()
    np.testing.assert_allclose(four_views.glitch_probabilities[0], expected)
    assert four_views.glitch_probabilities[0].argmax() == 3
    np.testing.assert_allclose(
        four_views.glitch_probabilities[1], four_views.probabilities[2], rtol=1e-12
    )


def test_fusing_here_is_fusing_as_the_model_does(four_views):
    views = jnp.zeros((2, 4, 22)).at[0].set(four_views.logits[jnp.array([0, 1, 3, 4])])
    views = views.at[1, 0].set(four_views.logits[2])
    mask = jnp.array([[True] * 4, [True, False, False, False]])
    np.testing.assert_allclose(
        four_views.glitch_probabilities, jax.nn.softmax(fuse(views, mask)), rtol=1e-5
    )


def test_the_summary_counts_pictures_and_glitches_and_is_valid_json(four_views):
    result = summary(four_views)
    assert result["per_image"]["n"] == 5
    assert result["per_glitch"]["n"] == 2
    assert result["per_image"]["accuracy"] == pytest.approx(4 / 5)
    assert result["per_glitch"]["accuracy"] == 1
    json.dumps(result, allow_nan=False)


def test_intervals_of_pictures_are_over_glitches():
    logits = np.repeat(5 * np.eye(22, dtype=np.float32)[[3, 3, 3, 7]], 4, axis=0)
    rows = table_of(row(number, f"id{number // 4}") for number in range(16))
    result = summary(Outputs(logits, rows, CLASSES))
    images, glitches = result["per_image"], result["per_glitch"]
    assert images["intervals"]["accuracy"] == glitches["intervals"]["accuracy"]


@pytest.mark.parametrize("merged", [False, True])
def test_joined_outputs_are_those_of_the_pictures_one_after_the_other(merged):
    rows = [row(n, f"id{n // 2}", CLASSES[n // 2]) for n in range(8)]
    logits = np.random.default_rng(0).normal(size=(8, 22)).astype(np.float32)
    fused = np.flip(logits[:4], axis=1) if merged else None
    whole = Outputs(logits, table_of(rows), CLASSES, fused)
    halves = [
        Outputs(logits[part], table_of(rows[part]), CLASSES, fused[glitches] if merged else None)
        for part, glitches in ((slice(6), slice(3)), (slice(6, 8), slice(3, 4)))
    ]
    joined = join(halves)
    assert joined.table["path"].tolist() == whole.table["path"].tolist()
    np.testing.assert_array_equal(joined.glitches, whole.glitches)
    np.testing.assert_array_equal(joined.glitch_probabilities, whole.glitch_probabilities)
    assert joined.outlier is joined.fused_outlier is None
    learned = [
        dataclasses.replace(half, outlier=half.logits[:, 0], fused_outlier=half.logits[::2, 1])
        for half in halves
    ]
    np.testing.assert_array_equal(join(learned).outlier, logits[:, 0])
    np.testing.assert_array_equal(join(learned).fused_outlier, logits[::2, 1])
