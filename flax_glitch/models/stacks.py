"""Networks of our own: stacks of convolutions, and the heads on top of all networks.

A head makes class scores of feature maps, in float32 whatever the convolutions compute in. Its two
parts are kept apart because the first one's result, the embedding, is of use by itself.
"""

import math
from itertools import pairwise
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from flax_glitch.arrays import Embeddings, Features, Key, Logits
from flax_glitch.models.layers import Maker, max_pool

SMALL = 1e-4
"""Added to features before their square root, whose slope is infinite at 0."""


class Stack(nnx.Module):
    """Pictures to the maps of the last of several convolutions.

    Args:
        make: makes the layers.
        convolutions: features, kernel size and stride of each.
        pooled: whether the size is halved by max pooling after each convolution and ReLU, and units
            are dropped; else a convolution, which has no bias, is normalised before its ReLU.
        normalised: whether a batch normalisation ends each pooled block (Sonavane et al. 2023).
    """

    def __init__(
        self,
        make: Maker,
        convolutions: tuple[tuple[int, int, int], ...],
        *,
        pooled: bool = True,
        normalised: bool = True,
    ) -> None:
        self.channels, self.dtype, self.pooled = make.channels, make.dtype, pooled
        depths = (make.channels, *(features for features, _, _ in convolutions))
        self.features = depths[-1]
        self.reduction = math.prod(stride * (1 + pooled) for _, _, stride in convolutions)
        self.convolutions = nnx.List(
            make.conv(before, after, size, stride=stride, padding=size // 2, bias=pooled)
            for before, (after, size, stride) in zip(depths, convolutions, strict=False)
        )
        self.norms = nnx.List(make.norm(features) for features in depths[1:] if normalised)
        self.dropout = make.dropout()

    def __call__(
        self, pictures: Float[Array, "n h w 3"], key: Key | None = None
    ) -> Float[Array, "n i j c"]:
        """Returns the last maps; the key is that of the dropout, for training mode."""
        x = pictures[..., : self.channels].astype(self.dtype)
        for number, convolution in enumerate(self.convolutions):
            x = convolution(x)
            if self.pooled:
                x = max_pool(nnx.relu(x))
                x = self.dropout(x, rngs=_fold(key, number))
            if self.norms:
                x = self.norms[number](x)
            x = (x if self.pooled else nnx.relu(x)).astype(self.dtype)
        return x


class PooledHead(nnx.Module):
    """The head of the fine-tuned networks.

    Global max pooling, then dense layers of 256, 128 and as many units as there are classes, each
    after a batch normalisation (Sonavane et al. 2023).

    Args:
        maps: height, width and depth of the feature maps.
        classes: how many there are.
        make: makes the layers.
    """

    last: ClassVar[str] = "dense3"
    """The layer that gives the scores."""

    def __init__(self, maps: tuple[int, int, int], classes: int, make: Maker) -> None:
        self.norm1 = make.norm(maps[2])
        self.dense1 = make.dense(maps[2], 256)
        self.norm2 = make.norm(256)
        self.dense2 = make.dense(256, 128)
        self.norm3 = make.norm(128)
        self.dense3 = make.dense(128, classes)
        self.dropout = make.dropout()

    def embed(self, features: Features, key: Key | None = None) -> Embeddings:
        """Returns one vector a view; the key is that of the dropout, for training mode."""
        first, second = (None, None) if key is None else jax.random.split(key)
        x = jnp.max(features, axis=(2, 3)).astype(jnp.float32)
        x = nnx.relu(self.dense1(self.norm1(x)))
        x = self.norm2(self.dropout(x, rngs=first))
        x = nnx.relu(self.dense2(x))
        return self.norm3(self.dropout(x, rngs=second))

    def classify(self, embeddings: Embeddings) -> Logits:
        """Returns the scores of each view."""
        return self.dense3(jnp.asarray(embeddings))


class DenseHead(nnx.Module):
    """Dense layers on all features in a row.

    Args:
        maps: height, width and depth of the feature maps.
        classes: how many there are.
        make: makes the layers.
        widths: units of the hidden layers.
    """

    last: ClassVar[str] = "output"
    """The layer that gives the scores."""

    def __init__(
        self,
        maps: tuple[int, int, int],
        classes: int,
        make: Maker,
        *,
        widths: tuple[int, ...],
    ) -> None:
        sizes = (math.prod(maps), *widths)
        self.hidden = nnx.List(make.dense(before, after) for before, after in pairwise(sizes))
        self.output = make.dense(sizes[-1], classes)
        self.dropout = make.dropout()

    def embed(self, features: Features, key: Key | None = None) -> Embeddings:
        """Returns one vector a view; the key is that of the dropout, for training mode."""
        x = jnp.asarray(features, jnp.float32)
        x = x.reshape(*x.shape[:2], -1)
        for number, layer in enumerate(self.hidden):
            x = self.dropout(nnx.relu(layer(x)), rngs=_fold(key, number))
        return x

    def classify(self, embeddings: Embeddings) -> Logits:
        """Returns the scores of each view."""
        return self.output(jnp.asarray(embeddings))


class RowsHead(nnx.Module):
    """One dense layer on each row of maps: the mean and the greatest of each feature over time.

    What is pooled over frequency too can't tell a line at 50 Hz from one at 60 Hz.

    Args:
        maps: height, width and depth of the feature maps, which are not negative.
        classes: how many there are.
        make: makes the layers.
    """

    last: ClassVar[str] = "output"
    """The layer that gives the scores."""

    def __init__(self, maps: tuple[int, int, int], classes: int, make: Maker) -> None:
        size = 2 * maps[0] * maps[2]
        self.norm = make.norm(size)
        self.output = make.dense(size, classes)
        self.dropout = make.dropout()

    def embed(self, features: Features, key: Key | None = None) -> Embeddings:
        """Returns one vector a view; the key is that of the dropout, for training mode."""
        return self.dropout(self.norm(self.rows(features)), rngs=key)

    @staticmethod
    def rows(features: Features) -> Embeddings:
        """Returns the square roots of the mean and the greatest of each feature over time.

        Without the root few loud features would outweigh all others (Arandjelovic and Zisserman
        2012, doi:10.1109/CVPR.2012.6248018).
        """
        x = jnp.asarray(features, jnp.float32)
        x = jnp.concatenate([x.mean(3), x.max(3)], axis=-1)
        return jnp.sqrt(x.reshape(*x.shape[:2], -1) + SMALL)

    def classify(self, embeddings: Embeddings) -> Logits:
        """Returns the scores of each view."""
        return self.output(jnp.asarray(embeddings))


def _fold(key: Key | None, number: int) -> Key | None:
    return None if key is None else jax.random.fold_in(key, number)
