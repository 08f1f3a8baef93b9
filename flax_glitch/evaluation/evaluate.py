"""A classifier's answers to a whole split, per picture and fused per glitch, and their metrics."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.special import log_softmax, softmax

from flax_glitch.arrays import Labels, Mask, Probabilities, Seen, Units
from flax_glitch.checkpoint import Calibration
from flax_glitch.data.batches import evaluation_batches
from flax_glitch.data.records import Split, class_numbers
from flax_glitch.data.table import glitch_numbers
from flax_glitch.evaluation.metrics import calibration_error, intervals, summarise
from flax_glitch.models.classifier import fuse
from flax_glitch.notes import bar
from flax_glitch.predict.calibration import apart, temperature_of
from flax_glitch.predict.predictor import Predictor

Forward = Callable[[Seen, Mask], jax.Array | np.ndarray]


class Answers(NamedTuple):
    """Probabilities to be judged, the truth, and the glitches that intervals are drawn over."""

    probabilities: Probabilities
    labels: Labels
    glitches: Int[np.ndarray, " sample"]


@dataclasses.dataclass(frozen=True, eq=False)
class Outputs:
    """The scores of every picture of a split, and which pictures these are."""

    logits: Float[np.ndarray, "sample class"]
    """Scores before softmax, one row a picture."""
    table: pd.DataFrame
    """The pictures, in the same order; see `data.table.COLUMNS`."""
    classes: tuple[str, ...]
    """Those that the model names, in the order of scores."""
    fused: Float[np.ndarray, "glitch class"] | None = None
    """Scores of each glitch, if the network judges its windows together."""
    calibration: tuple[Calibration, ...] = ()
    """What makes probabilities of scores, beside softmax."""
    outlier: Float[np.ndarray, " sample"] | None = None
    """The score of each picture for `classes.OUTLIER`, if the model learned outliers."""
    fused_outlier: Float[np.ndarray, " glitch"] | None = None
    """The same of each glitch, if the network judges its windows together."""

    @property
    def uncalibrated(self) -> "Outputs":
        """The same scores with bare softmax."""
        return dataclasses.replace(self, calibration=())

    @property
    def scores(
        self,
    ) -> tuple[Float[np.ndarray, "sample output"], Float[np.ndarray, "glitch output"] | None]:
        """Logits and `fused` with the scores of outliers last, as `calibration.fit` takes them."""
        if self.outlier is None:
            return self.logits, self.fused
        logits = np.column_stack([self.logits, self.outlier])
        if self.fused is None or self.fused_outlier is None:
            return logits, None
        return logits, np.column_stack([self.fused, self.fused_outlier])

    @cached_property
    def labels(self) -> Int[np.ndarray, " sample"]:
        """The true class of each picture."""
        return class_numbers(self.table, self.classes)

    @cached_property
    def probabilities(self) -> Float[np.ndarray, "sample class"]:
        """Class probabilities of each picture by itself."""
        scores = self.logits.astype(float) / temperature_of(self.calibration, 1)
        return softmax(scores, axis=1)

    @cached_property
    def glitches(self) -> Int[np.ndarray, " sample"]:
        """The glitch that each picture shows, numbered in order of appearance."""
        return glitch_numbers(self.table)

    @cached_property
    def glitch_labels(self) -> Int[np.ndarray, " glitch"]:
        """The true class of each glitch."""
        return self.labels[np.unique(self.glitches, return_index=True)[1]]

    @cached_property
    def glitch_probabilities(self) -> Float[np.ndarray, "glitch class"]:
        """Class probabilities of each glitch: the network's own, or its pictures' fused.

        Pictures are fused by their mean log-probability.
        """
        windows = np.bincount(self.glitches)
        scores = self.fused
        if scores is None:
            scores = np.zeros((len(windows), len(self.classes)))
            np.add.at(scores, self.glitches, log_softmax(self.logits.astype(float), axis=1))
            scores /= windows[:, None]
        temperatures = np.array([temperature_of(self.calibration, int(n)) for n in windows])
        return softmax(scores.astype(float) / temperatures[:, None], axis=1)

    @property
    def answers(self) -> dict[str, Answers]:
        """What is judged, `per_image` and `per_glitch`."""
        numbers = np.arange(len(self.glitch_labels))
        return {
            "per_image": Answers(self.probabilities, self.labels, self.glitches),
            "per_glitch": Answers(self.glitch_probabilities, self.glitch_labels, numbers),
        }


def evaluate(predictor: Predictor, split: Split, batch_size: int = 16) -> Outputs:
    """Returns a model's scores of every picture of a split, and its calibration.

    A model that judges the windows of a glitch together is tried on each picture without the
    others, and on each glitch as a whole.

    Args:
        predictor: the model.
        split: pictures of the classes that it names.
        batch_size: units a batch; the last one is padded to it, so that jit compiles once.

    Raises:
        ValueError: if the split is empty.
    """
    if not len(split):
        raise ValueError("the split holds no pictures; evaluate one that does")
    merged, forward, classes = predictor.merged, predictor.forward, predictor.classes
    scores = score(forward, split, split.apart if merged else split.alone, batch_size)
    logits, outlier = apart(scores, classes)
    fused = fused_outlier = None
    if merged:
        fused, fused_outlier = apart(score(forward, split, split.together, batch_size), classes)
    said = predictor.calibration
    return Outputs(logits, split.table, classes, fused, said, outlier, fused_outlier)


def score(
    forward: Forward, split: Split, units: Units, batch_size: int, *, progress: bool = True
) -> Float[np.ndarray, "unit output"]:
    """Returns the scores of each unit, its views' mean; see `evaluate`."""
    logits = []
    with bar(total=len(units), desc="evaluate", hidden=not progress) as shown:
        for batch in evaluation_batches(split, units, batch_size):
            scores = np.asarray(fuse(forward(batch.views, batch.mask), batch.mask), np.float32)
            logits.append(scores[np.asarray(batch.weights) > 0])
            shown.update(len(logits[-1]))
    return np.concatenate(logits)


def join(parts: Sequence[Outputs]) -> Outputs:
    """Returns the outputs of several splits or folds, which share no glitch, as one."""
    return dataclasses.replace(
        parts[0],
        logits=np.concatenate([part.logits for part in parts]),
        table=pd.concat([part.table for part in parts], ignore_index=True),
        fused=_joined(part.fused for part in parts),
        outlier=_joined(part.outlier for part in parts),
        fused_outlier=_joined(part.fused_outlier for part in parts),
    )


def _joined(scores: Iterable[np.ndarray | None]) -> np.ndarray | None:
    there = [one for one in scores if one is not None]
    return np.concatenate(there) if there else None


def summary(outputs: Outputs) -> dict[str, Any]:
    """Returns the metrics and their 95 % intervals, `per_image` and `per_glitch`.

    `ece` is that of the calibrated probabilities, `ece_uncalibrated` that of bare softmax.
    """
    bare = outputs.uncalibrated.answers
    return {
        kind: summarise(probabilities, labels, outputs.classes)
        | {"intervals": intervals(probabilities, labels, glitches)}
        | {"ece_uncalibrated": calibration_error(bare[kind].probabilities, labels)}
        for kind, (probabilities, labels, glitches) in outputs.answers.items()
    }
