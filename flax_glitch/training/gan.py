"""Trains a DCGAN on glitches, all their windows at once, and fills up rare classes with it."""

import dataclasses
import hashlib
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, UInt8
from PIL import Image
from tqdm import tqdm

from flax_glitch.arrays import Picture, Units
from flax_glitch.checkpoint import CheckpointError, RunStates
from flax_glitch.classes import CLASSES, DURATIONS, INDEX
from flax_glitch.config import Config
from flax_glitch.data.records import Split

Entry = Any
from flax_glitch.models.dcgan import LATENT, SIDE, Generator
from flax_glitch.models.preprocess import LUMINANCE
from flax_glitch.strain.picture import VIRIDIS, png
from flax_glitch.training.gan_step import (
    BATCH,
    GanState,
    Glitches,
    averaged_generator,
    gan_step,
    initial_gan,
)
from flax_glitch.training.run import Interrupted, stop_requests

STEPS = 4000
"""Steps of a training whose epochs are not given."""

SAVE_EVERY = 300.0
"""Seconds between checkpoints."""

IFO = "XG"
"""Stands for the detector of generated glitches: no observatory has these letters."""

GREY = np.maximum.accumulate(VIRIDIS @ np.array(LUMINANCE))
"""Luminance of viridis' colours, which falls at one place, by a third of a grey level."""

Window = UInt8[np.ndarray, "64 64"]
"""Normalised energy of one window; 255 is 25.5, the brightest colour."""


