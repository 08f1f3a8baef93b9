"""Whether two systems that judged the same glitches differ by more than chance."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import binomtest

from flax_glitch.arrays import Labels
from flax_glitch.classes import CLASSES
from flax_glitch.evaluation.metrics import RESAMPLES

Draws = Float[np.ndarray, " draw"]


def mcnemar(only_first: int, only_second: int) -> float:
    """Returns the exact two-sided p-value of McNemar's test (1947): both err equally often.

    Args:
        only_first: glitches that the first system alone has right.
        only_second: glitches that the second one alone has right.
    """
    if only_first == only_second == 0:
        return 1.0
    return float(binomtest(only_first, only_first + only_second, 0.5).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p-values corrected for their number by Holm's step-down procedure (1979)."""
    order = np.argsort(p_values)
    scaled = np.asarray(p_values, float)[order] * np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return corrected.tolist()


def resampled(
    right: Bool[np.ndarray, " glitch"], truth: Labels, *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Draws]:
    """Returns accuracy and macro recall of bootstrap draws of the glitches.

    The same seed draws the same glitches, so that the draws of two systems are pairs. A draw's
    macro recall is over the classes in it.

    Args:
        right: whether each glitch was judged right.
        truth: its true class.
        resamples: number of draws.
        seed: seed of the draws.
    """
    rng = np.random.default_rng(seed)
    n, truth = len(right), np.asarray(truth)
    accuracy, recall = np.empty(resamples), np.empty(resamples)
    for draw in range(resamples):
        drawn = rng.integers(n, size=n)
        all_of = np.bincount(truth[drawn], minlength=len(CLASSES))
        right_of = np.bincount(truth[drawn], right[drawn], minlength=len(CLASSES))
        accuracy[draw] = right_of.sum() / n
        recall[draw] = np.mean(right_of[all_of > 0] / all_of[all_of > 0])
    return {"accuracy": accuracy, "recall_macro": recall}


def difference(first: Mapping[str, Draws], second: Mapping[str, Draws]) -> dict[str, list[float]]:
    """Returns the 95 % percentile interval of first minus second: metric to [low, high]."""
    return {name: np.percentile(first[name] - second[name], (2.5, 97.5)).tolist() for name in first}
