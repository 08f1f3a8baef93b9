"""Calibration: temperatures that are known are found, sets cover, and what is unlike is told."""

import itertools

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from scipy.stats import binom

from flax_glitch.checkpoint import Calibration
from flax_glitch.classes import CLASSES
from flax_glitch.data.table import as_table
from flax_glitch.evaluation.evaluate import Outputs, summary
from flax_glitch.evaluation.metrics import calibration_error
from flax_glitch.predict.calibration import (
    ENOUGH,
    apart,
    conformal_set,
    fit,
    fitted_temperature,
    temperature_of,
    unlikeness,
)


def honest(n, seed=0):
    """Logits whose softmax is the chance of each class, and classes drawn by it."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(n, 22))
    labels = (softmax(logits, axis=1).cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return logits.astype(np.float32), labels


def windows(n, each=4, sharpness=2.0, seed=0):
    """Logits of n glitches' pictures, which err partly together, colours, glitches, and labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(22, size=n)
    logits = rng.normal(size=(n, each, 22)) + rng.normal(size=(n, 1, 22))
    logits[np.arange(n), :, labels] += 2
    scores = (sharpness * logits.reshape(-1, 22)).astype(np.float32)
    return scores, np.zeros(n * each), np.repeat(range(n), each), labels, None, CLASSES


def none_of_these(logits):
    """The score of glitches whose pictures have no strange colours."""
    return unlikeness(logits[..., None, :], np.zeros((*logits.shape[:-1], 1)), CLASSES)


@pytest.mark.parametrize("temperature", [0.25, 1.0, 3.0])
def test_a_known_temperature_is_found(temperature):
    logits, labels = honest(4000)
    found = fitted_temperature(temperature * logits, labels)
    assert found == pytest.approx(temperature, rel=0.04)


def test_logits_times_a_constant_have_that_times_the_temperature():
    logits, labels = honest(200)
    assert fitted_temperature(5 * logits, labels) == pytest.approx(
        5 * fitted_temperature(logits, labels), rel=1e-3
    )


@pytest.mark.parametrize("margin", [1.0, 100.0])
def test_a_network_that_never_erred_is_as_sure_as_so_many_glitches_allow(margin):
    labels = np.arange(220) % 22
    logits = margin * np.eye(22)[labels]
    confidence = softmax(logits / fitted_temperature(logits, labels), axis=1).max(axis=1)
    np.testing.assert_allclose(confidence, 1 - 1 / 222, atol=1e-4)


def test_calibration_makes_overconfident_answers_honest_on_fresh_ones():
    calibration = fit(*windows(300, sharpness=8.0))
    logits, _, _, labels, *_ = windows(4000, sharpness=8.0, seed=1)
    for count in (1, 2, 3, 4):
        fused = logits.reshape(-1, 4, 22)[:, :count].mean(axis=1)
        after = softmax(fused / temperature_of(calibration, count), axis=1)
        before = softmax(fused, axis=1)
        assert calibration_error(after, labels) < 0.04 < calibration_error(before, labels)


def test_more_windows_have_temperatures_of_their_own_and_too_few_glitches_that_below():
    logits, colours, glitches, labels, *rest = windows(200)
    one, two, _, four = (one.temperature for one in fit(*windows(200)))
    assert one > two > four
    kept = np.arange(800) % 4 < np.where(glitches < ENOUGH - 1, 4, 2)
    found = fit(logits[kept], colours[kept], glitches[kept], labels, *rest)
    assert [one.n for one in found] == [200] * 4
    assert found[1] == found[2] == found[3] != found[0]
    kept = np.arange(800) % 4 < np.where(glitches < ENOUGH, 4, 2)
    found = fit(logits[kept], colours[kept], glitches[kept], labels, *rest)
    assert [one.n for one in found] == [200, 200, 20, 20]


def test_untempered_sets_are_by_bare_softmax():
    logits, colours, glitches, labels, *rest = windows(300, sharpness=8.0)
    found = fit(logits, colours, glitches, labels, *rest, tempered=False)
    assert [one.temperature for one in found] == [1.0] * 4
    assert fit(logits, colours, glitches, labels, *rest)[3].scores != found[3].scores
    whole = np.stack([logits[glitches == glitch].mean(0) for glitch in range(300)])
    wrong = 1 - softmax(whole.astype(float), axis=1)[np.arange(300), labels]
    assert found[3].scores[-1] == pytest.approx(wrong.max())


