"""The systems that can be trained: a model is told here and nowhere else.

Those that the report compares (Sonavane et al. 2023), Gravity Spy's own, and ours. The report tells
ResNet50 exactly; of the others it tells kinds of layers, sizes and treatment, so some numbers are
ours.
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Array, Float

from flax_glitch.arrays import Key
from flax_glitch.config import (
    Config,
    DataConfig,
    ModelConfig,
    OptimiserConfig,
    Preprocessing,
    TrainingConfig,
    UsageError,
    check_ranges,
)
from flax_glitch.models.layers import Maker
from flax_glitch.models.resnet import ResNet50
from flax_glitch.models.stacks import DenseHead, PooledHead, RowsHead, Stack
from flax_glitch.models.vgg import VGG16, Pair, VGG16Rows
from flax_glitch.models.xception import Xception


@runtime_checkable
class Backbone(Protocol):
    """What an architecture is to the classifier: pictures to maps, deeper and smaller."""

    features: int
    reduction: int

    def __call__(
        self, pictures: Float[Array, "n h w 3"], key: Key | None = None
    ) -> Float[Array, "n i j c"]:
        """Returns the feature maps of pictures; the key is that of the dropout, if there is any."""
        ...


@runtime_checkable
class Halved(Protocol):
    """A backbone whose lower layers are frozen where it starts from given weights."""

    trained: str
    """How the names of the layers begin that are not."""

    def trunk(self, pictures: Float[Array, "n h w 3"]) -> Float[Array, "n i j c"]:
        """Returns what the frozen layers make of pictures: they have no dropout."""
        ...

    def top(self, maps: Float[Array, "n i j c"]) -> Float[Array, "n k l d"]:
        """Returns the feature maps of pictures by what the trunk made of them."""
        ...


Head = PooledHead | DenseHead | RowsHead
"""What makes class scores of feature maps."""


class KerasFile(NamedTuple):
    """An official file of ImageNet weights: its path below Keras' folder of them, and its MD5."""

    path: str
    md5: str


@dataclasses.dataclass(frozen=True)
class Model:
    """All that the project knows of a model."""

    backbone: Callable[[Maker], Backbone]
    """Makes what makes feature maps of pictures."""
    head: Callable[[tuple[int, int, int], int, Maker], Head]
    """Makes what makes scores, of maps of this height, width and depth, for so many classes."""
    settings: Config
    """As in the report, or ours."""
    keras_file: KerasFile | None = None
    """Its ImageNet weights, if there are any."""
    trained: str = ""
    """How the names of the backbone's layers begin that are trained on top of given weights."""
    views: Literal["each", "fused", "merged"] = "each"
    """How it is trained: on each window by itself, on what it says of all windows of a glitch
    together, or on one picture of all windows, two by two."""
    least_size: int = 16
    """The smallest height and width that it can do with, pixels; never below 16, where a glitch is
    no longer to be told."""

    @property
    def together(self) -> bool:
        """Whether it is trained on all windows of a glitch together."""
        return self.views != "each"

    @property
    def merged(self) -> bool:
        """Whether all windows of a glitch are one picture to it."""
        return self.views == "merged"


def _keras(network: str, md5: str) -> KerasFile:
    """Returns the file of a network, by the beginning of its path (source: Keras' own code)."""
    return KerasFile(f"{network}_weights_tf_dim_ordering_tf_kernels_notop.h5", md5)


def _pooled(*blocks: tuple[int, int], normalised: bool = True) -> Callable[[Maker], Stack]:
    """Returns what makes a custom network of the report, by each block's features and kernel."""
    convolutions = tuple((features, size, 1) for features, size in blocks)
    return partial(Stack, convolutions=convolutions, normalised=normalised)


COMPACT = ((24, 5, 2), (48, 3, 2), (96, 3, 2), (128, 3, 1), (192, 3, 2))
"""Features, kernel size and stride of the convolutions of our small network."""

