"""Settings of a training run as frozen dataclasses, checked, and as JSON both ways."""

import dataclasses
import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import tyro

_CACHES = Path(os.environ.get("XDG_CACHE_HOME", ""))
CACHE = (_CACHES if _CACHES.is_absolute() else Path.home() / ".cache") / "flax_glitch"
"""Where downloads, prepared data sets and compiled functions are kept."""

RUNS = Path("checkpoints")
"""The folder of runs, in the folder that one works in."""

BALANCED, GRAVITY_SPY = "balanced", "gravity-spy"
"""How often each class comes: all equally often, or as in Gravity Spy's training set."""

PRIOR = BALANCED
"""Which of the two is taken if none is asked for; BALANCED of models that the other doesn't fit."""

SIMULATED = "simulated"
"""The source that needs no files: glitches that the project simulates."""


class UsageError(ValueError):
    """What a user asked for can't be done, whatever the data: wrong arguments, exit code 2."""


def keep_compiled(cache: Path = CACHE) -> None:
    """Makes JAX keep compiled functions on disk, so that the next start is quick.

    Where the environment says the folder, it is that.

    Raises:
        UsageError: if JAX has no such device as the environment asks for.
    """
    import jax  # here, because it takes longer to import than settings take to be read

    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        jax.config.update("jax_compilation_cache_dir", str(cache / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    try:
        jax.devices()
    except (RuntimeError, AssertionError):  # of CUDA without a GPU JAX says the latter
        asked = os.environ.get("JAX_PLATFORMS", "")
        raise UsageError(
            f"JAX_PLATFORMS={asked}: JAX finds no such device; unset it, or install JAX's "
            "package for the device, for a GPU pip install 'jax[cuda13]'"
        ) from None


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

    source: str = SIMULATED
    """Folder or HDF5 file of Gravity Spy pictures, or "simulated": glitches made by the project."""
    classes: tuple[str, ...] = ()
    """Names of the classes to train on; all that the source has if none are given."""
    split_seed: int = 0
    """Seed of the split by glitch, where the source has no split of its own."""
    batch_size: int = 32
    """Pictures a training step; glitches, where all windows of one are judged together."""
    variation: Literal["none", "report", "drift"] = "none"
    """How pictures are varied at random in training. report: mirrored in time and zoomed by up to a
    tenth; drift: shifted, zoomed, brighter, darker, unsharp, as other plots of the same glitch."""
    augment_rare: Literal["none", "dcgan"] = "none"
    """dcgan: a DCGAN is trained on the training pictures first, and fills up the rare classes."""


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Which network, from which weights."""

    name: Annotated[str, tyro.conf.Fixed, tyro.conf.Suppress] = "resnet50"
    """The architecture, one of `models.systems.MODELS`; --model of the command line."""
    weights: str = "imagenet"
    """imagenet: Keras' official file, where there is one; none: from scratch, nothing frozen; a
    local .h5 file; or a checkpoint to go on from, its folder or its name, such as fast."""
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
    """The learning rate never goes below this (the report's ended at 1e-5); not above it."""


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
        values = json.loads(text)
        values["data"].setdefault("classes", ())  # runs that began when all had the same have none
        return from_dict(cls, values)


SEEDS = 2**32
"""There are so many seeds, from 0."""

RANGES: Mapping[str, Mapping[str, tuple[str, Callable[[Any], bool]]]] = {
    "preprocessing": {
        "size": ("16 to 1024", lambda size: 16 <= size <= 1024),
        "width": ("0, or 16 to 1024", lambda width: width == 0 or 16 <= width <= 1024),
    },
    "data": {"batch_size": ("at least 1", lambda size: size >= 1)},
    "model": {
        "dropout": ("0 to below 1", lambda share: 0 <= share < 1),
        "batch_norm_momentum": ("0 to below 1", lambda share: 0 <= share < 1),
    },
    "optimiser": {
        "learning_rate": ("above 0", lambda rate: 0 < rate < math.inf),
        "plateau_factor": ("above 0 to 1", lambda factor: 0 < factor <= 1),
        "plateau_patience": ("at least 1", lambda epochs: epochs >= 1),
        "min_learning_rate": ("at least 0", lambda rate: rate >= 0),
    },
    "training": {
        "epochs": ("at least 1", lambda epochs: epochs >= 1),
        "early_stopping_patience": ("at least 1", lambda epochs: epochs >= 1),
        "save_every": ("at least 0", lambda seconds: seconds >= 0),
    },
}
"""The range of each setting that has one, in words and as a test."""

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


def check_seed(seed: int, name: str = "seed") -> None:
    """Raises a UsageError unless a seed is one that all generators of random numbers take."""
    if not 0 <= seed < SEEDS:
        raise UsageError(f"--{name} {seed}: give 0 to {SEEDS - 1}")


def check_ranges(config: Config) -> None:
    """Checks that every setting is in its range, and fits the others.

    Raises:
        UsageError: naming every setting that is not and its range, or those that don't fit.
    """
    out_of_range = [
        f"{name.replace('_', '-')} {value} ({words})"
        for section, ranges in RANGES.items()
        for name, (words, is_right) in ranges.items()
        if not is_right(value := getattr(getattr(config, section), name))
    ]
    if out_of_range:
        raise UsageError(f"out of range: {', '.join(out_of_range)}")
    check_seed(config.data.split_seed, "split-seed")
    check_seed(config.training.seed)
    rate, least = config.optimiser.learning_rate, config.optimiser.min_learning_rate
    if least > rate:
        raise UsageError(
            f"--min-learning-rate {least:g} is above --learning-rate {rate:g}: give a lower one"
        )


def _value(name: str, kind: Any, value: Any) -> Any:
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return from_dict(kind, value)
    if get_origin(kind) is tuple and isinstance(value, list):
        value = tuple(value)
    if kind == tuple[str, ...] and not all(isinstance(item, str) for item in value):
        raise ValueError(f"setting {name} can't be {value!r}")
    allowed = get_args(kind) if get_origin(kind) is Literal else None
    expected = get_origin(kind) or kind
    fits = value in allowed if allowed else isinstance(value, expected)
    if not fits and not (expected is float and isinstance(value, int)):
        raise ValueError(f"setting {name} can't be {value!r}")
    return value
