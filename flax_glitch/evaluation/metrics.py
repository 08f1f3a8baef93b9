"""How good class probabilities are: scikit-learn's metrics, the calibration error, intervals.

Macro averages are over the classes present in the truth, each counting the same; a class of
those that was never given as an answer counts with precision 0. A number that the samples don't
define is None: the AUCs where the truth holds one class only, the intervals of one glitch.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Int, Num
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    precision_recall_fscore_support,
    roc_auc_score,
    top_k_accuracy_score,
)

from flax_glitch.arrays import Labels, Probabilities
from flax_glitch.classes import CLASSES

CONFIDENCE_BINS = 15
"""Equal-width bins of the calibration error (Guo et al. 2017, arXiv:1706.04599)."""

RESAMPLES = 1000
"""Bootstrap samples that an interval is made of."""


def log_softmax(logits: Float[np.ndarray, "sample class"]) -> Float[np.ndarray, "sample class"]:
    """Returns the log-probabilities that scores stand for, in double precision."""
    scores = logits.astype(np.float64)
    return scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)


def epoch_metrics(probabilities: Probabilities, labels: Labels) -> dict[str, float | None]:
    """Returns the few metrics that are followed through training.

    Returns:
        accuracy, binary_accuracy (what Keras shows: the share of all classes' probabilities that
        are on the right side of one half), precision_macro, recall_macro, pr_auc and roc_auc (one
        class against the rest, macro).

    Raises:
        ValueError: if there are no samples or a probability isn't finite.
    """
    probabilities, truth = _checked(probabilities, labels)
    precision, recall, _ = _averages(truth, probabilities.argmax(axis=1), "macro")
    return {
        "accuracy": float(accuracy_score(truth, probabilities.argmax(axis=1))),
        "binary_accuracy": binary_accuracy(probabilities, truth),
        "precision_macro": precision,
        "recall_macro": recall,
        "pr_auc": _area(average_precision_score, probabilities, truth),
        "roc_auc": _area(roc_auc_score, probabilities, truth),
    }


def summarise(probabilities: Probabilities, labels: Labels) -> dict[str, Any]:
    """Returns every metric of a set of answers, ready for JSON.

    Returns:
        n, classes_present (the classes that macro averages and AUCs are over), accuracy,
        precision, recall (`_weighted`, `_micro`, `_macro`), f1_macro, pr_auc, roc_auc, ece,
        top_2 and per_class.

    Raises:
        ValueError: if there are no samples or a probability isn't finite.
    """
    probabilities, truth = _checked(probabilities, labels)
    verdicts = probabilities.argmax(axis=1)
    summary: dict[str, Any] = {
        "n": len(truth),
        "classes_present": [CLASSES[number] for number in np.unique(truth)],
    }
    summary |= epoch_metrics(probabilities, truth)
    for average in ("weighted", "micro", "macro"):
        precision, recall, f1 = _averages(truth, verdicts, average)
        summary |= {f"precision_{average}": precision, f"recall_{average}": recall}
    summary["f1_macro"] = f1
    summary["ece"] = calibration_error(probabilities, truth)
    every = np.arange(len(CLASSES))
    summary["top_2"] = float(top_k_accuracy_score(truth, probabilities, k=2, labels=every))
    summary["per_class"] = _per_class(probabilities, truth)
    return summary


def binary_accuracy(probabilities: Probabilities, labels: Labels) -> float:
    """Returns the share of (picture, class) pairs whose probability is right about one half.

    Keras' `BinaryAccuracy`. With 22 classes, saying nothing at all is right in 95.5 % of them.
    """
    asked = np.arange(probabilities.shape[1])[None] == np.asarray(labels)[:, None]
    return float(np.mean((probabilities > 0.5) == asked))


def calibration_error(probabilities: Probabilities, labels: Labels) -> float:
    """Returns the expected calibration error of the top confidence (Guo et al. 2017, eq. 3)."""
    bins, excess = _calibration(probabilities, np.asarray(labels))
    return float(np.abs(np.bincount(bins, excess)).sum() / len(bins))


def reliability(
    probabilities: Probabilities, labels: Labels
) -> tuple[Float[np.ndarray, " bin"], Float[np.ndarray, " bin"], Int[np.ndarray, " bin"]]:
    """Returns mean confidence, share of right answers and number of each bin that holds any."""
    bins, excess = _calibration(probabilities, np.asarray(labels))
    _, place, n = np.unique(bins, return_inverse=True, return_counts=True)
    confidence = np.bincount(place, probabilities.max(axis=1)) / n
    return confidence, confidence - np.bincount(place, excess) / n, n


def intervals(
    probabilities: Probabilities,
    labels: Labels,
    glitches: Int[np.ndarray, " sample"],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, list[float] | None]:
    """Returns 95 % percentile bootstrap intervals over glitches: metric to [low, high].

    Glitches are drawn with replacement, each with all its pictures, since the pictures of one
    glitch are right or wrong together. A draw's macro averages are over the classes in it. The
    calibration error can't be negative, so a small one lies at the low end of its interval, or
    even below.

    Args:
        probabilities: one row a picture.
        labels: its true class.
        glitches: its glitch, numbered from 0 without gaps.
        resamples: number of draws.
        seed: seed of the draws.
    """
    probabilities, truth = _checked(probabilities, labels)
    confusion, excess = _resampled(probabilities, truth, glitches, resamples, seed)
    draws = _rates(confusion) | {"ece": np.abs(excess).sum(axis=1) / confusion.sum(axis=(1, 2))}
    if glitches.max() == 0:
        return dict.fromkeys(draws)
    limits = {name: np.percentile(values, (2.5, 97.5)) for name, values in draws.items()}
    return {name: [float(low), float(high)] for name, (low, high) in limits.items()}


def _checked(
    probabilities: Probabilities, labels: Labels
) -> tuple[Float[np.ndarray, "sample class"], Int[np.ndarray, " sample"]]:
    if len(probabilities) == 0:
        raise ValueError("probabilities: there are no samples; metrics want at least one")
    broken = ~np.isfinite(probabilities).all(axis=1)
    if broken.any():
        raise ValueError(
            f"probabilities: {broken.sum()} of {len(broken)} samples hold a NaN or an infinity, "
            f"the first is number {broken.argmax()}; was the model trained to a finite loss?"
        )
    return probabilities, np.asarray(labels)


def _averages(truth: np.ndarray, verdicts: np.ndarray, average: str) -> tuple[float, float, float]:
    """Precision, recall and F1; a wrong answer outside the truth's classes counts in micro only."""
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth,
        verdicts,
        labels=np.unique(truth) if average == "macro" else None,
        average=average,
        zero_division=0,
    )
    return float(precision), float(recall), float(f1)