def test_too_few_glitches_give_no_calibration():
    assert fit(*windows(ENOUGH - 1)) == () and len(fit(*windows(ENOUGH))) == 4


def test_a_network_that_judges_windows_together_is_calibrated_alone_and_whole():
    logits, colours, glitches, *_ = windows(200)
    fused, truth = honest(200, seed=3)
    alone, two, three, whole = fit(logits, colours, glitches, truth, 3 * fused, CLASSES)
    assert alone == two == three
    assert whole.temperature == fitted_temperature(3 * fused, truth)
    assert whole.unlike == np.quantile(none_of_these(3 * fused), 0.95, method="higher")


def test_the_same_seed_draws_the_same_windows():
    data = windows(50)
    assert fit(*data) == fit(*data) != fit(*data, seed=1)


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.97])
def test_sets_of_fresh_glitches_hold_the_truth_as_often_as_they_shall(count, coverage):
    calibration = fit(*windows(500))
    logits, _, _, labels, *_ = windows(2000, each=count, seed=2)
    fused = logits.reshape(2000, count, 22).mean(axis=1)
    probabilities = softmax(fused / temperature_of(calibration, count), axis=1)
    sets = [conformal_set(row, calibration[count - 1], coverage) for row in probabilities]
    right = sum(label in one for label, one in zip(labels, sets, strict=True))
    accuracy = np.mean(probabilities.argmax(axis=1) == labels)
    # the 500 that were drawn for the sets spread too (Angelopoulos & Bates, eq. for beta)
    low, high = binom.ppf([0.01, 0.99], 500, coverage) / 500
    assert right >= binom.ppf(0.01, 2000, low)
    assert right <= 2000 * max(accuracy, high + 0.03)


def test_a_set_holds_the_classes_above_the_quantile_best_first_and_grows_with_coverage():
    scores = tuple(np.linspace(0, 1, 101))
    calibration = Calibration(temperature=1.0, unlike=0.0, scores=scores, n=99)
    probabilities = np.zeros(22)
    probabilities[[7, 3, 5]] = 0.55, 0.25, 0.2
    for coverage, kept in ((0.01, [7]), (0.7, [7]), (0.75, [7, 3]), (0.8, [7, 3, 5])):
        assert conformal_set(probabilities, calibration, coverage).tolist() == kept


def test_where_too_few_glitches_were_measured_for_a_coverage_any_class_may_be_the_true_one():
    scores, probabilities = tuple(np.linspace(0, 0.4, 101)), np.array([0.9, 0.1, *[0.0] * 20])
    sets = {
        n: conformal_set(probabilities, Calibration(1.0, 0.0, scores, n), 0.95) for n in (18, 19)
    }
    assert (len(sets[18]), len(sets[19])) == (22, 1)


def test_no_set_is_empty_and_less_coverage_never_adds_a_class():
    calibration = fit(*windows(100))[0]
    for row in softmax(honest(50)[0], axis=1):
        sets = [conformal_set(row, calibration, share) for share in np.linspace(0.02, 0.98, 25)]
        assert len(sets[0])
        assert all(set(less) <= set(more) for less, more in itertools.pairwise(sets))


def test_what_is_none_of_the_classes_or_in_strange_colours_is_unlike():
    logits = np.zeros((2, 22))
    logits[0, CLASSES.index("Blip")] = 9
    logits[1, CLASSES.index("None_of_the_Above")] = 3
    none = np.log(softmax(logits, axis=1)[:, CLASSES.index("None_of_the_Above")])
    np.testing.assert_allclose(none_of_these(logits), none)
    fused = none_of_these(logits.mean(axis=0))
    assert none[0] < fused < none[1]
    assert unlikeness(logits, np.array([0.0, 12.0]), CLASSES) == pytest.approx(fused)
    assert unlikeness(logits, np.array([0.0, 22.0]), CLASSES) == pytest.approx(fused + 5)


