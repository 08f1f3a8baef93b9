"""Keras' official ImageNet weights: downloaded, checked and loaded strictly.

The files are HDF5 in Keras' older layout: the attribute `layer_names` of the file names groups, and
each group's attribute `weight_names` names arrays. They are read by h5py, as arrays alone. The
official file of VGG16 was written by Keras 1, whose arrays have older names.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

import h5py
import jax.numpy as jnp
import numpy as np
from flax import nnx

from flax_glitch.arrays import misfits, some
from flax_glitch.config import CACHE
from flax_glitch.files import download, is_intact, why
from flax_glitch.models.classifier import Classifier
from flax_glitch.models.systems import MODELS, KerasFile

BASE = "https://storage.googleapis.com/tensorflow/keras-applications/"
"""Where Keras keeps its weight files."""


NORM_NAMES = MappingProxyType(
    {"scale": "gamma", "bias": "beta", "mean": "moving_mean", "var": "moving_variance"}
)
"""Keras' names of a batch normalisation's arrays; other layers' names are the same in Flax."""

KERAS_1 = MappingProxyType(
    {"W": "kernel", "b": "bias", "running_mean": "moving_mean", "running_std": "moving_variance"}
)
"""Today's names of the arrays that Keras 1 named otherwise; its `running_std` is a variance."""

UNNAMED = re.compile(r"(conv2d|convolution2d|batch_?normalization)(_\d+)?")
"""Layers that nobody named: Keras numbers them, in one file from 0 and in the next from 1 or 7."""


class WeightsError(ValueError):
    """Weights that can't be had or don't fit; one line that names the file and the cure."""


@runtime_checkable
class Pretrained(Protocol):
    """An architecture with ImageNet weights."""

    unused: tuple[str, ...]
    """How the names of Keras' layers begin that it does without."""

    @staticmethod
    def layer_name(path: tuple[str, ...]) -> str:
        """Returns Keras' name of the layer at a place."""
        ...


def load_weights(classifier: Classifier, weights: str, cache: Path = CACHE) -> None:
    """Gives the classifier's backbone the weights that the settings ask for.

    Args:
        classifier: changed in place.
        weights: imagenet, none (leaves the random weights), or a local .h5 file.
        cache: folder of downloads.

    Raises:
        WeightsError: if the weights can't be had or don't fit; the classifier is then unchanged.
    """
    if weights == "none":
        return
    backbone, official = classifier.backbone, MODELS[classifier.name].keras_file
    if official is None or not isinstance(backbone, Pretrained):
        raise WeightsError(f"{weights}: this model takes no weights of Keras; give --weights none")
    path = imagenet_file(official, cache) if weights == "imagenet" else Path(weights)
    load_keras_weights(backbone, path)


def load_keras_weights(backbone: Pretrained, path: Path) -> None:
    """Replaces all arrays of the backbone by those of a Keras file, which has to fit exactly.

    Args:
        backbone: changed in place.
        path: a file in the layout of Keras' official weights.

    Raises:
        WeightsError: naming every array that is missing, extra, misshapen or not finite.
    """
    variables = dict(nnx.to_flat_state(nnx.state(backbone)))
    places = {_keras_name(backbone, place): place for place in variables}
    shapes = {name: variables[place].shape for name, place in places.items()}
    arrays = read_keras_weights(path, shapes, backbone.unused)
    loaded = {places[name]: jnp.asarray(array) for name, array in arrays.items()}
    nnx.update(backbone, nnx.from_flat_state(loaded))


