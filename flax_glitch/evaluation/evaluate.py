"""A classifier's answers to a whole split, per picture and fused per glitch, and their metrics."""

import dataclasses
from collections.abc import Callable
from functools import cached_property
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int
from tqdm import tqdm

from flax_glitch.arrays import Labels, RawViews
from flax_glitch.classes import INDEX
from flax_glitch.data.batches import evaluation_batches
from flax_glitch.data.prepared import Entry, Split
from flax_glitch.evaluation.metrics import intervals, log_softmax, summarise


@dataclasses.dataclass(frozen=True)
class Outputs:
    """The scores of every picture of a split, and which pictures these are."""

    logits: Float[np.ndarray, "sample 22"]
    """Scores before softmax, one row a picture."""
    entries: tuple[Entry, ...]
    """The pictures, in the same order."""

    @cached_property
    def labels(self) -> Int[np.ndarray, " sample"]:
        """The true class of each picture."""
        return np.array([INDEX[entry.label] for entry in self.entries])

    @cached_property
    def probabilities(self) -> Float[np.ndarray, "sample 22"]:
        """Class probabilities of each picture by itself."""
        return np.exp(log_softmax(self.logits))

    @cached_property
    def glitches(self) -> Int[np.ndarray, " sample"]:
        """The glitch that each picture shows, numbered in order of appearance."""
        numbers: dict[tuple[str, str], int] = {}
        names = ((entry.ifo, entry.gravityspy_id) for entry in self.entries)
        return np.array([numbers.setdefault(name, len(numbers)) for name in names])

    @cached_property
    def glitch_labels(self) -> Int[np.ndarray, " glitch"]:
        """The true class of each glitch."""
        return self.labels[np.unique(self.glitches, return_index=True)[1]]

    @cached_property
    def glitch_probabilities(self) -> Float[np.ndarray, "glitch 22"]:
        """Class probabilities of each glitch: the mean log-probability of its pictures."""
        total = np.zeros((self.glitches.max() + 1, self.logits.shape[1]))
        np.add.at(total, self.glitches, log_softmax(self.logits))
        return np.exp(log_softmax(total / np.bincount(self.glitches)[:, None]))


def evaluate(
    forward: Callable[[RawViews], jax.Array | np.ndarray],
    split: Split,
    batch_size: int,
    progress: bool = True,
) -> Outputs:
    """Returns a classifier's scores of every picture of a split.

    Args:
        forward: from the views of a batch, (batch, 1, size, size, 3), to logits (batch, 1, 22).
        split: the pictures.
        batch_size: pictures a batch; the last one is padded to it, so `forward` compiles once.
        progress: show a progress bar.

    Raises:
        ValueError: if the split is empty.
    """
    if not len(split):
        raise ValueError("the split holds no pictures; evaluate one that does")
    logits = []
    with tqdm(total=len(split), desc="evaluate", unit="picture", disable=not progress) as bar:
        for batch in evaluation_batches(split, batch_size):
            scores = np.asarray(forward(batch.views), np.float32)[:, 0]
            logits.append(scores[np.asarray(batch.weights) > 0])
            bar.update(len(logits[-1]))
    return Outputs(np.concatenate(logits), split.entries)


def summary(outputs: Outputs) -> dict[str, Any]:
    """Returns the metrics and their 95 % intervals, `per_image` and `per_glitch`."""
    fused = np.arange(len(outputs.glitch_labels))
    return {
        "per_image": _measured(outputs.probabilities, outputs.labels, outputs.glitches),
        "per_glitch": _measured(outputs.glitch_probabilities, outputs.glitch_labels, fused),
    }


def _measured(probabilities: np.ndarray, labels: Labels, glitches: np.ndarray) -> dict[str, Any]:
    metrics = summarise(probabilities, labels)
    return metrics | {"intervals": intervals(probabilities, labels, glitches)}
