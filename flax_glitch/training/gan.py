"""Trains a DCGAN on glitches, all their windows at once, and fills up rare classes with it.

The network sees amplitudes, the root of normalised energy, because noise would be all dark else.
Losses: the hinge of Miyato et al. 2018 (arXiv:1802.05957, eq. 16 and 17). Pictures are drawn with a
moving average of the generator's weights (Yazıcı et al. 2019, arXiv:1806.04498).
"""

import dataclasses
import hashlib
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Bool, Float, UInt8
from PIL import Image
from tqdm import tqdm

from flax_glitch.arrays import AnyArray, Labels, Mask, Picture
from flax_glitch.checkpoint import CheckpointError, RunStates
from flax_glitch.classes import CLASSES, DURATIONS
from flax_glitch.config import Config
from flax_glitch.data.pictures import LUMINANCE
from flax_glitch.data.prepared import Entry, Split
from flax_glitch.models.dcgan import LATENT, SIDE, Discriminator, Generator
from flax_glitch.strain.picture import png
from flax_glitch.strain.viridis import VIRIDIS
from flax_glitch.training.run import Interrupted, stop_requests

BATCH = 32
"""Glitches a step."""

STEPS = 4000
"""Steps of a training whose epochs are not given."""

WIDTHS = 16, 24
"""Channels of the largest maps in the generator and in the discriminator."""

LEARNING_RATE = 5e-4
"""Adam's, with Radford's beta1 of 0.5; his 2e-4 takes three times as many steps as here."""

MEMORY = 0.998
"""Share of the moving average that a step keeps."""

SAVE_EVERY = 300.0
"""Seconds between checkpoints."""

IFO = "XG"
"""Stands for the detector of generated glitches; no observatory has these letters."""

Windows = UInt8[np.ndarray, "glitch 64 64 4"]
"""The windows of glitches as numbers of viridis' colours: normalised energy, 25.5 is 255."""

GREY = np.maximum.accumulate(VIRIDIS @ np.array(LUMINANCE))
"""Luminance of viridis' colours; at one place, by a third of a grey level, it isn't rising."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Glitches:
    """What the networks learn from: glitches, which of their windows there are, their classes."""

    windows: UInt8[AnyArray, "glitch 64 64 4"]
    mask: Mask
    labels: Labels
    chances: Float[AnyArray, " glitch"]
    """Of being drawn: every class is drawn as often."""


Network = tuple[nnx.State, nnx.State]
"""The parameters and the statistics of a network."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class GanState:
    """All that changes in training."""

    step: jax.Array
    key: jax.Array
    generator: Network
    average: Network
    """The generator's moving average."""
    discriminator: Network
    optimisers: tuple[optax.OptState, optax.OptState]


GanStep = Callable[[GanState, Glitches], tuple[GanState, Float[Array, "4"]]]
"""A step: its numbers are both losses and how much of real and made the discriminator told."""


def train_gan(split: Split, folder: Path, *, seed: int = 0, epochs: int | None = None) -> Generator:
    """Trains a GAN in a folder, or goes on with the one there, and returns its generator.

    Args:
        split: the training pictures; those of unknown window are left out.
        folder: keeps the state; a call that was stopped is continued by the next, bit by bit.
        seed: of the weights and of every draw, if none is there.
        epochs: as many glitches are drawn as this often all; `STEPS` steps if None. A GAN that
            had as many or more is used as it is.

    Raises:
        ValueError: if there are no pictures.
        CheckpointError: if the GAN there was trained on other glitches, or can't be read or written.
        FloatingPointError: if a loss is no longer finite.
        Interrupted: after SIGINT or SIGTERM, once the state is saved.
    """
    units = known_windows(split)
    steps = STEPS if epochs is None else epochs * -(-len(units) // BATCH)
    graph, state = new_state(seed)
    made_of = {"glitches": _digest(split)}
    states = RunStates(folder)
    try:
        if states.newest is not None:
            state, before = states.restore(state)
            if before != made_of:
                raise CheckpointError(f"{folder}: its GAN learnt other glitches; take a new folder")
        if state.step < steps:
            state = _run(state, read_glitches(split, units), steps, states, made_of)
    finally:
        states.close()
    return nnx.view(nnx.merge(graph, *state.average), use_running_average=True)


def new_state(seed: int) -> tuple[nnx.GraphDef[Generator], GanState]:
    """Returns the structure of the generator and everything before the first step."""
    rngs = nnx.Rngs(seed)
    generator_graph, *generator = nnx.split(_generator(rngs), nnx.Param, ...)
    _, *discriminator = nnx.split(Discriminator(WIDTHS[1], rngs=rngs), nnx.Param, ...)
    return generator_graph, GanState(
        step=jnp.zeros((), jnp.int32),
        key=jax.random.PRNGKey(seed),
        generator=tuple(generator),
        average=jax.tree.map(jnp.copy, tuple(generator)),
        discriminator=tuple(discriminator),
        optimisers=(adam().init(generator[0]), adam().init(discriminator[0])),
    )
