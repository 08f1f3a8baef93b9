"""A small network for spectrograms: five convolutions, trained in minutes on a laptop."""

from typing import ClassVar

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from flax_glitch.arrays import Key
from flax_glitch.models.layers import Conv, batch_norm

LAYERS = ((24, 5, 2), (48, 3, 2), (96, 3, 2), (128, 3, 1), (192, 3, 2))
"""Features, kernel size and stride of each convolution."""

EPSILON = 1e-3
"""Added to the variances; Keras' own number for batch normalisation."""


class Compact(nnx.Module):
    """Pictures to feature maps, 16 times smaller and 192 deep.

    Args:
        channels: of the picture, the first so many are looked at.
        dtype: type to compute in.
        momentum: how slowly batch statistics are averaged.
        rngs: source of the random kernels.
    """

    features: ClassVar[int] = LAYERS[-1][0]
    fine_tuned: ClassVar[str] = ""
    """Everything is trained."""

    def __init__(
        self,
        channels: int,
        *,
        dtype: DTypeLike = jnp.float32,
        momentum: float = 0.99,
        rngs: nnx.Rngs,
    ) -> None:
        self.channels, self.dtype = channels, dtype
        depths = (channels, *(features for features, _, _ in LAYERS))
        self.convolutions = nnx.List(
            Conv(
                before,
                after,
                size,
                stride=stride,
                padding=size // 2,
                bias=False,
                dtype=dtype,
                rngs=rngs,
            )
            for before, (after, size, stride) in zip(depths, LAYERS, strict=False)
        )
        self.norms = nnx.List(
            batch_norm(features, momentum=momentum, epsilon=EPSILON, rngs=rngs)
            for features in depths[1:]
        )

    def __call__(
        self, pictures: Float[Array, "n h w 3"], key: Key | None = None
    ) -> Float[Array, "n i j c"]:
        """Returns the feature maps of pictures; nothing is random in it."""
        x = pictures[..., : self.channels].astype(self.dtype)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = nnx.relu(norm(convolution(x))).astype(self.dtype)
        return x
