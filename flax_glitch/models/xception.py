"""Xception as in Keras: residual blocks of depthwise separable convolutions.

Chollet 2016 (arXiv:1610.02357). Layers are named as in `keras.applications.Xception`.
"""

from types import MappingProxyType

from flax import nnx
from jaxtyping import Array, Float

from flax_glitch.arrays import Key
from flax_glitch.models.layers import Maker, max_pool

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


class Entry(nnx.Module):
    """Two plain convolutions without padding, the first of which halves the size."""

    def __init__(self, make: Maker) -> None:
        self.conv1 = make.conv(3, 32, 3, stride=2, bias=False)
        self.conv1_bn = make.norm(32)
        self.conv2 = make.conv(32, 64, 3, bias=False)
        self.conv2_bn = make.norm(64)
        self.dtype = make.dtype

    def __call__(self, x: Float[Array, "n h w 3"]) -> Float[Array, "n i j 64"]:
        """Returns the block's maps, in the type that is computed in."""
        x = nnx.relu(self.conv1_bn(self.conv1(x)))
        return nnx.relu(self.conv2_bn(self.conv2(x))).astype(self.dtype)


class Block(nnx.Module):
    """Separable convolutions beside a shortcut; where the width changes the size is halved."""

    def __init__(self, make: Maker, in_features: int, widths: tuple[int, ...]) -> None:
        self.projects = in_features != widths[-1]
        if self.projects:
            self.conv2d = make.conv(in_features, widths[-1], 1, stride=2, bias=False)
            self.batch_normalization = make.norm(widths[-1])
        self.names = tuple(f"sepconv{number}" for number in range(1, len(widths) + 1))
        for name, width in zip(self.names, widths, strict=True):
            setattr(self, name, make.separable(in_features, width))
            setattr(self, f"{name}_bn", make.norm(width))
            in_features = width

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n i j d"]:
        """Returns the block's maps, in the type of its input."""
        y = x
        for name in self.names:
            y = getattr(self, f"{name}_bn")(getattr(self, name)(nnx.relu(y)))
        if not self.projects:
            return (x + y).astype(x.dtype)
        # "SAME" adds what is lacking, and no more: (0, 1) to an even side and (1, 1) to an odd one.
        y = max_pool(y, 3, "SAME")
        return (self.batch_normalization(self.conv2d(x)) + y).astype(x.dtype)


class Exit(nnx.Module):
    """Two separable convolutions without a shortcut."""

    def __init__(self, make: Maker, in_features: int) -> None:
        self.sepconv1 = make.separable(in_features, 1536)
        self.sepconv1_bn = make.norm(1536)
        self.sepconv2 = make.separable(1536, 2048)
        self.sepconv2_bn = make.norm(2048)

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w 2048"]:
        """Returns the block's maps, in the type of its input."""
        y = nnx.relu(self.sepconv1_bn(self.sepconv1(x)))
        return nnx.relu(self.sepconv2_bn(self.sepconv2(y))).astype(x.dtype)


class Xception(nnx.Module):
    """Pictures to feature maps, about 32 times smaller and 2048 deep."""

    features: int = 2048
    reduction: int = 32
    trained: str = "block14"
    unused: tuple[str, ...] = ()

    def __init__(self, make: Maker) -> None:
        self.dtype = make.dtype
        self.block1 = Entry(make)
        features = 64
        for name, widths in RESIDUAL.items():
            setattr(self, name, Block(make, features, widths))
            features = widths[-1]
        self.block14 = Exit(make, features)

    def __call__(
        self, pictures: Float[Array, "n h w 3"], key: Key | None = None
    ) -> Float[Array, "n i j 2048"]:
        """Returns the feature maps of standardised pictures; nothing is random in it."""
        return self.top(self.trunk(pictures))

    def trunk(self, pictures: Float[Array, "n h w 3"]) -> Float[Array, "n i j 1024"]:
        """Returns what the blocks below the trained one make of standardised pictures."""
        x = pictures
        for name in BLOCKS:
            if name != self.trained:
                x = getattr(self, name)(x)
        return x

    def top(self, maps: Float[Array, "n i j 1024"]) -> Float[Array, "n i j 2048"]:
        """Returns the feature maps, by what the trunk made of pictures."""
        return self.block14(maps.astype(self.dtype))

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
