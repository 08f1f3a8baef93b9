"""The training state of a DCGAN and the pure function that carries it one step further.

The networks see amplitudes, roots of normalised energy: as energies, noise would be all dark.
Losses are the hinges of Miyato et al. 2018 (arXiv:1802.05957, eq. 16 and 17). Pictures are drawn
with a moving average of the generator (Yazici et al. 2019, arXiv:1806.04498).
"""

import dataclasses
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Float, UInt8

from flax_glitch.arrays import AnyArray, Mask
from flax_glitch.models.dcgan import LATENT, ClassVectors, Discriminator, Generator, Maps

BATCH = 32
"""Glitches a step."""

WIDTH = 16
"""Channels of the largest maps in both networks."""

MEMORY = 0.98
"""Share of the moving average that a step keeps; from 0.995 on, faint lines are averaged away."""

ADAM = optax.adam(2e-4, b1=0.5)
"""Radford's; at 5e-4 glitches of a class vary half as much."""

Kind = TypeVar("Kind", Generator, Discriminator)

Network = tuple[nnx.State, nnx.State]
"""Parameters and statistics."""


class Player(NamedTuple):
    """One of the two networks, and its optimiser's state."""

    network: Network
    optimiser: optax.OptState


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Glitches:
    """What there is to learn from: all windows, which of them there are, and the classes."""

    windows: UInt8[AnyArray, "glitch 64 64 4"]
    """Normalised energy; 255 is 25.5, the brightest colour."""
    mask: Mask
    classes: Float[AnyArray, "glitch class"]
    """1 for a glitch's class, 0 for all others."""
    chances: Float[AnyArray, " glitch"]
    """Of being drawn."""


class GanState(NamedTuple):
    """All that changes in training, and the key of all draws."""

    step: jax.Array
    key: jax.Array
    generator: Player
    average: Network
    """The generator's moving average."""
    discriminator: Player


class GanOutput(NamedTuple):
    """What a step says: both losses, and the shares of real and of made glitches told as such."""

    generator_loss: jax.Array
    discriminator_loss: jax.Array
    real_told: jax.Array
    made_told: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Drawn:
    """A batch of real glitches as the networks see them."""

    pictures: Maps
    mask: jax.Array
    classes: ClassVectors


def initial_gan(seed: int, classes: int) -> GanState:
    """Returns the state before the first step of a GAN for so many classes."""
    rngs = nnx.Rngs(jax.random.key(seed, impl="rbg"))  # compiles four times as fast
    generator = _player(Generator(WIDTH, classes, rngs=rngs))
    discriminator = _player(Discriminator(WIDTH, classes, rngs=rngs))
    key = jax.random.PRNGKey(seed)
    state = GanState(jnp.zeros((), jnp.int32), key, generator, generator.network, discriminator)
    # Copies on a named device, as restored ones are: the step is compiled once for both.
    return jax.device_put(state, jax.devices()[0], may_alias=False)


@partial(jax.jit, donate_argnums=0)
def gan_step(state: GanState, glitches: Glitches) -> tuple[GanState, GanOutput]:
    """Returns the state after the discriminator and then the generator learnt from a new batch."""
    keys = jax.random.split(jax.random.fold_in(state.key, state.step), 3)
    drawn = draw(glitches, keys[0])
    pictures, _ = make(state.generator.network, drawn, keys[1])
    critic, critical, told = _taught(state.discriminator, criticism, drawn, pictures)
    maker, failed, _ = _taught(state.generator, failure, critic.network, drawn, keys[2])
    # The first steps are soon forgotten.
    kept = jnp.minimum(MEMORY, (1 + state.step) / (10 + state.step))
    average = jax.tree.map(
        lambda old, new: kept * old + (1 - kept) * new, state.average, maker.network
    )
    new = GanState(state.step + 1, state.key, maker, average, critic)
    return new, GanOutput(failed, critical, *told)


def averaged_generator(state: GanState, classes: int) -> Generator:
    """Returns the generator to draw pictures of so many classes with."""
    return nnx.view(_merged(Generator, state.average, classes), use_running_average=True)


def draw(glitches: Glitches, key: jax.Array) -> Drawn:
    """Returns a batch of glitches, drawn by their chances."""
    chances = jnp.asarray(glitches.chances)
    numbers = jax.random.choice(key, len(chances), (BATCH,), p=chances)
    amplitudes = jnp.sqrt(jnp.asarray(glitches.windows)[numbers] / 255)
    mask = jnp.asarray(glitches.mask)[numbers, None, None]
    return Drawn(2 * amplitudes - 1, mask, jnp.asarray(glitches.classes)[numbers])


def make(maker: Network, drawn: Drawn, key: jax.Array) -> tuple[Maps, nnx.State]:
    """Returns pictures of the classes drawn, dark where those lack a window, and the statistics."""
    count, classes = drawn.classes.shape
    network = nnx.view(_merged(Generator, maker, classes), use_running_average=False)
    made = network(jax.random.normal(key, (count, LATENT)), drawn.classes)
    return jnp.where(drawn.mask, made, -1), nnx.state(network, nnx.BatchStat)


def criticism(
    parameters: nnx.State, norms: nnx.State, drawn: Drawn, made: Maps
) -> tuple[jax.Array, tuple[nnx.State, tuple[jax.Array, jax.Array]]]:
    """Returns the discriminator's loss; and its norms and the shares that it told rightly."""
    network = _merged(Discriminator, (parameters, norms), drawn.classes.shape[1])
    pictures = jnp.concatenate([drawn.pictures, made])
    scores = network(pictures, jnp.concatenate([drawn.classes, drawn.classes]))
    on_real, on_made = jnp.split(scores, 2)
    loss = jnp.mean(jax.nn.relu(1 - on_real)) + jnp.mean(jax.nn.relu(1 + on_made))
    norms = nnx.state(network, nnx.BatchStat)
    return loss, (norms, (jnp.mean(on_real > 0), jnp.mean(on_made < 0)))


def failure(
    parameters: nnx.State, statistics: nnx.State, critic: Network, drawn: Drawn, key: jax.Array
) -> tuple[jax.Array, tuple[nnx.State, tuple[()]]]:
    """Returns the generator's loss, how much is seen through; and its new statistics."""
    pictures, statistics = make((parameters, statistics), drawn, key)
    network = _merged(Discriminator, critic, drawn.classes.shape[1])
    scores = network(pictures, drawn.classes)
    return -jnp.mean(scores), (statistics, ())


def _player(network: Generator | Discriminator) -> Player:
    _, *states = nnx.split(network, nnx.Param, ...)
    return Player((states[0], states[1]), ADAM.init(states[0]))


def _taught(
    player: Player, loss: Callable[..., Any], *seen: Any
) -> tuple[Player, jax.Array, tuple[jax.Array, ...]]:
    """Returns a player after one step down its loss, the loss, and what else that says."""
    parameters, statistics = player.network
    slope_of = jax.value_and_grad(loss, has_aux=True)
    (value, (statistics, said)), slope = slope_of(parameters, statistics, *seen)
    update, optimiser = ADAM.update(slope, player.optimiser)
    return Player((optax.apply_updates(parameters, update), statistics), optimiser), value, said


def _merged(kind: Callable[..., Kind], network: Network, classes: int) -> Kind:
    return nnx.merge(_graph(kind, WIDTH, classes), *network, copy=True)


@cache
def _graph(kind: Callable[..., Kind], width: int, classes: int) -> nnx.GraphDef[Kind]:
    return nnx.graphdef(nnx.eval_shape(lambda: kind(width, classes, rngs=nnx.Rngs(0))))
