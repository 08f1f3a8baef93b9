"""How good class probabilities are: scikit-learn's metrics, the bootstrap, tests of pairs.

Macro averages are over the classes present in the truth, each counting the same; a class of
those that was never given as an answer counts with precision 0. A number that the samples don't
define is None: the AUCs where the truth holds one class only, the intervals of one glitch.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.sparse import csr_array
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, classification_report, roc_auc_score

from flax_glitch.arrays import Labels, Probabilities

CONFIDENCE_BINS = 15
"""Equal-width bins of the calibration error (Guo et al. 2017, arXiv:1706.04599)."""

RESAMPLES = 1000
"""Bootstrap samples that an interval is made of."""

Draws = Mapping[str, Float[np.ndarray, " draw"]]
"""Metrics of bootstrap draws, by name."""


def epoch_metrics(probabilities: Probabilities, labels: Labels) -> dict[str, float | None]:
    """Returns the few metrics that are followed through training.

    Returns:
        accuracy, binary_accuracy (what Keras shows: the share of all classes' probabilities that
        are on the right side of one half; with 22 classes, saying nothing at all gets 95.5 %),
        precision_macro, recall_macro, pr_auc and roc_auc (one class against the rest, macro).

    Raises:
        ValueError: if there are no samples or a probability isn't finite.
    """
    truth = _checked(probabilities, labels)
    rates, numbers = _rates(probabilities, truth), np.arange(probabilities.shape[1])
    return {
        "accuracy": float(rates.at["weighted avg", "recall"]),
        "binary_accuracy": float(np.mean((probabilities > 0.5) == (numbers == truth[:, None]))),
        "precision_macro": float(rates.at["macro", "precision"]),
        "recall_macro": float(rates.at["macro", "recall"]),
        "pr_auc": _mean(_areas(average_precision_score, probabilities, truth)),
        "roc_auc": _mean(_areas(roc_auc_score, probabilities, truth)),
    }


def summarise(
    probabilities: Probabilities, labels: Labels, classes: Sequence[str]
) -> dict[str, Any]:
    """Returns every metric of a set of answers, ready for JSON.

    Args:
        probabilities: one row a sample.
        labels: its true class.
        classes: names of the classes, in the order of probabilities.

    Returns:
        n, classes_present (the classes that macro averages and AUCs are over), the metrics of
        `epoch_metrics`, precision and recall (`_weighted`, `_micro`, `_macro`), f1_macro, ece,
        top_2 and per_class.

    Raises:
        ValueError: if there are no samples or a probability isn't finite.
    """
    followed, truth = epoch_metrics(probabilities, labels), np.asarray(labels)
    rates = _rates(probabilities, truth)
    weighted = rates.loc["weighted avg"]
    first_two = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]
    return {
        "n": len(truth),
        "classes_present": [classes[number] for number in np.unique(truth)],
        **followed,
        "precision_weighted": float(weighted["precision"]),
        "recall_weighted": float(weighted["recall"]),
        # One answer a sample: every wrong one is a miss and a false alarm, so both are this.
        "precision_micro": followed["accuracy"],
        "recall_micro": followed["accuracy"],
        "f1_macro": float(rates.at["macro", "f1-score"]),
        "ece": calibration_error(probabilities, truth),
        "top_2": float(np.mean((first_two == truth[:, None]).any(axis=1))),
        "per_class": _per_class(probabilities, truth, classes),
    }


def calibration_error(probabilities: Probabilities, labels: Labels) -> float:
    """Returns the expected calibration error of the top confidence (Guo et al. 2017, eq. 3)."""
    bins = reliability(probabilities, labels)
    return float((bins["n"] * (bins["confidence"] - bins["right"]).abs()).sum() / len(labels))


def reliability(probabilities: Probabilities, labels: Labels) -> pd.DataFrame:
    """Returns mean confidence, share of right answers and number of each bin that holds any."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    answers = pd.DataFrame({"confidence": confidence.astype(float), "right": right, "n": 1})
    return answers.groupby(_bins(confidence)).agg(
        {"confidence": "mean", "right": "mean", "n": "sum"}
    )


def intervals(
    probabilities: Probabilities, labels: Labels, glitches: Int[np.ndarray, " sample"]
) -> dict[str, list[float] | None]:
    """Returns 95 % bootstrap intervals of `resampled` metrics: [low, high].

    The calibration error can't be negative, so a small one lies at the low end of its interval, or
    even below.

    Args:
        probabilities: one row a picture.
        labels: its true class.
        glitches: its glitch, numbered from 0 without gaps.
    """
    verdicts, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1).astype(float)
    draws = resampled(labels, verdicts, confidence, glitches)
    if glitches.max() == 0:
        return dict.fromkeys(draws)
    return {name: percentiles(values) for name, values in draws.items()}


