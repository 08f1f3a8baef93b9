"""Batches of pictures, read ahead by grain on threads."""

import dataclasses
import os
from collections.abc import Iterator

import grain
import jax
import numpy as np
from jaxtyping import Int

from flax_glitch.arrays import Labels, Logits, Mask, Seen, Units, Weights
from flax_glitch.data.records import Split


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Batch:
    """Pictures of some glitches with their classes; a weight of 0 marks a row that only fills.

    Where the split has them, `views` are the maps that frozen layers made of the pictures.
    """

    views: Seen
    mask: Mask
    labels: Labels
    weights: Weights
    taught: Logits | None = None
    """A teacher's scores of each view."""


def batches_an_epoch(units: Units, batch_size: int) -> int:
    """Returns how many batches `training_batches` makes of so many units."""
    return len(units) // _fitting(units, batch_size)


def training_batches(
    split: Split,
    units: Units,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    start: int = 0,
    balanced: bool = False,
) -> Iterator[Batch]:
    """Returns the batches of one epoch, from number `start` on, as seed and epoch decide.

    Fewer units than a batch are one batch. Every unit comes once, but for those that don't fill a
    batch, which are left for other epochs; balanced, there are as many of each class: those of rare
    classes come repeatedly and some of common ones not at all.

    Raises:
        ValueError: if there are no pictures.
    """
    size = _fitting(units, batch_size)
    random = np.random.default_rng([seed, epoch])
    if balanced:
        order = _balanced(labels_of(split, units), random)
    else:
        order = random.permutation(len(units))
    numbers = grain.MapDataset.source(order).batch(size, drop_remainder=True)
    return _read_ahead(numbers.slice(slice(start, None)), split, units, size)


def evaluation_batches(split: Split, units: Units, batch_size: int) -> Iterator[Batch]:
    """Returns all units in order; the last batch is filled up with rows of weight 0."""
    _check(batch_size)
    numbers = grain.MapDataset.range(len(units)).batch(batch_size, drop_remainder=False)
    return _read_ahead(numbers, split, units, batch_size)


def labels_of(split: Split, units: Units) -> Labels:
    """Returns the class number of each unit: that of any of its pictures."""
    return split.labels[units.max(axis=1)]


def _fitting(units: Units, batch_size: int) -> int:
    if not len(units):
        raise ValueError("there are no training pictures; give a source that has some")
    _check(batch_size)
    return min(batch_size, len(units))


def _check(batch_size: int) -> None:
    if batch_size < 1:
        raise ValueError(f"batch size {batch_size}: must be at least 1")


def _balanced(labels: Labels, random: np.random.Generator) -> Int[np.ndarray, " sample"]:
    classes = np.unique(np.asarray(labels))
    quota = -(-len(labels) // len(classes))
    drawn = []
    for number in classes:
        members = np.flatnonzero(np.asarray(labels) == number)
        rounds = -(-quota // len(members))
        drawn += [np.concatenate([random.permutation(members) for _ in range(rounds)])[:quota]]
    return random.permutation(np.concatenate(drawn))[: len(labels)]


def _read_ahead(
    numbers: grain.MapDataset, split: Split, units: Units, size: int
) -> Iterator[Batch]:
    # Grain's own choice, 16 threads and 500 batches ahead, would fill gigabytes.
    threads = min(os.cpu_count() or 1, 16)
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    batches = numbers.map(lambda batch: _batch(split, units[batch], size))
    return iter(batches.to_iter_dataset(options))


def _batch(split: Split, units: Units, size: int) -> Batch:
    """Reads pictures; missing units and views repeat others, so that all is like pictures."""
    filled = np.pad(units, ((0, size - len(units)), (0, 0)), mode="edge")
    mask = filled >= 0
    pictures = np.stack([split[number] for number in filled[mask]])
    read = mask.cumsum().reshape(mask.shape) - 1
    shown = np.where(mask, read, read[:, -1:])
    weights = (np.arange(size) < len(units)).astype(np.float32)
    taught = None if split.taught is None else split.taught[filled[mask]][shown]
    return Batch(pictures[shown], mask, labels_of(split, filled), weights, taught)