MODELS: Mapping[str, Model] = MappingProxyType(
    {
        "resnet50": Model(
            ResNet50,
            PooledHead,
            Config(),
            _keras("resnet/resnet50", "4d473c1dd8becc155b73f8504c6f6626"),
            trained=ResNet50.trained,
        ),
        "vgg16": Model(
            VGG16,
            PooledHead,
            Config(model=ModelConfig("vgg16")),
            _keras("vgg16/vgg16", "6d6bbae143d832006294945121d1f1fc"),
            trained=VGG16.trained,
            least_size=32,
        ),
        "xception": Model(
            Xception,
            PooledHead,
            Config(Preprocessing(299), model=ModelConfig("xception")),
            _keras("xception/xception", "b0042744bf5b25fce3cb969f33bebb97"),
            trained=Xception.trained,
        ),
        "cnn-a": Model(
            _pooled((32, 3), (64, 3), (128, 3), (128, 3)),
            partial(DenseHead, widths=(256,)),
            Config(
                model=ModelConfig("cnn-a", "none", dropout=0.25),
                optimiser=OptimiserConfig(learning_rate=1e-3),
            ),
        ),
        "cnn-b": Model(
            _pooled((16, 5), (32, 3), (64, 3), (128, 3), (128, 3), normalised=False),
            partial(DenseHead, widths=(128,)),
            Config(
                Preprocessing(300, normalise="unit"),
                model=ModelConfig("cnn-b", "none", dropout=0.2),
                optimiser=OptimiserConfig(5e-4, plateau_factor=0.5, plateau_patience=2),
            ),
            least_size=32,
        ),
        "cnn-c": Model(
            _pooled((32, 3), (64, 3), (64, 3)),
            partial(DenseHead, widths=(128,)),
            Config(
                Preprocessing(colour="grayscale"),
                model=ModelConfig("cnn-c", "none", dropout=0.3),
                optimiser=OptimiserConfig(learning_rate=1e-3, plateau_factor=0.3),
            ),
        ),
        # Zevin et al. 2017 (arXiv:1611.04596), Bahaadini et al. 2018: the four windows in
        # luminance, 140 by 170 pixels each.
        "gravityspy-cnn": Model(
            _pooled((16, 5), (32, 5), (64, 5), (64, 5), normalised=False),
            partial(DenseHead, widths=(256,)),
            Config(
                Preprocessing(140, 170, "grayscale", "unit"),
                model=ModelConfig("gravityspy-cnn", "none"),
                optimiser=OptimiserConfig(learning_rate=5e-4),
            ),
            views="merged",
        ),
        "ann": Model(
            _pooled(),
            partial(DenseHead, widths=(512, 256)),
            Config(
                Preprocessing(64, colour="grayscale"),
                model=ModelConfig("ann", "none"),
                optimiser=OptimiserConfig(learning_rate=3e-4),
            ),
        ),
        # Ours: what tells a glitch is at which frequency something is, so rows are kept apart.
        "vgg16-rows": Model(
            VGG16Rows,
            RowsHead,
            Config(
                Preprocessing(112, normalise="caffe"),
                model=ModelConfig("vgg16-rows", batch_norm_momentum=0.9),
                optimiser=OptimiserConfig(1e-4, "cosine"),
                training=TrainingConfig(epochs=10),
            ),
            _keras("vgg16/vgg16", "6d6bbae143d832006294945121d1f1fc"),
            trained=VGG16Rows.trained,
        ),
        # The mean of what `vgg16-rows` and `compact` say, as one network.
        "pair": Model(
            partial(Pair, convolutions=COMPACT),
            RowsHead,
            Config(Preprocessing(112, normalise="caffe"), model=ModelConfig("pair", "none")),
        ),
        # Ours: trained in minutes on a laptop.
        "compact": Model(
            partial(Stack, convolutions=COMPACT, pooled=False),
            RowsHead,
            Config(
                Preprocessing(112, colour="grayscale", normalise="unit"),
                DataConfig(batch_size=16, variation="drift"),
                ModelConfig("compact", "none", dropout=0.3, batch_norm_momentum=0.95),
                OptimiserConfig(2e-3, "cosine"),
                TrainingConfig(epochs=20),
            ),
            views="fused",
        ),
    }
)

PRESETS = ("paper", "quick")
"""paper: a system as in the report; quick: small pictures from scratch, minutes on a laptop."""

QUICK_SIZE = 64
"""Height and width in pixels of the quick preset's pictures."""


def known(name: str) -> Model:
    """Returns what is known of a model.

    Raises:
        ValueError: if there is none of this name.
    """
    if name not in MODELS:
        raise ValueError(f"{name!r}: no such model; there are {', '.join(MODELS)}")
    return MODELS[name]


def settings(preset: str, name: str = "resnet50") -> Config:
    """Returns the settings of a preset for a model."""
    paper = known(name).settings
    if preset == "paper":
        return paper
    small = dataclasses.replace(paper.preprocessing, size=QUICK_SIZE, width=0)
    return Config(
        preprocessing=paper.preprocessing if known(name).merged else small,
        model=ModelConfig(name, weights="none", dropout=0.2, batch_norm_momentum=0.9),
        optimiser=OptimiserConfig(learning_rate=1e-3, plateau_patience=2, min_learning_rate=1e-4),
        training=TrainingConfig(epochs=10),
    )


def check(config: Config) -> None:
    """Checks that every setting is in its range, and fits the others and the model.

    Raises:
        UsageError: naming every setting that is not, or the two that don't fit.
        ValueError: if there is no such model.
    """
    check_ranges(config)
    name, weights = config.model.name, config.model.weights
    model = known(name)
    official = weights == "imagenet" or Path(weights).suffix == ".h5"
    if official and model.keras_file is None:
        raise UsageError(
            f"--weights {weights}: there are none of ImageNet for {name}; "
            "give none, or the folder of a checkpoint"
        )
    height, width = config.preprocessing.shape
    if min(height, width) < model.least_size:
        raise UsageError(
            f"{name} can't do with pictures of {height} by {width} pixels: "
            f"give --size and --width of {model.least_size} at least"
        )