def train_gan(split: Split, folder: Path, *, seed: int = 0, epochs: int | None = None) -> Generator:
    """Trains a GAN in a folder, or goes on with the one there, and returns its generator.

    Args:
        split: the training pictures; those of unknown window are left out.
        folder: keeps the state; a call that was stopped is continued exactly by the next.
        seed: of the weights and of every draw, if no GAN is there.
        epochs: so often are as many glitches drawn as there are; None: for `STEPS` steps. A GAN
            that had as many or more is used as it is.

    Raises:
        ValueError: if there are no pictures.
        CheckpointError: if the GAN there learnt other glitches, or can't be read or written.
        FloatingPointError: if a loss is no longer finite.
        Interrupted: after SIGINT or SIGTERM, once the state is saved.
    """
    units = known_windows(split)
    steps = STEPS if epochs is None else epochs * -(-len(units) // BATCH)
    state, progress = initial_gan(seed), {"glitches": _digest(split.entries)}
    states = RunStates(folder)
    try:
        if states.newest is not None:
            state, before = states.restore(state)
            if before != progress:
                raise CheckpointError(f"{folder}: its GAN learnt other glitches: take a new folder")
        if state.step < steps:
            state = _run(state, read_glitches(split, units), steps, states, progress)
    finally:
        states.close()
    return averaged_generator(state)


def known_windows(split: Split) -> Units:
    """Returns the pictures of each glitch by window, without those whose window isn't known.

    Raises:
        ValueError: if there are none.
    """
    known = np.array([entry.duration in DURATIONS for entry in split.entries], bool)
    if not known.any():
        raise ValueError("no training pictures of 0.5, 1, 2 or 4 s: give a source that has some")
    units = split.together
    units = np.where((units >= 0) & known[units], units, -1)
    return units[units.max(axis=1) >= 0]


def read_glitches(split: Split, units: Units) -> Glitches:
    """Returns the glitches of these units as a GAN learns them, each class drawn as often."""
    windows = np.zeros((len(units), SIDE, SIDE, len(DURATIONS)), np.uint8)
    for glitch, window in tqdm(np.argwhere(units >= 0), "Reading", unit="picture", leave=False):
        windows[glitch, :, :, window] = window_of(split[units[glitch, window]])
    labels = split.labels[units.max(axis=1)]
    counts = np.bincount(labels, minlength=len(CLASSES))
    chances = 1 / counts[labels] / np.count_nonzero(counts)
    return Glitches(windows, units >= 0, labels, chances.astype(np.float32))


def window_of(picture: Picture) -> Window:
    """Returns what a picture in viridis, or in grey, shows."""
    small = np.array(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    return np.interp(small @ np.array(LUMINANCE), GREY, np.arange(256)).round().astype(np.uint8)


def picture_of(window: Window, shape: tuple[int, int], *, grey: bool = False) -> Picture:
    """Returns a window as a picture of this height and width."""
    colours = np.repeat(GREY.round().astype(np.uint8)[:, None], 3, axis=1) if grey else VIRIDIS
    image = Image.fromarray(window).resize(shape[::-1], Image.Resampling.BICUBIC)
    return np.take(colours, np.array(image), axis=0)


def imagine(
    generator: Generator, label: int, numbers: Sequence[int], seed: int
) -> UInt8[np.ndarray, "glitch 64 64 4"]:
    """Returns the windows of generated glitches; each depends on class, number and seed alone."""
    random = [np.random.default_rng([seed, label, number]) for number in numbers]
    latent = np.array([one.standard_normal(LATENT, np.float32) for one in random])
    graph, state = nnx.split(generator)
    number = jnp.asarray(label)
    made = []
    for start in range(0, len(latent), BATCH):
        rows = latent[start : start + BATCH]
        filled_up = np.pad(rows, ((0, BATCH - len(rows)), (0, 0)))
        made.append(np.asarray(_forward(graph, state, filled_up, number))[: len(rows)])
    return np.concatenate(made)


def seen_windows(entries: Sequence[Entry]) -> Bool[np.ndarray, "22 4"]:
    """Returns of which windows there is a picture of each class: others aren't learnt."""
    seen = np.zeros((len(CLASSES), len(DURATIONS)), bool)
    for entry in entries:
        if entry.duration in DURATIONS:
            seen[INDEX[entry.label], DURATIONS.index(entry.duration)] = True
    return seen


def generated_id(label: int, number: int, seed: int) -> str:
    """Returns an id that says what it is."""
    return f"generated-{seed}-{CLASSES[label]}-{number:04d}"


def filled(split: Split, config: Config, folder: Path) -> Split:
    """Returns a split whose rare classes are filled up to the mean number of pictures a class.

    Args:
        split: the training pictures.
        config: of the run; its seed decides training and pictures.
        folder: where the GAN is trained, see `train_gan`; one that is there is used.
    """
    seed = config.training.seed
    generator = train_gan(split, folder, seed=seed)
    counts = np.bincount(split.labels, minlength=len(CLASSES))
    mean = len(split) // np.count_nonzero(counts)
    entries: list[Entry] = []
    windows: list[Window] = []
    for label, seen in enumerate(seen_windows(split.entries)):
        if not 0 < counts[label] < mean or not seen.any():
            continue
        missing = int(mean - counts[label])
        numbers = range(-(-missing // np.count_nonzero(seen)))
        made = np.moveaxis(imagine(generator, label, numbers, seed)[..., seen], -1, 1)
        windows += list(made.reshape(-1, SIDE, SIDE)[:missing])
        named = [
            Entry("", generated_id(label, number, seed), IFO, duration, CLASSES[label])
            for number in numbers
            for duration in np.array(DURATIONS)[seen].tolist()
        ]
        entries += named[:missing]
    first = split[0]
    records = _Filled(
        split.records, windows, first.shape[:2], bool((first == first[..., :1]).all())
    )
    return Split(split.name, (*split.entries, *entries), records)


@dataclasses.dataclass(frozen=True)
class _Filled:
    """A split's records and, after them, windows as such: drawn when asked for, to save memory."""

    records: Any
    windows: Sequence[Window]
    shape: tuple[int, int]
    grey: bool

    def __getitem__(self, number: int) -> dict[str, Any]:
        if number < len(self.records):
            return self.records[number]
        window = self.windows[number - len(self.records)]
        return {"image": png(picture_of(window, self.shape, grey=self.grey))}


def _run(
    state: GanState, glitches: Glitches, steps: int, states: RunStates, progress: dict[str, str]
) -> GanState:
    saved, first = time.monotonic(), int(state.step)
    with stop_requests() as stop, tqdm(None, "GAN", steps, initial=first, unit="step") as bar:
        for step in range(first + 1, steps + 1):
            state, output = gan_step(state, glitches)
            if not np.isfinite(output.generator_loss + output.discriminator_loss):
                raise FloatingPointError(
                    f"step {step} of the GAN: its loss isn't finite; try again with another seed"
                )
            bar.update()
            bar.set_postfix(real=f"{output.real_told:.2f}", made=f"{output.made_told:.2f}")
            if stop.is_set() or step == steps or time.monotonic() - saved >= SAVE_EVERY:
                states.save(step, state, progress)
                saved = time.monotonic()
            if stop.is_set() and step < steps:
                raise Interrupted
    return state


@partial(jax.jit, static_argnums=0)
def _forward(
    graph: nnx.GraphDef[Generator], state: nnx.State, latent: jax.Array, label: jax.Array
) -> UInt8[Array, "glitch 64 64 4"]:
    classes = jnp.tile(jax.nn.one_hot(label, len(CLASSES))[None], (len(latent), 1))
    amplitudes = nnx.merge(graph, state, copy=True)(latent, classes)
    return jnp.round(255 * jnp.square((amplitudes + 1) / 2)).astype(jnp.uint8)


def _digest(entries: Sequence[Entry]) -> str:
    """Returns what changes with the pictures that there are and their labels."""
    return hashlib.sha256(repr(entries).encode()).hexdigest()
