"""Scores made honest on validation: probabilities that mean what they say, sets, what is unlike.

Each for one, two, three and four windows of a glitch, since more windows make a network surer.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from flax_glitch.arrays import Labels
from flax_glitch.checkpoint import Calibration
from flax_glitch.checkpoint.model import QUANTILES
from flax_glitch.classes import DURATIONS, NONE_OF_THE_ABOVE

ENOUGH = 20
"""Glitches that are enough to be measured on: of fewer, one is more than 5 %."""

LIKE = 0.95
"""Share of validation's glitches that are not called unlike anything in training."""

PLAIN = 12.0
"""Up to this `colour_distance` a picture is in Gravity Spy's colours; as JPEG it has up to 10."""

TEMPERATURES = (0.05, 20.0)
"""The lowest and the highest temperature."""

Scores = Float[np.ndarray, "glitch class"]


def fit(
    logits: Float[np.ndarray, "sample output"],
    colours: Float[np.ndarray, " sample"],
    glitches: Int[np.ndarray, " sample"],
    labels: Int[np.ndarray, " glitch"],
    fused: Float[np.ndarray, "glitch output"] | None,
    classes: Sequence[str],
    *,
    tempered: bool = True,
    seed: int = 0,
) -> tuple[Calibration, ...]:
    """Returns the calibration for one to four windows; empty if there are too few glitches.

    Of each glitch that has so many windows some are drawn. Where too few have, what holds for one
    window less is taken.

    Args:
        logits: of each picture by itself, as `apart` takes them.
        colours: its `colour_distance`.
        glitches: its glitch, numbered from 0 without gaps.
        labels: the true class of each glitch.
        fused: those of each glitch, if the network judges all its windows together.
        classes: those that the model names, in the order of scores.
        tempered: whether temperatures are fitted; they are 1 if not.
        seed: of the windows that are drawn.
    """
    windows = np.bincount(glitches)
    shuffled = np.lexsort((np.random.default_rng(seed).random(len(glitches)), glitches))
    members = np.split(shuffled, np.cumsum(windows)[:-1])
    found: list[Calibration] = []
    for count in range(1, len(DURATIONS) + 1):
        whole = fused if count > 1 else None
        rows = np.flatnonzero(windows >= count if whole is None else windows == count)
        drawn = [members[row][:count] for row in rows]
        if len(rows) < ENOUGH:
            found += found[-1:]
            continue
        judged = logits[drawn] if whole is None else whole[rows][:, None]
        found.append(_measured(judged, colours[drawn], labels[rows], classes, tempered))
    return tuple(found)


def apart(
    logits: Float[np.ndarray, "*sample output"], classes: Sequence[str]
) -> tuple[Float[np.ndarray, "*sample class"], Float[np.ndarray, "*sample"] | None]:
    """Returns the logits of the classes that a model names, and those of outliers.

    Args:
        logits: of the classes, and last, if there is one more, of OUTLIER.
        classes: those that the model names.
    """
    count = len(classes)
    return logits[..., :count], logits[..., -1] if logits.shape[-1] > count else None


def temperature_of(calibration: Sequence[Calibration], windows: int) -> float:
    """Returns what the scores of a glitch in so many windows are divided by, 1 if unknown."""
    return calibration[min(windows, len(calibration)) - 1].temperature if calibration else 1.0


def fitted_temperature(scores: Scores, labels: Labels) -> float:
    """Returns the temperature (Guo et al. 2017) at which softmax is nearest the truth (Brier 1950).

    The squared distance of probabilities is bounded: likelihood would let a few mislabelled
    glitches make all the others unsure. The truth is taken to be the given class in n + 1 of n + 2
    cases (Platt 1999), or a network that errs nowhere in validation would be called certain.
    """
    doubt, count = 1 / (len(scores) + 2), scores.shape[1]
    true = np.arange(count) == np.asarray(labels)[:, None]
    wanted = np.where(true, 1 - doubt, doubt / (count - 1))

    def loss(log_temperature: float) -> float:
        probabilities = softmax(scores.astype(float) / math.exp(log_temperature), axis=1)
        return float(np.mean((probabilities - wanted) ** 2))

    return math.exp(minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded").x)


def unlikeness(
    logits: Float[np.ndarray, "*glitch seen output"],
    colours: Float[np.ndarray, "*glitch view"],
    classes: Sequence[str],
) -> Float[np.ndarray, "*glitch"]:
    """Returns the out-of-distribution score of glitches.

    It is the log-probability of OUTLIER by the mean logits of its windows, or those of all
    together: outlier exposure (Hendrycks et al. 2019, arXiv:1812.04606). A model that learned no
    outliers takes that of None_of_the_Above, which in training has made-up shapes of many kinds;
    docs/experiments.md compares it with the energy and with distances of embeddings. One without
    that class too takes the log of what the greatest probability leaves over (Hendrycks and Gimpel
    2017, arXiv:1610.02136).

    The mean `colour_distance` of windows in strange colours comes on top, since a network is sure
    of photographs, as of the brightest glitches: a score above 0 tells of such.

    Args:
        logits: of each window, or of all in one row, as `apart` takes them.
        colours: `colour_distance` of each window.
        classes: those that the model names.
    """
    probabilities = log_softmax(logits.mean(axis=-2).astype(float), axis=-1)
    _, outlier = apart(probabilities, classes)
    if outlier is not None:
        doubt = outlier
    elif NONE_OF_THE_ABOVE in classes:
        doubt = probabilities[..., list(classes).index(NONE_OF_THE_ABOVE)]
    else:
        doubt = np.log1p(-np.exp(probabilities).max(axis=-1).clip(max=1 - 1e-12))
    return np.asarray(doubt + np.maximum(colours - PLAIN, 0).mean(axis=-1))


def conformal_set(
    probabilities: Float[np.ndarray, " class"], calibration: Calibration, coverage: float
) -> Int[np.ndarray, " kept"]:
    """Returns the classes' numbers, best first, that hold the truth so often.

    Split conformal prediction: over many glitches like those of validation, with a chance of at
    least `coverage`. See Angelopoulos and Bates 2021 (arXiv:2107.07511), section 1. The most
    probable class is always among them.
    """
    # n + 1 are those measured and a new one, whose score stays below the threshold so often
    level = math.ceil((calibration.n + 1) * coverage - 1e-9) / calibration.n
    quantile = math.ceil((QUANTILES - 1) * level - 1e-9)
    threshold = calibration.scores[quantile] if level <= 1 else 1.0
    order = np.argsort(-probabilities, kind="stable")
    return order[: max(1, int(np.sum(1 - probabilities <= threshold)))]


def _measured(
    logits: Float[np.ndarray, "glitch seen output"],
    colours: Float[np.ndarray, "glitch view"],
    labels: Labels,
    classes: Sequence[str],
    tempered: bool,
) -> Calibration:
    scores, _ = apart(logits.mean(axis=1), classes)  # but for a constant the mean log-probability
    temperature = fitted_temperature(scores, labels) if tempered else 1.0
    true = softmax(scores.astype(float) / temperature, axis=1)[np.arange(len(labels)), labels]
    shares = np.linspace(0, 1, QUANTILES)
    quantiles = np.quantile(np.clip(1 - true, 0, 1), shares, method="inverted_cdf")
    unlike = np.quantile(unlikeness(logits, colours, classes), LIKE, method="higher")
    return Calibration(temperature, float(unlike), tuple(quantiles.tolist()), len(labels))