def test_a_model_that_learned_outliers_scores_by_their_probability_among_all_outputs():
    logits = np.random.default_rng(0).normal(size=(5, 2, 23))
    mean = logits.mean(axis=1)
    expected = mean[:, 22] - np.log(np.exp(mean).sum(axis=1))
    np.testing.assert_allclose(unlikeness(logits, np.zeros((5, 2)), CLASSES), expected)
    named, outlier = apart(logits, CLASSES)
    np.testing.assert_array_equal(np.concatenate([named, outlier[..., None]], axis=-1), logits)
    assert apart(named, CLASSES)[1] is None


@pytest.mark.parametrize("together", [False, True])
def test_outliers_change_the_threshold_and_neither_temperature_nor_sets(together):
    logits, colours, glitches, labels, *_ = windows(100)
    fused = logits.reshape(100, 4, 22).mean(axis=1) if together else None
    scores = np.random.default_rng(1).normal(size=400).astype(np.float32)
    whole = None if fused is None else np.c_[fused, scores.reshape(100, 4).mean(axis=1)]
    without = fit(logits, colours, glitches, labels, fused, CLASSES)
    found = fit(np.c_[logits, scores], colours, glitches, labels, whole, CLASSES)
    for one, other in zip(found, without, strict=True):
        assert one.temperature == pytest.approx(other.temperature)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-6)
    mean = np.c_[logits, scores].reshape(100, 4, 23).mean(axis=1)
    own = np.sort(log_softmax(mean.astype(float), axis=1)[:, 22])
    assert found[3].unlike == pytest.approx(own[95], abs=1e-5) != without[3].unlike


def test_95_per_cent_of_validation_lie_below_the_threshold_whatever_the_number_of_windows():
    data = windows(400, each=1)
    logits, (one, *_) = data[0], fit(*data)
    assert np.mean(none_of_these(logits) <= one.unlike) == pytest.approx(0.95, abs=1.01 / 400)
    calibration = fit(*windows(400))
    fresh = windows(2000, seed=4)[0].reshape(2000, 4, 22)
    for count, one in enumerate(calibration, 1):
        assert np.mean(
            unlikeness(fresh[:, :count], np.zeros((2000, count)), CLASSES) <= one.unlike
        ) == pytest.approx(0.95, abs=0.03)


def test_a_network_that_learnt_other_colours_finds_them_plain_and_others_strange():
    logits, _, *rest = windows(100)
    colours = np.random.default_rng(0).uniform(30, 40, 400)
    for one, other in zip(fit(logits, colours, *rest), fit(*windows(100)), strict=True):
        assert one.temperature == other.temperature and one.scores == other.scores
        assert 18 < one.unlike - other.unlike < 28


def test_an_evaluation_is_of_calibrated_probabilities_and_tells_what_bare_softmax_did():
    data = windows(200, sharpness=8.0)
    logits, _, glitches, labels, *_ = data
    table = as_table(
        (f"{n}.png", "", "H1", str(glitch), None, CLASSES[labels[glitch]], "test")
        for n, glitch in enumerate(glitches)
    )
    bare = Outputs(logits, table, CLASSES)
    calibrated = Outputs(logits, table, CLASSES, None, fit(*data))
    before, after = summary(bare), summary(calibrated)
    for kind in ("per_image", "per_glitch"):
        assert before[kind]["ece"] == before[kind]["ece_uncalibrated"]
        assert after[kind]["ece_uncalibrated"] == before[kind]["ece"] > 2 * after[kind]["ece"]
        assert after[kind]["accuracy"] == before[kind]["accuracy"]
    np.testing.assert_array_equal(calibrated.uncalibrated.probabilities, bare.probabilities)
    four = logits.reshape(200, 4, 22).mean(axis=1) / calibrated.calibration[3].temperature
    np.testing.assert_allclose(calibrated.glitch_probabilities, softmax(four, axis=1), atol=1e-6)


def test_without_a_class_for_none_of_the_others_what_is_left_over_is_the_score():
    logits = np.array([[9.0, 0.0, 0.0], [1.0, 1.0, 1.0], [800.0, 0.0, 0.0]])
    classes = ("Blip", "Chirp", "Helix")
    sure, unsure, certain = unlikeness(logits[:, None], np.zeros((3, 1)), classes)
    assert unsure == pytest.approx(np.log(2 / 3))
    assert certain < sure < unsure < 0
    assert np.isfinite(certain)
