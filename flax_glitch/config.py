"""Settings of a training run as frozen dataclasses, with presets and JSON both ways."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import jax
import tyro

CACHE = Path.home() / ".cache" / "flax_glitch"
"""Where downloads, prepared data sets and compiled functions are kept."""


class UsageError(ValueError):
    """What a user asked for can't be done, whatever the data: wrong arguments, exit code 2."""


def keep_compiled(cache: Path = CACHE) -> None:
    """Makes JAX keep compiled functions on disk, so that the next start is quick."""
    jax.config.update("jax_compilation_cache_dir", str(cache / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes numbers; it travels with the checkpoint."""

    size: int = 224
    """Height that the network sees, pixels (the report: 224; 299 and 300 also tried)."""
    width: int = 0
    """Width that the network sees, pixels; 0: as wide as high."""
    colour: Literal["rgb", "grayscale"] = "rgb"
    """Three colour channels, or their luminance repeated in each of the three."""
    normalise: Literal["samplewise", "unit", "caffe", "tf"] = "samplewise"
    """samplewise: 1/255, then minus the picture's mean, over its standard deviation (the report);
    unit: 1/255; caffe: BGR minus ImageNet's mean; tf: -1 to 1."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width that the network sees, pixels."""
        return self.size, self.width or self.size


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which pictures, how they are split and how they are varied in training."""

    source: str = "simulated"
    """Folder or HDF5 file of Gravity Spy pictures, or "simulated": glitches made by the project."""
    split_seed: int = 0
    """Seed of the split by glitch, where the source has no split of its own."""
    classes: tuple[str, ...] = ()
    """Names of the classes to train on; all that the source has if none are given."""
    batch_size: int = 32
    """Pictures a training step; glitches, where all windows of one are judged together."""
    variation: Literal["none", "report", "drift"] = "none"
    """How pictures are varied at random in training. report: mirrored in time and zoomed by up to a
    tenth; drift: shifted, zoomed, brighter, darker, unsharp, as other plots of the same glitch."""
    augment_rare: Literal["none", "dcgan"] = "none"
    """dcgan: a DCGAN is trained on the training pictures first, and fills up the rare classes."""


ModelName = Literal[
    "resnet50", "vgg16", "xception", "cnn-a", "cnn-b", "cnn-c", "gravityspy-cnn", "ann", "compact"
]

PRETRAINED = ("resnet50", "vgg16", "xception")
"""The models that ImageNet weights exist for."""


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Which network, from which weights."""

    name: Annotated[ModelName, tyro.conf.arg(name="model")] = "resnet50"
    """The architecture."""
    weights: str = "imagenet"
    """imagenet: Keras' official file (resnet50, vgg16, xception); none: from scratch, nothing
    frozen; or a local .h5 file, or the folder of a checkpoint to go on from."""
    dropout: float = 0.5
    """Share of units dropped while training: in the head, and in each block of a custom CNN."""
    batch_norm_momentum: float = 0.99
    """How slowly batch statistics are averaged (Keras: 0.99); short runs want 0.9."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Type that layers compute in; auto: bfloat16 on a GPU or TPU, float32 on a CPU."""


@dataclasses.dataclass(frozen=True)
class OptimiserConfig:
    """RMSprop's learning rate and how it comes down."""

    learning_rate: float = 1e-4
    """Learning rate at the start."""
    schedule: Literal["plateau", "cosine"] = "plateau"
    """How it comes down: when validation stops getting better, or by a half cosine over all
    epochs to the smallest."""
    plateau_factor: float = 0.1
    """The learning rate is multiplied by this on a plateau."""
    plateau_patience: int = 3
    """Epochs without a lower validation loss before that."""
    min_learning_rate: float = 1e-5
    """The learning rate never goes below this (the report's ended at 1e-5)."""


Imbalance = Literal["class-weights", "over-sampling", "randomised", "none"]


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """How long and how carefully."""

    epochs: int = 50
    """Most passes over the training pictures."""
    early_stopping_patience: int = 8
    """Epochs without a lower validation loss before training ends; the best epoch is kept."""
    imbalance: Imbalance = "class-weights"
    """So that rare classes count as much as common ones. class-weights: in the loss; over-sampling:
    their pictures come more often; randomised: so, and those of rare classes varied at random."""
    seed: int = 0
    """Seed of new weights, dropout, order and variation of the pictures."""
    save_every: float = 300.0
    """Seconds between checkpoints inside an epoch; one is written at the end of every epoch too."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that a training run depends on."""

    preprocessing: Preprocessing = Preprocessing()
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    training: TrainingConfig = TrainingConfig()

    def to_json(self) -> str:
        """Returns the settings as indented JSON."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> "Config":
        """Returns the settings that `to_json` wrote.

        Raises:
            ValueError: if a section or setting is missing or unknown.
        """
        return from_dict(cls, json.loads(text))


_SCRATCH = ModelConfig(weights="none")

SYSTEMS: Mapping[ModelName, Config] = MappingProxyType(
    {
        "resnet50": Config(),
        "vgg16": Config(model=ModelConfig("vgg16")),
        "xception": Config(Preprocessing(299), model=ModelConfig("xception")),
        "cnn-a": Config(
            model=dataclasses.replace(_SCRATCH, name="cnn-a", dropout=0.25),
            optimiser=OptimiserConfig(learning_rate=1e-3),
        ),
        "cnn-b": Config(
            Preprocessing(300, normalise="unit"),
            model=dataclasses.replace(_SCRATCH, name="cnn-b", dropout=0.2),
            optimiser=OptimiserConfig(5e-4, plateau_factor=0.5, plateau_patience=2),
        ),
        "cnn-c": Config(
            Preprocessing(colour="grayscale"),
            model=dataclasses.replace(_SCRATCH, name="cnn-c", dropout=0.3),
            optimiser=OptimiserConfig(learning_rate=1e-3, plateau_factor=0.3),
        ),
        "gravityspy-cnn": Config(
            Preprocessing(140, 170, "grayscale", "unit"),
            model=dataclasses.replace(_SCRATCH, name="gravityspy-cnn"),
            optimiser=OptimiserConfig(learning_rate=5e-4),
        ),
        "ann": Config(
            Preprocessing(64, colour="grayscale"),
            model=dataclasses.replace(_SCRATCH, name="ann"),
            optimiser=OptimiserConfig(learning_rate=3e-4),
        ),
        "compact": Config(
            Preprocessing(112, colour="grayscale", normalise="unit"),
            DataConfig(batch_size=16, variation="drift"),
            ModelConfig("compact", "none", dropout=0.3, batch_norm_momentum=0.95),
            OptimiserConfig(2e-3, "cosine"),
            TrainingConfig(epochs=20),
        ),
    }
)
"""The systems that the report compares, Gravity Spy's own, and ours. The report tells ResNet50
exactly; of the others it tells kinds of layers, sizes and treatment, so some numbers are ours."""

PRESETS = ("paper", "quick")
"""paper: a system as in the report; quick: small pictures from scratch, minutes on a laptop."""


def settings(preset: str, name: ModelName = "resnet50") -> Config:
    """Returns the settings of a preset for a model."""
    paper = SYSTEMS[name]
    if preset == "paper":
        return paper
    size = 80 if name == "xception" else 64  # Xception wants 71 at least
    small = dataclasses.replace(paper.preprocessing, size=size, width=0)
    return Config(
        preprocessing=small if name != "gravityspy-cnn" else paper.preprocessing,
        model=ModelConfig(name, weights="none", dropout=0.2, batch_norm_momentum=0.9),
        optimiser=OptimiserConfig(learning_rate=1e-3, plateau_patience=2, min_learning_rate=1e-4),
        training=TrainingConfig(epochs=10),
    )


Section = TypeVar("Section")


def from_dict(kind: type[Section], values: Mapping[str, Any]) -> Section:
    """Returns the dataclass `kind` with these values, nested sections included.

    Raises:
        ValueError: naming every setting that is missing or unknown, or one that is no good.
    """
    kinds = get_type_hints(kind)
    if wrong := sorted(set(kinds) ^ set(values)):
        raise ValueError(f"{kind.__name__}: settings missing or unknown: {', '.join(wrong)}")
    return kind(**{name: _value(name, kinds[name], value) for name, value in values.items()})


def check(config: Config) -> None:
    """Checks that every setting is in its range.

    Raises:
        UsageError: naming every setting that is not, and its range.
    """
    size, width = config.preprocessing.size, config.preprocessing.width
    data, model = config.data, config.model
    optimiser, training = config.optimiser, config.training
    ranges = {
        f"size {size} (16 to 1024)": 16 <= size <= 1024,
        f"width {width} (0, or 16 to 1024)": width == 0 or 16 <= width <= 1024,
        f"batch-size {data.batch_size} (at least 1)": data.batch_size >= 1,
        f"dropout {model.dropout} (0 to below 1)": 0 <= model.dropout < 1,
        f"batch-norm-momentum {model.batch_norm_momentum} (0 to below 1)": (
            0 <= model.batch_norm_momentum < 1
        ),
        f"learning-rate {optimiser.learning_rate} (above 0)": optimiser.learning_rate > 0,
        f"min-learning-rate {optimiser.min_learning_rate} (at least 0)": (
            optimiser.min_learning_rate >= 0
        ),
        f"plateau-factor {optimiser.plateau_factor} (above 0 to 1)": (
            0 < optimiser.plateau_factor <= 1
        ),
        f"plateau-patience {optimiser.plateau_patience} (at least 1)": (
            optimiser.plateau_patience >= 1
        ),
        f"epochs {training.epochs} (at least 1)": training.epochs >= 1,
        f"early-stopping-patience {training.early_stopping_patience} (at least 1)": (
            training.early_stopping_patience >= 1
        ),
        f"save-every {training.save_every} (at least 0)": training.save_every >= 0,
    }
    if wrong := [setting for setting, right in ranges.items() if not right]:
        raise UsageError(f"out of range: {', '.join(wrong)}")
    official = model.weights == "imagenet" or Path(model.weights).suffix == ".h5"
    if official and model.name not in PRETRAINED:
        raise UsageError(
            f"--weights {model.weights}: there are none of ImageNet for {model.name}; "
            "give none, or the folder of a checkpoint"
        )


def _value(name: str, kind: Any, value: Any) -> Any:
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return from_dict(kind, value)
    if get_origin(kind) is tuple and isinstance(value, list):
        value = tuple(value)
    allowed = get_args(kind) if get_origin(kind) is Literal else None
    expected = get_origin(kind) or kind
    fits = value in allowed if allowed else isinstance(value, expected)
    if not fits and not (expected is float and isinstance(value, int)):
        raise ValueError(f"setting {name} can't be {value!r}")
    return value
