"""States of a run to resume from, each written whole or not at all."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp

from flax_glitch.checkpoint.arrays import (
    CheckpointError,
    check_fit,
    check_room,
    flatten,
    reason,
    unflatten,
)


class RunStates:
    """The newest states of a run in `<run>/training`, each written whole or not at all."""

    def __init__(self, run: Path):
        self._folder = (run / "training").absolute()
        options = ocp.CheckpointManagerOptions(
            max_to_keep=1, enable_async_checkpointing=False, cleanup_tmp_directories=True
        )
        try:
            self._manager = ocp.CheckpointManager(
                self._folder,
                options=options,
                item_handlers={
                    "arrays": ocp.PyTreeCheckpointHandler(),
                    "progress": ocp.JsonCheckpointHandler(),
                },
            )
        except OSError as error:
            raise CheckpointError(f"{run}: can't be written: {reason(error)}") from None

    @property
    def newest(self) -> int | None:
        """The step of the newest state, None if there is none."""
        return self._manager.latest_step()

    def save(self, step: int, state: Any, progress: Mapping[str, Any]) -> None:
        """Writes the state after this step, unless it is there already, and drops the one before.

        Raises:
            CheckpointError: if it can't be written; the state before stays.
        """
        if step == self.newest:
            return
        arrays = flatten(state)
        check_room(self._folder, arrays)
        try:
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    arrays=ocp.args.PyTreeSave(arrays), progress=ocp.args.JsonSave(progress)
                ),
            )
        except Exception as error:  # orbax raises whatever its storage does
            raise CheckpointError(
                f"{self._folder}: step {step} can't be written: {reason(error)}"
            ) from error

    def restore(self, like: Any) -> tuple[Any, dict[str, Any]]:
        """Returns the newest state, in the structure of `like`, and its progress.

        Raises:
            CheckpointError: if there is none, or it doesn't fit or is damaged.
        """
        if self.newest is None:
            raise CheckpointError(f"{self._folder}: nothing to resume; start without --resume")
        place = self._folder / str(self.newest)
        expected = flatten(like)
        try:
            metadata = self._manager.item_metadata(self.newest)
            check_fit(place, dict(metadata["arrays"].tree), expected)
            restored = self._manager.restore(
                self.newest,
                args=ocp.args.Composite(
                    arrays=ocp.args.PyTreeRestore(
                        expected, restore_args=ocp.checkpoint_utils.construct_restore_args(expected)
                    ),
                    progress=ocp.args.JsonRestore(),
                ),
            )
        except CheckpointError:
            raise
        except Exception as error:  # orbax raises whatever its storage does
            raise CheckpointError(f"{place}: the state is damaged: {reason(error)}") from error
        return unflatten(restored["arrays"], like), dict(restored["progress"])

    def close(self) -> None:
        """Lets go of the folder."""
        self._manager.close()