def resampled(
    labels: Labels,
    verdicts: Labels,
    confidence: Float[np.ndarray, " sample"],
    glitches: Int[np.ndarray, " sample"],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Draws:
    """Returns accuracy, macro averages and calibration error of bootstrap draws of glitches.

    Glitches are drawn with replacement, each with all its pictures, since the pictures of one
    glitch are right or wrong together. A draw's macro averages are over the classes in it. The same
    seed draws the same glitches, so that the draws of two systems are pairs.

    Args:
        labels: true class of each picture.
        verdicts: the class that it was taken for.
        confidence: the probability of that class.
        glitches: its glitch, numbered from 0 without gaps.
        resamples: number of draws.
        seed: seed of the draws.
    """
    truth, right = np.asarray(labels), np.asarray(labels) == verdicts
    classes, n = int(max(truth.max(), np.max(verdicts))) + 1, int(glitches.max()) + 1
    ones = np.ones(len(truth))
    # A row a glitch; the columns: pictures by truth, by verdict, right ones by truth, and the
    # excess confidence by bin.
    columns = np.stack(
        (truth, classes + verdicts, 2 * classes + truth, 3 * classes + _bins(confidence))
    )
    values = np.stack((ones, ones, right, confidence - right))
    shape = (n, 3 * classes + CONFIDENCE_BINS)
    tally = csr_array((values.ravel(), (np.tile(glitches, 4), columns.ravel())), shape)
    rng = np.random.default_rng(seed)
    drawn = np.empty((resamples, shape[1]))
    for draw in drawn:
        draw[:] = np.bincount(rng.integers(n, size=n), minlength=n) @ tally
    return _metrics_of_draws(*np.split(drawn, (classes, 2 * classes, 3 * classes), axis=1))


def percentiles(values: Float[np.ndarray, " draw"]) -> list[float]:
    """Returns the limits that 95 % of draws lie within."""
    return np.percentile(values, (2.5, 97.5)).tolist()


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


def _checked(probabilities: Probabilities, labels: Labels) -> Int[np.ndarray, " sample"]:
    if len(probabilities) == 0:
        raise ValueError("probabilities: there are no samples; metrics want at least one")
    broken = ~np.isfinite(probabilities).all(axis=1)
    if broken.any():
        raise ValueError(
            f"probabilities: {broken.sum()} of {len(broken)} samples hold a NaN or an infinity, "
            f"the first is number {broken.argmax()}; was the model trained to a finite loss?"
        )
    return np.asarray(labels)


def _rates(probabilities: np.ndarray, truth: np.ndarray) -> pd.DataFrame:
    """scikit-learn's report, a row a class by its number, with a macro row over the truth's."""
    numbers = np.arange(probabilities.shape[1])
    report = classification_report(
        truth, probabilities.argmax(axis=1), labels=numbers, output_dict=True, zero_division=0
    )
    rates = pd.DataFrame(report).T
    rates.loc["macro"] = rates.loc[np.unique(truth).astype(str)].mean()
    return rates


def _areas(metric: Any, probabilities: np.ndarray, truth: np.ndarray) -> dict[int, float]:
    """The area under the curve of each class in the truth; none if that holds one class only."""
    present = np.unique(truth)
    if len(present) < 2:
        return {}
    areas = metric(truth[:, None] == present, probabilities[:, present], average=None)
    return dict(zip(present.tolist(), areas.tolist(), strict=True))


def _mean(areas: Mapping[int, float]) -> float | None:
    return float(np.mean(list(areas.values()))) if areas else None


def _per_class(
    probabilities: np.ndarray, truth: np.ndarray, classes: Sequence[str]
) -> dict[str, dict[str, Any]]:
    answered = np.bincount(probabilities.argmax(axis=1), minlength=len(classes))
    areas = _areas(average_precision_score, probabilities, truth)
    rates = _rates(probabilities, truth)
    table: dict[str, dict[str, Any]] = {}
    for number, name in enumerate(classes):
        precision, recall, f1, n = (float(rate) for rate in rates.loc[str(number)])
        table[name] = {
            "n": int(n),
            "precision": precision if n or answered[number] else None,
            "recall": recall if n else None,
            "f1": f1 if n else None,
            "average_precision": areas.get(number),
        }
    return table


def _bins(confidence: Float[np.ndarray, " sample"]) -> Int[np.ndarray, " sample"]:
    """The bin of each confidence, its lower edge excluded."""
    return np.digitize(confidence, np.linspace(0, 1, CONFIDENCE_BINS + 1)[1:-1], right=True)


def _metrics_of_draws(
    true: np.ndarray, answered: np.ndarray, right: np.ndarray, excess: np.ndarray
) -> Draws:
    n, present = true.sum(axis=1), true > 0
    each = {
        "precision_macro": right / np.maximum(answered, 1),
        "recall_macro": right / np.maximum(true, 1),
        "f1_macro": 2 * right / np.maximum(true + answered, 1),
    }
    macro = {name: values.mean(axis=1, where=present) for name, values in each.items()}
    return {
        "accuracy": right.sum(axis=1) / n,
        **macro,
        "ece": np.abs(excess).sum(axis=1) / n,
    }
