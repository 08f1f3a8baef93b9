"""Arrays by dotted name: the form in which checkpoints keep a model or a training state."""

import hashlib
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from flax_glitch.arrays import misfits

Arrays = Mapping[str, Any]
"""Arrays, or their shapes and types, by dotted name."""

logging.getLogger("absl").setLevel(logging.ERROR)  # orbax tells every step it takes


class CheckpointError(ValueError):
    """A checkpoint that is absent, damaged, foreign or can't be written; the message says which."""


def flatten(tree: Any) -> dict[str, Any]:
    """Returns the leaves of a pytree by their dotted names."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def unflatten(arrays: Arrays, like: Any) -> Any:
    """Returns a pytree of the structure of `like` with the arrays that `flatten` named."""
    return jax.tree.unflatten(jax.tree.structure(like), [arrays[name] for name in flatten(like)])


def check_fit(place: Any, found: Arrays, expected: Arrays) -> None:
    """Checks that arrays have exactly the expected names and shapes.

    Raises:
        CheckpointError: naming every array that is missing, extra or misshapen.
    """
    if faults := misfits(_shapes(found), _shapes(expected)):
        raise CheckpointError(f"{place}: doesn't fit the model; {faults}")


def _shapes(arrays: Arrays) -> dict[str, tuple[int, ...]]:
    return {name: tuple(array.shape) for name, array in arrays.items()}


def check_room(folder: Path, arrays: Arrays) -> None:
    """Checks that there is room on the disk to write arrays: orbax is no friend of full disks.

    Raises:
        CheckpointError: if there isn't.
    """
    needed = sum(array.nbytes for array in arrays.values())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise CheckpointError(
            f"{folder}: {needed / 1e6:.0f} MB to write, but only {free / 1e6:.0f} MB free on the "
            "disk: make room (a run goes on with --resume); what was saved before is whole"
        )


def hash_arrays(arrays: Arrays) -> str:
    """Returns the sha256 of arrays: names, types, shapes and bytes, in order of name."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def hash_folder(folder: Path) -> str:
    """Returns the sha256 of the files of a folder: names, sizes and bytes, in order of name."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()} {path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def reason(error: BaseException) -> str:
    """Returns what an error says, in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
