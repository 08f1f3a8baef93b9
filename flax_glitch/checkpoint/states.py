"""Arrays by dotted name, as checkpoints keep them, and the states of a run to resume from."""

import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

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
    shapes = [{name: tuple(array.shape) for name, array in a.items()} for a in (found, expected)]
    if faults := misfits(*shapes):
        raise CheckpointError(f"{place}: doesn't fit the model; {faults}")


def check_room(folder: Path, arrays: Arrays) -> None:
    """Refuses to write arrays to a disk that has no room for them: orbax is no friend of such."""
    needed = sum(array.nbytes for array in arrays.values())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise CheckpointError(
            f"{folder}: {needed / 1e6:.0f} MB to write, but only {free / 1e6:.0f} MB free on the "
            "disk: make room (a run goes on with --resume); what was saved before is whole"
        )


@contextmanager
def telling(what: str) -> Iterator[None]:
    """Makes one line of whatever goes wrong inside: orbax raises all that its storage does."""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(f"{what}: {reason(error)}") from error


def reason(error: Exception) -> str:
    """Returns what an error says, in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


class RunStates:
    """The newest states of a run in `<run>/training`, each written whole or not at all."""

    def __init__(self, run: Path):
        self._folder = (run / "training").absolute()
        options = ocp.CheckpointManagerOptions(
            max_to_keep=1, enable_async_checkpointing=False, cleanup_tmp_directories=True
        )
        handlers = {
            "arrays": ocp.PyTreeCheckpointHandler(),
            "progress": ocp.JsonCheckpointHandler(),
        }
        with telling(f"{run}: can't be written"):
            self._manager = ocp.CheckpointManager(
                self._folder, options=options, item_handlers=handlers
            )

    @property
    def newest(self) -> int | None:
        """The step of the newest state, None if there is none."""
        return self._manager.latest_step()

    def save(self, step: int, state: Any, progress: Mapping[str, Any]) -> None:
        """Writes the state after this step, unless it is there already, and drops the one before.

        If that can't be, the state before stays.
        """
        if step == self.newest:
            return
        arrays = flatten(state)
        check_room(self._folder, arrays)
        items = ocp.args.Composite(
            arrays=ocp.args.PyTreeSave(arrays), progress=ocp.args.JsonSave(progress)
        )
        with telling(f"{self._folder}: step {step} can't be written"):
            self._manager.save(step, args=items)

    def restore(self, like: Any) -> tuple[Any, dict[str, Any]]:
        """Returns the newest state, in the structure of `like`, and its progress."""
        if self.newest is None:
            raise CheckpointError(f"{self._folder}: nothing to resume; start without --resume")
        place, expected = self._folder / str(self.newest), flatten(like)
        typed = ocp.checkpoint_utils.construct_restore_args(expected)
        items = ocp.args.Composite(
            arrays=ocp.args.PyTreeRestore(expected, restore_args=typed),
            progress=ocp.args.JsonRestore(),
        )
        with telling(f"{place}: the state is damaged"):
            metadata = self._manager.item_metadata(self.newest)
            check_fit(place, dict(metadata["arrays"].tree), expected)
            restored = self._manager.restore(self.newest, args=items)
        return unflatten(restored["arrays"], like), dict(restored["progress"])

    def close(self) -> None:
        """Lets go of the folder."""
        self._manager.close()