def read_keras_weights(
    path: Path, shapes: Mapping[str, tuple[int, ...]], unused: tuple[str, ...] = ()
) -> dict[str, np.ndarray]:
    """Returns the arrays of a Keras weight file in float32, by names such as conv1_conv/kernel.

    Args:
        path: the file.
        shapes: the names and shapes of all arrays that it should hold, but for those unused.
        unused: how the names of arrays begin that it may hold besides.

    Raises:
        WeightsError: naming every array that is missing, extra, misshapen or not finite.
    """
    if path.is_dir():
        raise WeightsError(f"{path}: a folder without a checkpoint; give an .h5 file")
    try:
        with h5py.File(path) as file:
            datasets = _datasets(file, path)
            found = {
                name: data.shape for name, data in datasets.items() if not name.startswith(unused)
            }
            if faults := misfits(found, shapes):
                raise WeightsError(f"{path}: these weights don't fit the model; {faults}")
            arrays = {name: np.asarray(datasets[name], np.float32) for name in shapes}
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such weights file; check the path") from None
    except (OSError, KeyError, TypeError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise WeightsError(f"{path}: can't be read as an HDF5 weights file ({reason})") from None
    if infinite := [name for name, array in arrays.items() if not np.isfinite(array).all()]:
        raise WeightsError(f"{path}: not finite: {some(infinite)}")
    return arrays


def imagenet_file(official: KerasFile, cache: Path = CACHE, *, base: str = BASE) -> Path:
    """Returns Keras' official ImageNet weights of a model, downloaded if they aren't here yet.

    Keras' own copy in ~/.keras/models is used where it is the right one. A broken download is
    kept beside its goal, and goes on where it stopped.

    Args:
        official: the file.
        cache: folder of downloads.
        base: address of Keras' files, with a slash at its end.

    Raises:
        WeightsError: if the file can't be had; it says what to do.
    """
    address, md5 = official
    url, goal = base + address, cache / "weights" / Path(address).name
    for path in (goal, Path.home() / ".keras" / "models" / goal.name):
        if is_intact(path, md5):
            return path
    try:
        return download(url, goal, md5=md5)
    except OSError as error:
        raise WeightsError(
            f"{goal.name}: the download failed ({why(error)}). Try again, or get {url} in another "
            "way and give it with --weights FILE, or start from scratch: --weights none"
        ) from None


def _keras_name(backbone: Pretrained, place: tuple[Any, ...]) -> str:
    layer = backbone.layer_name(place[:-1])
    is_norm = layer.endswith("_bn") or layer.startswith("batch_normalization")
    return f"{layer}/{NORM_NAMES[place[-1]] if is_norm else place[-1]}"


def _datasets(file: h5py.File, path: Path) -> dict[str, h5py.Dataset]:
    if "layer_names" not in file.attrs:
        raise WeightsError(f"{path}: not a weights file in the layout of Keras' official .h5 files")
    layers = _texts(file.attrs["layer_names"])
    if "res2a_branch2a" in layers:
        raise WeightsError(
            f"{path}: an older training of ResNet50 under the same file name (it has a layer "
            "res2a_branch2a); get Keras' newer one: --weights imagenet does"
        )
    return {
        f"{renumbered}/{_array_name(layer, name)}": file[layer][name]
        for layer, renumbered in zip(layers, _renumbered(layers), strict=True)
        for name in _texts(file[layer].attrs["weight_names"])
    }


def _renumbered(layers: Sequence[str]) -> list[str]:
    """Returns the names; layers without one become conv2d, conv2d_1, … in their order."""
    seen: Counter[str] = Counter()
    names = []
    for layer in layers:
        if UNNAMED.fullmatch(layer):
            kind = "conv2d" if layer.startswith("conv") else "batch_normalization"
            layer = f"{kind}_{seen[kind]}" if seen[kind] else kind
            seen[kind] += 1
        names.append(layer)
    return names


def _array_name(layer: str, name: str) -> str:
    """Returns kernel of conv1_conv/kernel:0, and of Keras 1's block1_conv1_W_1:0."""
    name = name.split("/")[-1].removesuffix(":0").removeprefix(f"{layer}_")
    name = re.sub(r"_\d+$", "", name)
    return KERAS_1.get(name, name)


def _texts(names: Iterable[bytes | str]) -> list[str]:
    # Keras wrote bytes of fixed length; h5py gives strings for those of variable length.
    return [name.decode() if isinstance(name, bytes) else name for name in names]
