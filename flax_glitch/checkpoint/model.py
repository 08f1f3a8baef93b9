"""Models to predict with: a folder that is whole at any moment, written and read strictly."""

import dataclasses
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from flax import nnx

from flax_glitch.checkpoint.arrays import (
    Arrays,
    CheckpointError,
    check_fit,
    check_room,
    flatten,
    hash_arrays,
    hash_folder,
    reason,
    unflatten,
)
from flax_glitch.checkpoint.description import Calibration, Description, read_description
from flax_glitch.files import write_whole
from flax_glitch.models.classifier import Classifier, build

RUNS = Path("checkpoints")
"""The folder of runs, in the folder that one works in."""

DEFAULT = Path(__file__).parents[2] / "checkpoints" / "default"
"""The model that comes with the project."""

SHA256_IN_CARD = "SHA256"
"""Stands for the hash in a model card until the arrays are written."""


def save_model(
    folder: Path,
    arrays: Arrays,
    description: Description,
    card: str,
    precision: Literal["float32", "bfloat16"] = "float32",
) -> Description:
    """Writes a model to predict with and returns its description, hash filled in.

    Raises:
        CheckpointError: if the folder can't be written; what it held before stays whole.
    """
    stored = {name: np.asarray(array).astype(precision) for name, array in arrays.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        check_room(folder, stored)
        files = _write_arrays(folder, stored)
        sha256 = hash_arrays(stored)
        described = dataclasses.replace(
            description, arrays=f"arrays-{files[:12]}", sha256=sha256, files_sha256=files
        )
        _write_description(folder, described, card)
    except CheckpointError:
        raise
    except Exception as error:  # orbax raises whatever its storage does
        raise CheckpointError(f"{folder}: the model can't be written: {reason(error)}") from error
    for old in (*folder.glob("arrays-*"), *folder.glob("writing-*")):
        if old.name != described.arrays:
            shutil.rmtree(old, ignore_errors=True)
    return described


def add_calibration(folder: Path, calibration: tuple[Calibration, ...], card: str) -> Description:
    """Writes what validation says of a model into its `model.json`, and a card that tells of it.

    Raises:
        CheckpointError: if there is no model, or it can't be written and stays as it was.
    """
    described = dataclasses.replace(read_description(folder), calibration=calibration)
    try:
        _write_description(folder, described, card)
    except OSError as error:
        raise CheckpointError(f"{folder}: can't be written: {reason(error)}") from None
    return described


def find_checkpoint(given: Path | None, runs: Path = RUNS, default: Path = DEFAULT) -> Path:
    """Returns the checkpoint of this folder, or name in the folder of runs.

    With none given it is the project's own, or else the newest run.

    Raises:
        CheckpointError: if none is given and none is there.
    """
    if given is not None:
        return runs / given if not given.exists() and (runs / given).is_dir() else given
    if (default / "model.json").is_file():
        return default
    found = sorted(runs.glob("*/model.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise CheckpointError(
            f"no checkpoint in {runs}/: train one with `python train_flax.py`, "
            "or name one with --checkpoint FOLDER"
        )
    return found[-1].parent


def release(
    run: Path, out: Path, precision: Literal["float32", "bfloat16"] = "bfloat16"
) -> Description:
    """Writes the model of a run, without its training state, to a new folder.

    Raises:
        CheckpointError: if the run has no model, or the folder holds one or can't be written.
    """
    if any((out / name).exists() for name in ("model.json", "config.json")):
        raise CheckpointError(f"{out}: a model is there; remove it first, or take another folder")
    model, description = load_model(run)
    card = read_card(run).replace(description.sha256, SHA256_IN_CARD)
    weights = Path(description.model.weights).name  # where they lay is nobody's business
    described = dataclasses.replace(
        description, model=dataclasses.replace(description.model, weights=weights)
    )
    return save_model(out, arrays_of(model), described, card, precision)


def read_card(folder: Path) -> str:
    """Returns the model card, empty if there is none."""
    path = folder / "MODEL_CARD.md"
    return path.read_text() if path.is_file() else ""


def arrays_of(model: Classifier) -> dict[str, Any]:
    """Returns a model's parameters and batch statistics by their dotted names."""
    return flatten(nnx.to_pure_dict(nnx.state(model, nnx.Any(nnx.Param, nnx.BatchStat))))


def load_model(folder: Path) -> tuple[Classifier, Description]:
    """Returns the model in a folder, its mode not yet set, and its description.

    Raises:
        CheckpointError: if the folder is absent, foreign or damaged, or doesn't fit the model.
    """
    description = read_description(folder)
    model = nnx.eval_shape(
        lambda: build(
            description.model,
            description.preprocessing,
            len(description.classes),
            rngs=nnx.Rngs(0),
        )
    )
    _fill(model, load_arrays(folder, description, arrays_of(model)))
    return model, description


def start_from(model: Classifier, classes: Sequence[str], folder: Path) -> bool:
    """Replaces a model's arrays by those in a folder, but for the last layer of other classes.

    Args:
        model: changed in place.
        classes: its classes, in the order of its outputs.
        folder: the checkpoint.

    Returns:
        Whether the last layer stays new, because the checkpoint's classes are others.

    Raises:
        CheckpointError: if the folder is absent, foreign or damaged, or doesn't fit the model.
    """
    other, description = load_model(folder)
    given, own = arrays_of(other), arrays_of(model)
    new = description.classes != tuple(classes)
    if new:
        last = {name: array for name, array in own.items() if name.startswith(model.last_layer)}
        given = {name: a for name, a in given.items() if not name.startswith(other.last_layer)}
        given |= last
    check_fit(folder, given, own)
    _fill(model, given)
    return new


def load_arrays(folder: Path, description: Description, expected: Arrays) -> dict[str, Any]:
    """Returns a model's arrays, which fit the expected names and shapes exactly.

    Args:
        folder: the checkpoint.
        description: its `read_description`.
        expected: arrays or `jax.ShapeDtypeStruct`s; loaded arrays take their types.

    Raises:
        CheckpointError: naming every array that is missing, extra or misshapen, or the damage.
    """
    path = folder.absolute() / Path(description.arrays).name  # orbax wants it absolute
    if not description.arrays or not path.is_dir():
        raise CheckpointError(f"{folder}: its arrays are missing ({path.name}): copy it again")
    if hash_folder(path) != description.files_sha256:
        raise CheckpointError(f"{path}: damaged: its sha256 isn't model.json's: copy it again")
    try:
        with ocp.PyTreeCheckpointer() as checkpointer:
            stored = dict(checkpointer.metadata(path).item_metadata.tree)
            check_fit(folder, stored, expected)
            arrays = checkpointer.restore(
                path,
                restore_args=dict.fromkeys(stored, ocp.RestoreArgs(restore_type=np.ndarray)),
            )
    except CheckpointError:
        raise
    except Exception as error:  # orbax raises whatever its storage does
        raise CheckpointError(f"{path}: the arrays are damaged: {reason(error)}") from error
    return {name: arrays[name].astype(like.dtype) for name, like in expected.items()}


def _fill(model: Classifier, arrays: Arrays) -> None:
    state = nnx.state(model, nnx.Any(nnx.Param, nnx.BatchStat))
    values = unflatten(arrays, nnx.to_pure_dict(state))
    nnx.replace_by_pure_dict(state, jax.tree.map(jnp.asarray, values))
    nnx.update(model, state)


def _write_arrays(folder: Path, arrays: Arrays) -> str:
    with tempfile.TemporaryDirectory(dir=folder.absolute(), prefix="writing-") as work:
        new = Path(work) / "arrays"
        with ocp.PyTreeCheckpointer() as checkpointer:
            checkpointer.save(new, dict(arrays))
        sha256 = hash_folder(new)
        new.rename(folder / f"arrays-{sha256[:12]}")
    return sha256


def _write_description(folder: Path, description: Description, card: str) -> None:
    """Writes the card, then model.json: that is what makes the folder another model."""
    write_whole(folder / "MODEL_CARD.md", card.replace(SHA256_IN_CARD, description.sha256) + "\n")
    write_whole(folder / "model.json", json.dumps(dataclasses.asdict(description), indent=2) + "\n")