def _area(metric: Any, probabilities: np.ndarray, truth: np.ndarray) -> float | None:
    present = np.unique(truth)
    if len(present) < 2:
        return None
    return float(metric(truth[:, None] == present, probabilities[:, present], average="macro"))


def _per_class(probabilities: np.ndarray, truth: np.ndarray) -> dict[str, dict[str, Any]]:
    verdicts = probabilities.argmax(axis=1)
    answered = np.bincount(verdicts, minlength=len(CLASSES))
    columns = precision_recall_fscore_support(
        truth, verdicts, labels=np.arange(len(CLASSES)), zero_division=0
    )
    table: dict[str, dict[str, Any]] = {}
    for number, (precision, recall, f1, n) in enumerate(zip(*columns, strict=True)):
        positive = truth == number
        ranked = average_precision_score(positive, probabilities[:, number]) if n else None
        table[CLASSES[number]] = {
            "n": int(n),
            "precision": float(precision) if n or answered[number] else None,
            "recall": float(recall) if n else None,
            "f1": float(f1) if n else None,
            "average_precision": None if ranked is None or positive.all() else float(ranked),
        }
    return table


def _calibration(probabilities: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each sample's confidence bin, lower edge excluded, and its confidence minus 1 if right."""
    confidence = probabilities.max(axis=1).astype(float)
    edges = np.linspace(0, 1, CONFIDENCE_BINS + 1)[1:-1]
    right = probabilities.argmax(axis=1) == truth
    return np.digitize(confidence, edges, right=True), confidence - right


def _resampled(
    probabilities: np.ndarray, truth: np.ndarray, glitches: np.ndarray, resamples: int, seed: int
) -> tuple[Num[np.ndarray, "draw class class"], Float[np.ndarray, "draw bin"]]:
    """The confusion matrix of each draw, and its summed excess confidence in each bin."""
    rng = np.random.default_rng(seed)
    cells = truth * len(CLASSES) + probabilities.argmax(axis=1)
    bins, excess = _calibration(probabilities, truth)
    confusion = np.empty((resamples, len(CLASSES) ** 2))
    gaps = np.empty((resamples, CONFIDENCE_BINS))
    n = int(glitches.max()) + 1
    for draw in range(resamples):
        weight = np.bincount(rng.integers(n, size=n), minlength=n)[glitches]
        confusion[draw] = np.bincount(cells, weight, minlength=len(CLASSES) ** 2)
        gaps[draw] = np.bincount(bins, weight * excess, minlength=CONFIDENCE_BINS)
    return confusion.reshape(resamples, len(CLASSES), len(CLASSES)), gaps


def _rates(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """Accuracy and macro averages of each draw's confusion matrix (truth, verdict)."""
    right = np.diagonal(confusion, axis1=1, axis2=2)
    true, answered = confusion.sum(axis=2), confusion.sum(axis=1)
    present = true > 0
    precision = right / np.maximum(answered, 1)
    recall = right / np.maximum(true, 1)
    f1 = 2 * right / np.maximum(true + answered, 1)
    means = {"precision_macro": precision, "recall_macro": recall, "f1_macro": f1}
    return {"accuracy": right.sum(axis=1) / true.sum(axis=1)} | {
        name: values.mean(axis=1, where=present) for name, values in means.items()
    }
