"""Metrics agree with closed forms and scikit-learn, and undefined ones are None."""

import json
import time

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from flax_glitch.classes import CLASSES
from flax_glitch.evaluation.metrics import (
    calibration_error,
    epoch_metrics,
    intervals,
    log_softmax,
    summarise,
)


def answers(verdicts, confidence):
    """Probabilities that give these verdicts with this confidence."""
    verdicts = np.asarray(verdicts)
    confidence = np.broadcast_to(np.asarray(confidence, float), verdicts.shape)
    probabilities = np.repeat((1 - confidence[:, None]) / 21, 22, axis=1)
    probabilities[np.arange(len(verdicts)), verdicts] = confidence
    return probabilities


def made_up(n, seed=0, classes=22):
    """Fairly good probabilities for n samples of the first so many classes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    logits = rng.normal(size=(n, 22))
    logits[np.arange(n), labels] += 2
    return np.exp(log_softmax(logits)), labels


def test_metrics_of_six_samples_agree_with_the_same_done_by_hand():
    truth = np.array([0, 0, 0, 1, 1, 2])
    summary = summarise(answers([0, 0, 1, 1, 1, 5], 0.8), truth)
    assert summary["n"] == 6
    assert summary["accuracy"] == pytest.approx(4 / 6)
    assert summary["precision_macro"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert summary["recall_macro"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert summary["f1_macro"] == pytest.approx((0.8 + 0.8 + 0) / 3)
    assert summary["precision_weighted"] == pytest.approx((3 * 1 + 2 * 2 / 3 + 0) / 6)
    assert summary["recall_weighted"] == pytest.approx(4 / 6)
    assert summary["precision_micro"] == summary["recall_micro"] == pytest.approx(4 / 6)


def test_the_areas_under_the_curves_agree_with_their_definitions():
    probabilities, labels = made_up(300)
    ranked, wins = [], []
    for number in range(22):
        positive, scores = labels == number, probabilities[:, number]
        order = positive[np.argsort(-scores)]
        precision = np.cumsum(order) / np.arange(1, len(order) + 1)
        ranked.append(precision[order].mean())
        wins.append((scores[positive][:, None] > scores[~positive]).mean())
    metrics = epoch_metrics(probabilities, labels)
    assert metrics["pr_auc"] == pytest.approx(np.mean(ranked))
    assert metrics["roc_auc"] == pytest.approx(np.mean(wins))


def test_binary_accuracy_is_that_of_keras():
    keras = pytest.importorskip("keras")
    probabilities, labels = made_up(300)
    theirs = keras.metrics.binary_accuracy(np.eye(22)[labels], probabilities, threshold=0.5)
    found = epoch_metrics(probabilities, labels)["binary_accuracy"]
    assert found == pytest.approx(np.asarray(theirs).mean(), abs=1e-6)
    assert found > 0.9 > epoch_metrics(probabilities, labels)["accuracy"]


def test_epoch_metrics_are_those_of_the_whole_summary():
    probabilities, labels = made_up(300)
    summary = summarise(probabilities, labels)
    few = epoch_metrics(probabilities, labels)
    kinds = ["accuracy", "binary_accuracy", "precision_macro", "recall_macro", "pr_auc", "roc_auc"]
    assert list(few) == kinds
    assert few == {name: summary[name] for name in few}


def test_top_2_counts_the_second_guess():
    probabilities = answers([4, 4, 4], 0.5)
    probabilities[:, [7, 9]] += [0.1, 0.05]
    assert summarise(probabilities, np.array([4, 7, 9]))["top_2"] == pytest.approx(2 / 3)


def test_macro_averages_leave_out_classes_that_the_truth_does_not_hold():
    probabilities, labels = made_up(400, classes=3)
    summary = summarise(probabilities, labels)
    rows = [summary["per_class"][name] for name in CLASSES[:3]]
    assert summary["classes_present"] == list(CLASSES[:3])
    for metric in ("precision", "recall", "f1"):
        mean = np.mean([row[metric] for row in rows])
        assert summary[f"{metric}_macro"] == pytest.approx(mean)
    assert summary["pr_auc"] == pytest.approx(np.mean([row["average_precision"] for row in rows]))


def test_an_absent_class_has_no_recall_and_a_precision_only_if_it_was_answered():
    table = summarise(answers([0, 1, 5], 0.9), np.array([0, 1, 1]))["per_class"]
    empty = {"n": 0, "precision": None, "recall": None, "f1": None, "average_precision": None}
    assert table[CLASSES[9]] == empty
    assert table[CLASSES[5]] == empty | {"precision": 0.0}
    assert table[CLASSES[1]]["recall"] == 0.5


def test_a_single_sample_has_null_areas_and_valid_json():
    summary = summarise(answers([3], 0.7), np.array([3]))
    assert summary["accuracy"] == summary["precision_macro"] == summary["top_2"] == 1
    assert summary["pr_auc"] is None and summary["roc_auc"] is None
    assert summary["per_class"]["Blip"]["average_precision"] is None
    assert "NaN" not in json.dumps(summary, allow_nan=False)


def test_two_classes_have_areas():
    metrics = epoch_metrics(answers([3, 7, 7], 0.7), np.array([3, 7, 7]))
    assert metrics["pr_auc"] == metrics["roc_auc"] == 1


@pytest.mark.parametrize("confidence", [0.25, 0.5, 0.9])
def test_calibrated_answers_have_no_calibration_error(confidence):
    right = np.arange(1000) < 1000 * confidence
    assert calibration_error(answers(np.where(right, 0, 1), confidence), np.zeros(1000, int)) < 1e-9


def test_the_calibration_error_of_overconfident_answers_is_the_excess():
    verdicts = np.where(np.arange(100) < 60, 0, 1)
    assert calibration_error(answers(verdicts, 0.9), np.zeros(100, int)) == pytest.approx(0.3)


def test_calibration_errors_of_different_bins_do_not_cancel():
    verdicts = np.array([0] * 50 + [1] * 50)
    confidence = np.array([0.6] * 50 + [0.4] * 50)
    error = calibration_error(answers(verdicts, confidence), np.zeros(100, int))
    assert error == pytest.approx(0.4)


def test_confidences_within_a_fifteenth_share_a_bin_with_its_upper_edge_included():
    verdicts = np.array([0, 1])
    same = calibration_error(answers(verdicts, np.array([0.61, 0.66])), np.zeros(2, int))
    apart = calibration_error(answers(verdicts, np.array([0.6, 0.61])), np.zeros(2, int))
    assert same == pytest.approx(abs(0.61 + 0.66 - 1) / 2)
    assert apart == pytest.approx((0.4 + 0.61) / 2)


def test_the_interval_of_accuracy_is_the_binomial_one_when_glitches_have_one_picture():
    verdicts = np.where(np.arange(1180) < 1062, 0, 1)
    limits = intervals(answers(verdicts, 0.9), np.zeros(1180, int), np.arange(1180))["accuracy"]
    half = 1.96 * np.sqrt(0.9 * 0.1 / 1180)
    assert limits == pytest.approx([0.9 - half, 0.9 + half], abs=0.003)


def test_the_interval_is_twice_as_wide_when_four_equal_pictures_share_a_glitch():
    verdicts = np.where(np.arange(1200) % 10 < 9, 0, 1).repeat(4)
    data = (answers(verdicts, 0.9), np.zeros(4800, int))
    together = np.ptp(intervals(*data, np.arange(1200).repeat(4))["accuracy"])
    apart = np.ptp(intervals(*data, np.arange(4800))["accuracy"])
    assert together == pytest.approx(2 * apart, rel=0.15)


def test_intervals_are_those_of_metrics_taken_on_each_draw():
    probabilities, labels = made_up(120, classes=9)
    glitches = np.arange(120) // 3
    rng = np.random.default_rng(5)
    draws = []
    for _ in range(30):
        drawn = rng.integers(40, size=40)
        rows = (drawn[:, None] * 3 + np.arange(3)).ravel()
        p, truth = probabilities[rows], labels[rows]
        macro = precision_recall_fscore_support(
            truth, p.argmax(1), labels=np.unique(truth), average="macro", zero_division=0
        )
        draws.append((accuracy_score(truth, p.argmax(1)), *macro[:3], calibration_error(p, truth)))
    expected = np.percentile(draws, (2.5, 97.5), axis=0).T
    limits = intervals(probabilities, labels, glitches, resamples=30, seed=5)
    assert list(limits) == ["accuracy", "precision_macro", "recall_macro", "f1_macro", "ece"]
    np.testing.assert_allclose(list(limits.values()), expected)


def test_one_glitch_has_no_intervals():
    limits = intervals(answers([0, 0, 1, 0], 0.9), np.zeros(4, int), np.zeros(4, int))
    assert set(limits.values()) == {None}


def test_the_metrics_of_the_largest_set_take_moments():
    probabilities, labels = made_up(22_348)
    start = time.perf_counter()
    epoch_metrics(probabilities.astype(np.float32), labels)
    intervals(probabilities[:4720], labels[:4720], np.arange(4720) // 4)
    assert time.perf_counter() - start < 3


@pytest.mark.parametrize("measure", [summarise, epoch_metrics])
def test_nothing_to_measure_is_refused(measure):
    with pytest.raises(ValueError, match="there are no samples"):
        measure(np.empty((0, 22)), np.empty(0, int))


def test_a_probability_that_is_no_number_is_refused_with_its_place():
    probabilities, labels = made_up(10)
    probabilities[4, 2] = np.nan
    with pytest.raises(ValueError, match=r"1 of 10 samples .* the first is number 4"):
        summarise(probabilities, labels)


def test_log_probabilities_of_huge_scores_are_finite_and_normalised():
    logits = np.array([[1e4] + [-1e4] * 21, [0.0] * 22], np.float32)
    result = log_softmax(logits)
    np.testing.assert_allclose(result[0], [0] + [-2e4] * 21)
    np.testing.assert_allclose(np.exp(result[1]), 1 / 22)
