"""Xception as in Keras: residual blocks of depthwise separable convolutions.

Chollet 2016 (arXiv:1610.02357). Layers are named as in `keras.applications.Xception`.
"""

from types import MappingProxyType
from typing import Any, ClassVar

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from flax_glitch.arrays import Key
from flax_glitch.models.layers import Conv, SeparableConv, batch_norm

RESIDUAL = MappingProxyType(
    {"block2": (128, 128), "block3": (256, 256), "block4": (728, 728)}
    | {f"block{number}": (728, 728, 728) for number in range(5, 13)}
    | {"block13": (728, 1024)}
)
"""The widths of the separable convolutions in each block that has a shortcut."""

BLOCKS = ("block1", *RESIDUAL, "block14")
"""The blocks' names, in the order of the forward pass."""

UNNAMED = ("block2", "block3", "block4", "block13")
"""The blocks whose shortcut is convolved, by layers that Keras numbers instead of naming."""

EPSILON = 1e-3
"""Added to variances; Keras' own number for batch normalisation."""


class Entry(nnx.Module):
    """Two plain convolutions without padding, the first of which halves the size."""

    def __init__(self, *, dtype: DTypeLike, momentum: float, rngs: nnx.Rngs) -> None:
        norm = {"momentum": momentum, "epsilon": EPSILON}
        self.conv1 = Conv(3, 32, 3, stride=2, bias=False, dtype=dtype, rngs=rngs)
        self.conv1_bn = batch_norm(32, **norm, rngs=rngs)
        self.conv2 = Conv(32, 64, 3, bias=False, dtype=dtype, rngs=rngs)
        self.conv2_bn = batch_norm(64, **norm, rngs=rngs)
        self.dtype = dtype

    def __call__(self, x: Float[Array, "n h w 3"]) -> Float[Array, "n i j 64"]:
        """Returns the block's maps, in the type that is computed in."""
        x = nnx.relu(self.conv1_bn(self.conv1(x)))
        return nnx.relu(self.conv2_bn(self.conv2(x))).astype(self.dtype)


class Block(nnx.Module):
    """Separable convolutions beside a shortcut; where the width changes the size is halved."""

    def __init__(
        self,
        in_features: int,
        widths: tuple[int, ...],
        *,
        dtype: DTypeLike,
        momentum: float,
        rngs: nnx.Rngs,
    ) -> None:
        norm = {"momentum": momentum, "epsilon": EPSILON}
        self.projects = in_features != widths[-1]
        if self.projects:
            self.conv2d = Conv(
                in_features, widths[-1], 1, stride=2, bias=False, dtype=dtype, rngs=rngs
            )
            self.batch_normalization = batch_norm(widths[-1], **norm, rngs=rngs)
        self.names = tuple(f"sepconv{number}" for number in range(1, len(widths) + 1))
        for name, width in zip(self.names, widths, strict=True):
            setattr(self, name, SeparableConv(in_features, width, dtype=dtype, rngs=rngs))
            setattr(self, f"{name}_bn", batch_norm(width, **norm, rngs=rngs))
            in_features = width

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n i j d"]:
        """Returns the block's maps, in the type of its input."""
        y = x
        for name in self.names:
            y = getattr(self, f"{name}_bn")(getattr(self, name)(nnx.relu(y)))
        if not self.projects:
            return (x + y).astype(x.dtype)
        # "SAME" adds what is lacking, and no more: (0, 1) to an even side and (1, 1) to an odd one.
        y = nnx.max_pool(y, (3, 3), strides=(2, 2), padding="SAME")
        return (self.batch_normalization(self.conv2d(x)) + y).astype(x.dtype)


class Exit(nnx.Module):
    """Two separable convolutions without a shortcut."""

    def __init__(
        self, in_features: int, *, dtype: DTypeLike, momentum: float, rngs: nnx.Rngs
    ) -> None:
        norm = {"momentum": momentum, "epsilon": EPSILON}
        self.sepconv1 = SeparableConv(in_features, 1536, dtype=dtype, rngs=rngs)
        self.sepconv1_bn = batch_norm(1536, **norm, rngs=rngs)
        self.sepconv2 = SeparableConv(1536, 2048, dtype=dtype, rngs=rngs)
        self.sepconv2_bn = batch_norm(2048, **norm, rngs=rngs)

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w 2048"]:
        """Returns the block's maps, in the type of its input."""
        y = nnx.relu(self.sepconv1_bn(self.sepconv1(x)))
        return nnx.relu(self.sepconv2_bn(self.sepconv2(y))).astype(x.dtype)


class Xception(nnx.Module):
    """Pictures to feature maps, about 32 times smaller and 2048 deep."""

    name: ClassVar[str] = "xception"
    features: ClassVar[int] = 2048
    fine_tuned: ClassVar[str] = "block14"
    """Where the layers that are trained on top of given weights begin their names."""

    def __init__(
        self, *, dtype: DTypeLike = jnp.float32, momentum: float = 0.99, rngs: nnx.Rngs
    ) -> None:
        self.dtype = dtype
        how: dict[str, Any] = {"dtype": dtype, "momentum": momentum, "rngs": rngs}
        self.block1 = Entry(**how)
        features = 64
        for name, widths in RESIDUAL.items():
            setattr(self, name, Block(features, widths, **how))
            features = widths[-1]
        self.block14 = Exit(features, **how)

    def __call__(
        self, pictures: Float[Array, "n h w 3"], key: Key | None = None
    ) -> Float[Array, "n i j 2048"]:
        """Returns the feature maps of standardised pictures; nothing is random in it."""
        x = pictures
        for name in BLOCKS:
            x = getattr(self, name)(x)
        return x

    @staticmethod
    def layer_name(path: tuple[str, ...]) -> str:
        """Returns Keras' name of a layer: that of block2/sepconv1_bn is block2_sepconv1_bn.

        The shortcuts' layers are conv2d, conv2d_1, … and likewise batch_normalization.
        """
        block, layer = path
        if layer not in ("conv2d", "batch_normalization"):
            return f"{block}_{layer}"
        number = UNNAMED.index(block)
        return f"{layer}_{number}" if number else layer
