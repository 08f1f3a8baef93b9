"""Trains a DCGAN on glitches, all their windows at once, and fills up rare classes with it."""

import dataclasses
import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from flax import nnx
from jaxtyping import Array, UInt8
from PIL import Image

from flax_glitch.arrays import Picture, Units
from flax_glitch.checkpoint import CheckpointError, RunStates
from flax_glitch.classes import DURATIONS
from flax_glitch.config import Config
from flax_glitch.data.records import Split
from flax_glitch.files import write_whole
from flax_glitch.models.dcgan import LATENT, SIDE, Generator
from flax_glitch.models.preprocess import LUMINANCE
from flax_glitch.notes import bar
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

LEARNT = "glitches.sha256"
"""The file beside a GAN's state that says which glitches it learns."""

GREY = np.maximum.accumulate(VIRIDIS @ np.array(LUMINANCE))
"""Luminance of viridis' colours, which falls at one place, by a third of a grey level."""

Window = UInt8[np.ndarray, "64 64"]
"""Normalised energy of one window; 255 is 25.5, the brightest colour."""


def train_gan(split: Split, folder: Path, *, seed: int = 0, epochs: int | None = None) -> Generator:
    """Trains a GAN in a folder, or goes on with the one there, and returns its generator.

    Pictures of unknown window are left out. A call that was stopped is continued exactly by the
    next one, with the seed of the first. An epoch draws as many glitches as there are; a GAN that
    had as many epochs or more is used as it is.

    Raises:
        ValueError: if there are no pictures.
        CheckpointError: if the GAN there learnt other glitches or classes, or can't be read or
            written.
        FloatingPointError: if a loss is no longer finite.
        Interrupted: after SIGINT or SIGTERM, once the state is saved.
    """
    units = known_windows(split)
    steps = STEPS if epochs is None else epochs * -(-len(units) // BATCH)
    state, learnt = initial_gan(seed, len(split.classes)), _digest(split)
    with closing(RunStates(folder)) as states:
        if states.newest is None:
            write_whole(folder / LEARNT, learnt)
        elif not (folder / LEARNT).exists() or (folder / LEARNT).read_text() != learnt:
            raise CheckpointError(f"{folder}: its GAN learnt other glitches: take a new folder")
        else:
            state, _ = states.restore(state)
        if state.step < steps:
            state = _run(state, read_glitches(split, units), steps, states)
    return averaged_generator(state, len(split.classes))


def known_windows(split: Split) -> Units:
    """Returns the pictures of each glitch by window, without those whose window isn't known.

    Raises:
        ValueError: if there are none.
    """
    known = split.table.duration.isin(DURATIONS).to_numpy()
    if not known.any():
        raise ValueError("no training pictures of 0.5, 1, 2 or 4 s: give a source that has some")
    units = split.together
    units = np.where((units >= 0) & known[units], units, -1)
    return units[units.max(axis=1) >= 0]


def learnt_windows(split: Split, label: str) -> list[float]:
    """Returns the windows that a class has training pictures of: others aren't learnt."""
    durations = split.table.duration[split.table.label == label]
    return [window for window in DURATIONS if (durations == window).any()]


def read_glitches(split: Split, units: Units) -> Glitches:
    """Returns the glitches of these units as a GAN learns them, each class drawn as often."""
    windows = np.zeros((len(units), SIDE, SIDE, len(DURATIONS)), np.uint8)
    present = np.argwhere(units >= 0)
    for glitch, window in bar(present, "Reading", unit="picture", leave=False):
        windows[glitch, :, :, window] = window_of(split[units[glitch, window]])
    labels = split.labels[units.max(axis=1)]
    counts = np.bincount(labels)
    chances = (1 / counts[labels] / np.count_nonzero(counts)).astype(np.float32)
    classes = np.eye(len(split.classes), dtype=np.float32)[labels]
    return Glitches(windows, units >= 0, classes, chances)


def window_of(picture: Picture) -> Window:
    """Returns what a picture in viridis, or in grey, shows."""
    small = np.array(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    return np.interp(small @ np.array(LUMINANCE), GREY, np.arange(256)).round().astype(np.uint8)


def picture_of(window: Window, shape: tuple[int, int], *, grey: bool = False) -> Picture:
    """Returns a window as a picture of this height and width."""
    colours = np.repeat(GREY.round().astype(np.uint8)[:, None], 3, axis=1) if grey else VIRIDIS
    image = Image.fromarray(window).resize(shape[::-1], Image.Resampling.BICUBIC)
    return np.take(colours, np.array(image), axis=0)


def made_up(
    generator: Generator, split: Split, label: str, count: int, seed: int
) -> Iterator[tuple[str, float, Window]]:
    """Yields id, duration and pixels of each window of `count` generated glitches of a class.

    A class gets the windows that it has in the split that the generator was trained on. More
    glitches leave the first ones as they were.
    """
    durations = learnt_windows(split, label)
    places = [DURATIONS.index(duration) for duration in durations]
    glitches = imagine(generator, split.classes.index(label), count, seed)
    for number, glitch in enumerate(glitches):
        for duration, place in zip(durations, places, strict=True):
            yield f"generated-{seed}-{label}-{number:04d}", duration, glitch[..., place]


def imagine(
    generator: Generator, label: int, count: int, seed: int
) -> Iterator[UInt8[np.ndarray, "64 64 4"]]:
    """Yields the windows of glitches; each depends on class, its place and the seed alone."""
    graph, state = nnx.split(generator)
    for start in range(0, count, BATCH):
        random = [np.random.default_rng([seed, label, start + row]) for row in range(BATCH)]
        latent = np.array([one.standard_normal(LATENT, np.float32) for one in random])
        made = np.asarray(_forward(graph, state, latent, jnp.asarray(label)))
        yield from made[: count - start]


def filled(split: Split, config: Config, folder: Path) -> Split:
    """Returns a split whose rare classes are filled up to the mean number of pictures a class.

    The pictures are those of a GAN that is trained in the folder, or is there already.
    """
    seed = config.training.seed
    generator = train_gan(split, folder, seed=seed)
    counts = np.bincount(split.labels, minlength=len(split.classes))
    mean = int(len(split) // np.count_nonzero(counts))
    rows: list[tuple[Any, ...]] = []
    windows: list[Window] = []
    for label, count in zip(split.classes, counts.tolist(), strict=True):
        missing = max(0, mean - count)
        pictures = made_up(generator, split, label, missing, seed)
        for id, duration, window in islice(pictures, missing):
            rows.append(("", "", IFO, id, duration, label, split.name))
            windows.append(window)
    made = pd.DataFrame(rows, columns=split.table.columns).astype(split.table.dtypes)
    table = pd.concat([split.table, made], ignore_index=True)
    return dataclasses.replace(split, table=table, records=_Filled(split, windows))


class _Filled:
    """A split's records and, after them, windows as such: drawn when asked for, to save memory."""

    def __init__(self, split: Split, windows: Sequence[Window]):
        self._split, self._windows = split, windows
        first = split[0]
        self._shape = first.shape[:2]
        self._grey = bool((first == first[..., :1]).all())

    def __getitem__(self, number: int) -> dict[str, Any]:
        if number < len(self._split):
            return self._split.records[number]
        window = self._windows[number - len(self._split)]
        return {"image": png(picture_of(window, self._shape, grey=self._grey))}


def _run(state: GanState, glitches: Glitches, steps: int, states: RunStates) -> GanState:
    saved, first = time.monotonic(), int(state.step)
    shown = bar(None, "GAN", steps, initial=first, unit="step")
    with stop_requests() as stop, shown:
        for step in range(first + 1, steps + 1):
            state, output = gan_step(state, glitches)
            if not np.isfinite(output.generator_loss + output.discriminator_loss):
                raise FloatingPointError(
                    f"step {step} of the GAN: its loss isn't finite; try again with another seed"
                )
            shown.update()
            shown.set_postfix(real=f"{output.real_told:.2f}", made=f"{output.made_told:.2f}")
            if stop.is_set() or step == steps or time.monotonic() - saved >= SAVE_EVERY:
                states.save(step, state, {})
                saved = time.monotonic()
            if stop.is_set() and step < steps:
                raise Interrupted
    return state


@partial(jax.jit, static_argnums=0)
def _forward(
    graph: nnx.GraphDef[Generator], state: nnx.State, latent: jax.Array, label: jax.Array
) -> UInt8[Array, "glitch 64 64 4"]:
    network = nnx.merge(graph, state, copy=True)
    classes = jnp.tile(jax.nn.one_hot(label, network.classes)[None], (len(latent), 1))
    return jnp.round(255 * jnp.square((network(latent, classes) + 1) / 2)).astype(jnp.uint8)


def _digest(split: Split) -> str:
    """Returns what changes with the pictures that there are and their classes."""
    pictures = split.table[["ifo", "id", "duration", "label"]].to_csv(index=False)
    named = f"{split.classes}\n{pictures}".encode(errors="surrogateescape")
    return hashlib.sha256(named).hexdigest()
