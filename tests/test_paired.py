"""Tests of two systems on the same glitches agree with hand-worked numbers and known variances."""

import itertools

import numpy as np
import pytest

from flax_glitch.evaluation.paired import difference, holm, mcnemar, resampled


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


def test_the_interval_of_a_difference_is_as_wide_as_its_known_variance():
    n, only_first, only_second = 500, 60, 35
    first, second = np.ones(n, bool), np.ones(n, bool)
    first[-only_second:], second[:only_first] = False, False
    truth = np.arange(n) % 22
    draws = [resampled(right, truth, resamples=4000) for right in (first, second)]
    low, high = difference(*draws)["accuracy"]
    mean = (only_first - only_second) / n
    deviation = np.sqrt(((only_first + only_second) / n - mean**2) / n)
    assert (low + high) / 2 == pytest.approx(mean, abs=0.15 * deviation)
    assert (high - low) / 2 == pytest.approx(1.96 * deviation, rel=0.06)


def test_systems_that_err_on_the_same_glitches_differ_by_nothing_in_any_draw():
    right = np.arange(300) % 3 > 0
    draws = [resampled(right, np.arange(300) % 22) for _ in range(2)]
    assert difference(*draws) == {"accuracy": [0, 0], "recall_macro": [0, 0]}


def test_the_macro_recall_of_a_draw_counts_each_class_that_is_in_it_the_same():
    truth = np.array([3] * 200 + [7])
    draws = resampled(truth == 7, truth)
    absent = draws["recall_macro"] == 0  # the only Koi_Fish isn't drawn in 1/e of the draws
    assert set(draws["recall_macro"]) == {0.0, 0.5}
    assert absent.mean() == pytest.approx(1 / np.e, abs=0.05)
    assert np.all(draws["accuracy"][absent] == 0)
