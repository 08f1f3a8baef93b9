"""VGG16 as in Keras: five blocks of 3x3 convolutions, each ending with a max pooling.

Simonyan and Zisserman 2014 (arXiv:1409.1556). Layers are named as in `keras.applications.VGG16`.
"""

from dataclasses import replace
from itertools import takewhile
from types import MappingProxyType

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from flax_glitch.arrays import Key
from flax_glitch.models.layers import Maker, max_pool
from flax_glitch.models.preprocess import IMAGENET_MEAN, LUMINANCE
from flax_glitch.models.stacks import Stack

BLOCKS = MappingProxyType(
    {"block1": (64, 2), "block2": (128, 2), "block3": (256, 3), "block4": (512, 3)}
    | {"block5": (512, 3)}
)
"""Each block's width and number of convolutions, in the order of the forward pass."""


class Block(nnx.Module):
    """Convolutions that keep the maps' size, then a max pooling that halves it, rounding down."""

    def __init__(self, make: Maker, in_features: int, width: int, convolutions: int) -> None:
        self.names = tuple(f"conv{number}" for number in range(1, convolutions + 1))
        for name in self.names:
            setattr(self, name, make.conv(in_features, width, 3, padding=1))
            in_features = width

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n i j d"]:
        """Returns the block's maps, in the type that is computed in."""
        for name in self.names:
            x = nnx.relu(getattr(self, name)(x))
        return max_pool(x)


class VGG16(nnx.Module):
    """Pictures to feature maps, 32 times smaller and 512 deep."""

    features: int = 512
    reduction: int = 32
    trained: str = "block5"
    unused: tuple[str, ...] = ()
    """Blocks that are left out."""

    def __init__(self, make: Maker) -> None:
        self.dtype = make.dtype
        features = 3
        for name, (width, convolutions) in BLOCKS.items():
            if name not in self.unused:
                setattr(self, name, Block(make, features, width, convolutions))
                features = width

    def __call__(
        self, pictures: Float[Array, "n h w 3"], key: Key | None = None
    ) -> Float[Array, "n i j c"]:
        """Returns the feature maps of standardised pictures; nothing is random in it."""
        return self.top(self.trunk(pictures))

    def trunk(self, pictures: Float[Array, "n h w 3"]) -> Float[Array, "n i j c"]:
        """Returns what the blocks below the trained one make of standardised pictures."""
        x = pictures
        for name in takewhile(lambda name: name != self.trained, BLOCKS):
            x = getattr(self, name)(x)
        return x

    def top(self, maps: Float[Array, "n h w 512"]) -> Float[Array, "n i j 512"]:
        """Returns the feature maps, by what the trunk made of pictures."""
        x: Array = getattr(self, self.trained)(maps.astype(self.dtype))
        return x

    @staticmethod
    def layer_name(path: tuple[str, ...]) -> str:
        """Returns Keras' name of a layer: that of block1/conv2 is block1_conv2."""
        return "_".join(path)


class VGG16Rows(VGG16):
    """Pictures to the maps of the third and the fourth block side by side.

    Those of the third are halved once more. The fifth block tells glitches apart no better and is
    left out (docs/experiments.md).
    """

    features: int = 768
    reduction: int = 16
    trained: str = "block4"
    unused: tuple[str, ...] = ("block5",)

    def top(self, maps: Float[Array, "n h w 256"]) -> Float[Array, "n i j 768"]:
        """Returns the maps of both blocks, by what the trunk made of pictures."""
        x = maps.astype(self.dtype)
        halved = max_pool(x)
        return jnp.concatenate([halved, getattr(self, self.trained)(x)], axis=-1)


class Pair(nnx.Module):
    """The maps of VGG16 and, behind them, those of a stack that sees the luminance of the pictures.

    A layer on top of both gives the mean of what two networks say where it has half of the weights
    of the layer on top of each.

    Args:
        make: makes the layers.
        convolutions: of the stack, whose maps are as large as VGG16's.
    """

    reduction: int = VGG16Rows.reduction

    def __init__(self, make: Maker, convolutions: tuple[tuple[int, int, int], ...]) -> None:
        self.dtype = make.dtype
        self.vgg16 = VGG16Rows(make)
        self.stack = Stack(replace(make, channels=1), convolutions, pooled=False)
        self.features = self.vgg16.features + self.stack.features

    def __call__(
        self, pictures: Float[Array, "n h w 3"], key: Key | None = None
    ) -> Float[Array, "n i j c"]:
        """Returns the maps of pictures standardised as `caffe` does; nothing is random in it."""
        mean = jnp.asarray(IMAGENET_MEAN, jnp.float32)
        raw = pictures + jnp.broadcast_to(mean, pictures.shape)
        grey = jnp.matmul(raw[..., ::-1], jnp.asarray(LUMINANCE, jnp.float32), precision="highest")
        grey = jnp.broadcast_to(grey[..., None], pictures.shape) / 255.0
        maps = self.vgg16(pictures), self.stack(grey)
        return jnp.concatenate(maps, axis=-1)
