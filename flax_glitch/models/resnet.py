"""ResNet50 as in Keras: the first version, with its stride in a block's first 1x1 convolution.

He et al. 2015 (arXiv:1512.03385). Layers are named as in `keras.applications.ResNet50`.
"""

from types import MappingProxyType

from flax import nnx
from jaxtyping import Array, Float

from flax_glitch.arrays import Key
from flax_glitch.models.layers import Maker, max_pool

STAGES = MappingProxyType(
    {"conv2": (64, 3, 1), "conv3": (128, 4, 2), "conv4": (256, 6, 2), "conv5": (512, 3, 2)}
)
"""Each stage's width, number of blocks, and stride of its first block."""

BLOCKS = MappingProxyType(
    {
        f"{stage}_block{number}": (width, stride if number == 1 else 1)
        for stage, (width, blocks, stride) in STAGES.items()
        for number in range(1, blocks + 1)
    }
)
"""Each block's width and stride, in the order of the forward pass."""

EPSILON = 1.001e-5
"""Added to variances; Keras' number for its ResNets."""

EXPANSION = 4
"""A block's output has this many times the channels of its middle."""


class Block(nnx.Module):
    """Three convolutions beside a shortcut, which is itself convolved where the shape changes."""

    def __init__(self, make: Maker, in_features: int, width: int, *, stride: int) -> None:
        out_features = EXPANSION * width
        self.projects = in_features != out_features
        if self.projects:
            self.conv_0 = make.conv(in_features, out_features, 1, stride=stride)
            self.bn_0 = make.norm(out_features, EPSILON)
        self.conv_1 = make.conv(in_features, width, 1, stride=stride)
        self.bn_1 = make.norm(width, EPSILON)
        self.conv_2 = make.conv(width, width, 3, padding=1)
        self.bn_2 = make.norm(width, EPSILON)
        self.conv_3 = make.conv(width, out_features, 1)
        self.bn_3 = make.norm(out_features, EPSILON)

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n i j d"]:
        """Returns the block's maps, in the type of its input."""
        y = nnx.relu(self.bn_1(self.conv_1(x)))
        y = nnx.relu(self.bn_2(self.conv_2(y)))
        y = self.bn_3(self.conv_3(y))
        shortcut = self.bn_0(self.conv_0(x)) if self.projects else x
        return nnx.relu(shortcut + y).astype(x.dtype)


class ResNet50(nnx.Module):
    """Pictures to feature maps, 32 times smaller and 2048 deep."""

    features: int = 2048
    reduction: int = 32
    trained: str = "conv5"
    unused: tuple[str, ...] = ()

    def __init__(self, make: Maker) -> None:
        self.dtype = make.dtype
        self.conv1_conv = make.conv(3, 64, 7, stride=2, padding=3)
        self.conv1_bn = make.norm(64, EPSILON)
        features = 64
        for name, (width, stride) in BLOCKS.items():
            setattr(self, name, Block(make, features, width, stride=stride))
            features = EXPANSION * width

    def __call__(
        self, pictures: Float[Array, "n h w 3"], key: Key | None = None
    ) -> Float[Array, "n i j 2048"]:
        """Returns the feature maps of standardised pictures; nothing is random in it."""
        return self.top(self.trunk(pictures))

    def trunk(self, pictures: Float[Array, "n h w 3"]) -> Float[Array, "n i j 1024"]:
        """Returns what the trained stage looks at of what the others make of standardised pictures.

        It begins with 1x1 convolutions of stride 2, which see a quarter of the places.
        """
        x = self.stem(pictures)
        for name in BLOCKS:
            if not name.startswith(self.trained):
                x = getattr(self, name)(x)
        return x[:, ::2, ::2]

    def top(self, maps: Float[Array, "n i j 1024"]) -> Float[Array, "n i j 2048"]:
        """Returns the feature maps, by what the trunk made of pictures."""
        x = maps.astype(self.dtype).repeat(2, axis=1).repeat(2, axis=2)  # the stride takes it back
        for name in BLOCKS:
            if name.startswith(self.trained):
                x = getattr(self, name)(x)
        return x

    def stem(self, pictures: Float[Array, "n h w 3"]) -> Float[Array, "n i j 64"]:
        """Returns what the first block takes in."""
        x = nnx.relu(self.conv1_bn(self.conv1_conv(pictures))).astype(self.dtype)
        # Keras pads with zeros here; after a ReLU their maximum is that of no padding at all.
        return max_pool(x, 3, 1)

    @staticmethod
    def layer_name(path: tuple[str, ...]) -> str:
        """Returns Keras' name of a layer: that of conv2_block1/conv_0 is conv2_block1_0_conv."""
        if len(path) == 1:
            return path[0]
        kind, number = path[1].split("_")
        return f"{path[0]}_{number}_{kind}"
