"""Batches of pictures, read ahead by grain on threads."""

import dataclasses
import os
from collections.abc import Iterator

import grain
import jax
import numpy as np
from jaxtyping import Int

from flax_glitch.arrays import Labels, Mask, RawViews, Weights
from flax_glitch.data.prepared import Split


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Batch:
    """Pictures of some glitches with their classes; a weight of 0 marks a row that only fills."""

    views: RawViews
    mask: Mask
    labels: Labels
    weights: Weights


def batches_an_epoch(split: Split, batch_size: int) -> int:
    """Returns how many batches `training_batches` makes of a split."""
    return len(split) // _fitting(split, batch_size)


def training_batches(
    split: Split, batch_size: int, *, seed: int, epoch: int, start: int = 0
) -> Iterator[Batch]:
    """Returns the batches of one epoch in an order that seed and epoch decide.

    Every picture comes once at most: those that don't fill a batch are left for other epochs.

    Args:
        split: The pictures; with fewer than a batch they are one batch.
        batch_size: Pictures a batch.
        seed: Of the run.
        epoch: Its number.
        start: Number of the first batch; those before are not read.

    Raises:
        ValueError: if there are no pictures.
    """
    size = _fitting(split, batch_size)
    numbers = grain.MapDataset.range(len(split)).shuffle(seed=_shuffle_seed(seed, epoch))
    batches = numbers.batch(size, drop_remainder=True).slice(slice(start, None))
    return _read_ahead(batches, split, size)


def evaluation_batches(split: Split, batch_size: int) -> Iterator[Batch]:
    """Returns all pictures in order; the last batch is filled up with rows of weight 0."""
    _check(batch_size)
    numbers = grain.MapDataset.range(len(split)).batch(batch_size, drop_remainder=False)
    return _read_ahead(numbers, split, batch_size)


def _fitting(split: Split, batch_size: int) -> int:
    if not len(split):
        raise ValueError(f"split {split.name} has no pictures; give a source that has some")
    _check(batch_size)
    return min(batch_size, len(split))


def _check(batch_size: int) -> None:
    if batch_size < 1:
        raise ValueError(f"batch size {batch_size}: must be at least 1")


def _shuffle_seed(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


def _read_ahead(numbers: grain.MapDataset, split: Split, size: int) -> Iterator[Batch]:
    # Grain's own choice, 16 threads and 500 batches ahead, would fill gigabytes.
    threads = min(os.cpu_count() or 1, 16)
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    batches = numbers.map(lambda batch: _batch(split, batch, size))
    return iter(batches.to_iter_dataset(options))


def _batch(split: Split, numbers: Int[np.ndarray, " sample"], size: int) -> Batch:
    """Reads pictures; missing ones repeat the last, so that no row is unlike a picture."""
    filled = np.pad(numbers, (0, size - len(numbers)), mode="edge")
    return Batch(
        views=np.stack([split[number] for number in filled])[:, None],
        mask=np.ones((size, 1), bool),
        labels=split.labels[filled],
        weights=(np.arange(size) < len(numbers)).astype(np.float32),
    )
