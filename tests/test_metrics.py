"""Metrics agree with closed forms and scikit-learn, and undefined ones are None."""

import itertools
import json
import time

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from flax_glitch.classes import CLASSES
from flax_glitch.evaluation.metrics import (
    calibration_error,
    epoch_metrics,
    holm,
    intervals,
    mcnemar,
    percentiles,
    resampled,
    summarise,
)


def answers(verdicts, confidence):
    """Probabilities that give these verdicts with this confidence."""
    verdicts = np.asarray(verdicts)
    confidence = np.broadcast_to(np.asarray(confidence, float), verdicts.shape)
    probabilities = np.repeat((1 - confidence[:, None]) / 21, 22, axis=1)
    probabilities[np.arange(len(verdicts)), verdicts] = confidence
    return probabilities


def made_up(n, seed=0, classes=22, known=22):
    """Fairly good probabilities for n samples of the first so many classes of those known."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    logits = rng.normal(size=(n, known))
    logits[np.arange(n), labels] += 2
    return softmax(logits, axis=1), labels


def test_metrics_of_six_samples_agree_with_the_same_done_by_hand():
    truth = np.array([0, 0, 0, 1, 1, 2])
    summary = summarise(answers([0, 0, 1, 1, 1, 5], 0.8), truth, CLASSES)
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
    summary = summarise(probabilities, labels, CLASSES)
    few = epoch_metrics(probabilities, labels)
    kinds = ["accuracy", "binary_accuracy", "precision_macro", "recall_macro", "pr_auc", "roc_auc"]
    assert list(few) == kinds
    assert few == {name: summary[name] for name in few}


def test_top_2_counts_the_second_guess():
    probabilities = answers([4, 4, 4], 0.5)
    probabilities[:, [7, 9]] += [0.1, 0.05]
    assert summarise(probabilities, np.array([4, 7, 9]), CLASSES)["top_2"] == pytest.approx(2 / 3)


def test_macro_averages_leave_out_classes_that_the_truth_does_not_hold():
    probabilities, labels = made_up(400, classes=3)
    summary = summarise(probabilities, labels, CLASSES)
    rows = [summary["per_class"][name] for name in CLASSES[:3]]
    assert summary["classes_present"] == list(CLASSES[:3])
    for metric in ("precision", "recall", "f1"):
        mean = np.mean([row[metric] for row in rows])
        assert summary[f"{metric}_macro"] == pytest.approx(mean)
    assert summary["pr_auc"] == pytest.approx(np.mean([row["average_precision"] for row in rows]))


def test_an_absent_class_has_no_recall_and_a_precision_only_if_it_was_answered():
    table = summarise(answers([0, 1, 5], 0.9), np.array([0, 1, 1]), CLASSES)["per_class"]
    empty = {"n": 0, "precision": None, "recall": None, "f1": None, "average_precision": None}
    assert table[CLASSES[9]] == empty
    assert table[CLASSES[5]] == empty | {"precision": 0.0}
    assert table[CLASSES[1]]["recall"] == 0.5


def test_a_single_sample_has_null_areas_and_valid_json():
    summary = summarise(answers([3], 0.7), np.array([3]), CLASSES)
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
    verdicts, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    found = resampled(labels, verdicts, confidence, glitches, resamples=30, seed=5)
    assert list(found) == ["accuracy", "precision_macro", "recall_macro", "f1_macro", "ece"]
    np.testing.assert_allclose(np.transpose(list(found.values())), draws)


def test_one_glitch_has_no_intervals():
    limits = intervals(answers([0, 0, 1, 0], 0.9), np.zeros(4, int), np.zeros(4, int))
    assert set(limits.values()) == {None}


def test_the_metrics_of_the_largest_set_take_moments():
    probabilities, labels = made_up(31_868)
    start = time.perf_counter()
    epoch_metrics(probabilities.astype(np.float32), labels)
    intervals(probabilities, labels, np.arange(31_868) // 4)
    assert time.perf_counter() - start < 3


def test_nothing_to_measure_is_refused():
    with pytest.raises(ValueError, match="there are no samples"):
        epoch_metrics(np.empty((0, 22)), np.empty(0, int))


def test_a_probability_that_is_no_number_is_refused_with_its_place():
    probabilities, labels = made_up(10)
    probabilities[4, 2] = np.nan
    with pytest.raises(ValueError, match=r"1 of 10 samples .* the first is number 4"):
        summarise(probabilities, labels, CLASSES)


@pytest.mark.parametrize("count", [2, 3, 24])
@pytest.mark.parametrize("present", [1, 2])
def test_any_number_of_classes_is_measured_also_where_the_truth_holds_one_alone(count, present):
    classes = tuple(f"class {number}" for number in range(count))
    probabilities, labels = made_up(60, classes=present, known=count)
    summary = summarise(probabilities, labels, classes)
    assert tuple(summary["per_class"]) == classes
    assert summary["classes_present"] == list(classes[:present])
    assert (summary["roc_auc"] is None) == (present == 1)
    assert summary["top_2"] == 1 if count == 2 else summary["top_2"] > summary["accuracy"]
    limits = intervals(probabilities, labels, np.arange(60) // 4)
    assert limits["accuracy"][0] <= summary["accuracy"] <= limits["accuracy"][1]


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    [(0, 0, 1.0), (1, 0, 1.0), (6, 0, 2 / 2**6), (1, 9, 22 / 1024), (9, 1, 22 / 1024), (5, 5, 1.0)],
)
def test_mcnemar_gives_the_binomial_by_hand(only_first, only_second, p):
    assert mcnemar(only_first, only_second) == pytest.approx(p, rel=1e-12)


def test_mcnemar_is_the_share_of_coin_throws_at_least_as_uneven():
    throws = [abs(2 * sum(coins) - 12) for coins in itertools.product((0, 1), repeat=12)]
    for first in range(13):
        uneven = np.mean([throw >= abs(2 * first - 12) for throw in throws])
        assert mcnemar(first, 12 - first) == pytest.approx(uneven, rel=1e-12)


def test_holm_gives_the_hand_worked_example_in_the_order_given():
    # Sorted 0.005, 0.01, 0.03, 0.04, times 4, 3, 2, 1; the last may not fall below 0.06.
    corrected = holm([0.01, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(corrected, [0.03, 0.06, 0.06, 0.02], rtol=1e-12)


def test_holm_goes_up_to_one_and_takes_one_or_none():
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


def judged(right, truth, **more):
    """Draws of answers, one a glitch, that are right or name the class after the true one."""
    verdicts = np.where(right, truth, (truth + 1) % 22)
    return resampled(truth, verdicts, np.full(len(truth), 0.9), np.arange(len(truth)), **more)


def test_the_interval_of_a_difference_is_as_wide_as_its_known_variance():
    n, only_first, only_second = 500, 60, 35
    first, second = np.ones(n, bool), np.ones(n, bool)
    first[-only_second:], second[:only_first] = False, False
    truth = np.arange(n) % 22
    one, two = (judged(right, truth, resamples=4000)["accuracy"] for right in (first, second))
    low, high = percentiles(one - two)
    mean = (only_first - only_second) / n
    deviation = np.sqrt(((only_first + only_second) / n - mean**2) / n)
    assert (low + high) / 2 == pytest.approx(mean, abs=0.15 * deviation)
    assert (high - low) / 2 == pytest.approx(1.96 * deviation, rel=0.06)


def test_systems_that_err_on_the_same_glitches_differ_by_nothing_in_any_draw():
    right, truth = np.arange(300) % 3 > 0, np.arange(300) % 22
    one, two = (judged(right, truth) for _ in range(2))
    assert all(np.array_equal(one[metric], two[metric]) for metric in one)


def test_the_macro_recall_of_a_draw_counts_each_class_that_is_in_it_the_same():
    truth = np.array([3] * 200 + [7])
    draws = judged(truth == 7, truth)
    absent = draws["recall_macro"] == 0  # the only Koi_Fish isn't drawn in 1/e of the draws
    assert set(draws["recall_macro"]) == {0.0, 0.5}
    assert absent.mean() == pytest.approx(1 / np.e, abs=0.05)
    assert np.all(draws["accuracy"][absent] == 0)
