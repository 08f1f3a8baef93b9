"""The report's custom networks, Gravity Spy's own, and the fully connected one: stacks of blocks.

Each block is [convolution, ReLU, max pooling, dropout, batch normalisation] (Sonavane et al. 2023),
and a flat head follows. The report gives the kinds of layers, not every number; those are ours.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from flax_glitch.arrays import Key
from flax_glitch.models.layers import Conv, batch_norm

EPSILON = 1e-3
"""Added to the variances; Keras' own number for batch normalisation."""


@dataclass(frozen=True)
class Stack:
    """What tells one custom network from another.

    Attributes:
        blocks: features and kernel size of each block's convolution.
        dense: units of the hidden layers of the head.
        normalised: whether a batch normalisation ends each block.
        merged: whether the windows of a glitch are laid into one picture, two by two.
    """

    blocks: tuple[tuple[int, int], ...]
    dense: tuple[int, ...]
    normalised: bool = True
    merged: bool = False


STACKS = MappingProxyType(
    {
        "cnn-a": Stack(((32, 3), (64, 3), (128, 3), (128, 3)), (256,)),
        "cnn-b": Stack(((16, 5), (32, 3), (64, 3), (128, 3), (128, 3)), (128,), normalised=False),
        "cnn-c": Stack(((32, 3), (64, 3), (64, 3)), (128,)),
        "gravityspy-cnn": Stack(
            ((16, 5), (32, 5), (64, 5), (64, 5)), (256,), normalised=False, merged=True
        ),
        "ann": Stack((), (512, 256)),
    }
)
"""The networks by name; gravityspy-cnn after Zevin et al. 2017 (arXiv:1611.04596) and Bahaadini
et al. 2018: the four windows in luminance, 140 by 170 pixels each."""


class Convolutions(nnx.Module):
    """Pictures to the maps of the last block, each block half as high and wide.

    Args:
        stack: which blocks.
        channels: of the picture, the first so many are looked at.
        dropout: share of a block's outputs dropped in training.
        dtype: type to compute in.
        momentum: how slowly batch statistics are averaged.
        rngs: source of the random kernels.
    """

    fine_tuned: ClassVar[str] = ""
    """Everything is trained."""

    def __init__(
        self,
        stack: Stack,
        channels: int,
        *,
        dropout: float,
        dtype: DTypeLike = jnp.float32,
        momentum: float = 0.99,
        rngs: nnx.Rngs,
    ) -> None:
        self.channels, self.dtype = channels, dtype
        depths = (channels, *(features for features, _ in stack.blocks))
        self.convolutions = nnx.List(
            Conv(before, after, size, padding=size // 2, dtype=dtype, rngs=rngs)
            for before, (after, size) in zip(depths, stack.blocks, strict=False)
        )
        self.norms = nnx.List(
            batch_norm(features, momentum=momentum, epsilon=EPSILON, rngs=rngs)
            for features in depths[1:]
            if stack.normalised
        )
        self.dropout = nnx.Dropout(dropout, deterministic=None)

    def __call__(
        self, pictures: Float[Array, "n h w 3"], key: Key | None = None
    ) -> Float[Array, "n i j c"]:
        """Returns the last block's maps; the key is that of the dropout, for training mode."""
        x = pictures[..., : self.channels].astype(self.dtype)
        for number, convolution in enumerate(self.convolutions):
            drawn = None if key is None else jax.random.fold_in(key, number)
            x = nnx.max_pool(nnx.relu(convolution(x)), (2, 2), strides=(2, 2))
            x = self.dropout(x, rngs=drawn)
            x = self.norms[number](x).astype(self.dtype) if self.norms else x
        return x


def side_by_side(views: Float[Array, "b 4 h w c"]) -> Float[Array, "b 1 2*h 2*w c"]:
    """Returns the four windows of each glitch as one picture: 0.5 and 1 s above 2 and 4 s."""
    upper, lower = (jnp.concatenate([views[:, n], views[:, n + 1]], axis=2) for n in (0, 2))
    return jnp.concatenate([upper, lower], axis=1)[:, None]
