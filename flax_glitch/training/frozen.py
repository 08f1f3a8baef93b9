"""What frozen layers make of pictures, computed once and kept on disk, so that epochs are quick.

A frozen layer says the same of a picture in every epoch; where pictures aren't varied, only the
layers above are left to be computed. A file holds the maps of a split in 16 bits, and its name
hangs on all that they depend on.
"""

import errno
import hashlib
import io
import json
import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from flax_glitch.arrays import Maps
from flax_glitch.checkpoint import flatten
from flax_glitch.config import Config
from flax_glitch.data.batches import evaluation_batches
from flax_glitch.data.records import Split
from flax_glitch.files import locked
from flax_glitch.models.classifier import KEPT, Trunk, compute_dtype, make_trunk
from flax_glitch.models.systems import MODELS
from flax_glitch.notes import LOG, bar

VERSION = 1
"""Of the maps: raised whenever the same pictures and arrays give others."""

BATCH = 16
"""Pictures that are computed together."""

LEFT_FREE = 10**9
"""Bytes of the disk that maps leave to others, such as the run's checkpoints."""


def can_keep(config: Config) -> bool:
    """Returns whether layers are frozen, and see each picture as it is in every epoch."""
    frozen = config.model.weights != "none" and MODELS[config.model.name].trained != ""
    return frozen and config.data.variation == "none" and config.training.imbalance != "randomised"


def keep_maps(
    config: Config,
    graphdef: nnx.GraphDef,
    folder: Path,
    states: Sequence[nnx.State],
    splits: Sequence[Split],
) -> Sequence[Split]:
    """Returns the splits with the maps of their pictures, computing those that aren't there.

    A call that was killed is gone on with by the next one; of several at once one computes and the
    others wait for it. If `can_keep` denies it, or the disk, which is said, splits stay as they
    are.

    Args:
        config: settings of the run.
        graphdef: structure of the network.
        folder: for the maps.
        states: what makes up the network; only the frozen arrays count.
        splits: pictures.
    """
    if not can_keep(config):
        return splits
    trunk = make_trunk(graphdef, config.preprocessing)
    one = jax.ShapeDtypeStruct((1, 1, *config.preprocessing.shape, 3), jnp.uint8)
    shape = jax.eval_shape(trunk, states, one).shape[2:]
    known = digest(config, states)
    names = [f"{config.model.name}-{digest_of(split, known)}.npy" for split in splits]
    files = [
        MapsFile(folder / name, (len(split), *shape))
        for name, split in zip(names, splits, strict=True)
    ]
    size = f"{sum(file.size for file in files) / 1e6:,.1f} MB in {folder}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free - LEFT_FREE
        missing = sum(file.missing for file in files)
        if missing > free:
            raise OSError(errno.ENOSPC, f"{max(free, 0) / 1e6:,.0f} MB can be had")
        if missing:
            LOG.warning(f"what frozen layers make of the pictures is computed once, {size}")
        return [
            replace(split, maps=file.filled(trunk, states, split))
            for file, split in zip(files, splits, strict=True)
        ]
    except OSError as error:
        LOG.warning(
            f"what frozen layers make of the pictures can't be kept, {size} "
            f"({error.strerror or error}), and is computed in every epoch: free some space"
        )
        return splits


def digest(config: Config, states: Sequence[nnx.State]) -> bytes:
    """Returns the hash of all that maps depend on but for the pictures."""
    model = config.model
    trained = f"backbone.{MODELS[model.name].trained}"
    said = [VERSION, model.name, asdict(config.preprocessing)]
    known = hashlib.sha256(json.dumps([*said, str(compute_dtype(model.precision))]).encode())
    arrays = flatten(nnx.to_pure_dict(nnx.merge_state(*states)))
    for name, array in sorted(arrays.items()):
        if name.startswith("backbone.") and not name.startswith(trained):
            known.update(name.encode())
            known.update(np.asarray(array).tobytes())
    return known.digest()


def digest_of(split: Split, known: bytes) -> str:
    """Returns the hash of a split's pictures and of what else is known."""
    whole = hashlib.sha256(known)
    for number in range(len(split)):
        whole.update(split.records[number]["image"])
    return whole.hexdigest()[:16]


@dataclass(frozen=True)
class MapsFile:
    """A file of the maps of a split, as NumPy writes it; whole, or else with another ending."""

    path: Path
    shape: tuple[int, ...]
    """Pictures, rows, columns and features."""

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return len(self._header) + self.shape[0] * self._row

    @property
    def missing(self) -> int:
        """Bytes that are yet to be written."""
        return 0 if self.path.exists() else self.size - _size(self._part)

    def filled(self, trunk: Trunk, states: Sequence[nnx.State], split: Split) -> Maps:
        """Returns the maps, read from disk when asked for, once all are computed.

        Raises:
            OSError: if they can't be written; what was written is gone then.
        """
        with locked(self.path.with_suffix(".lock"), progress=True):
            if not self.path.exists():
                try:
                    self._go_on(trunk, states, split)
                except OSError:
                    self._part.unlink(missing_ok=True)
                    raise
                self._part.replace(self.path)
        return np.load(self.path, mmap_mode="r")

    def _go_on(self, trunk: Trunk, states: Sequence[nnx.State], split: Split) -> None:
        begun = max(0, _size(self._part) - len(self._header)) // self._row
        done = begun // BATCH * BATCH  # batches as ever: their size may change the last bit
        total = len(split)
        shown = bar(None, "Frozen layers", total, initial=done, unit="picture")
        with self._part.open("ab") as file, shown:
            file.truncate(len(self._header) + done * self._row if done else 0)
            if not done:
                file.write(self._header)
            for batch in evaluation_batches(split, split.alone[done:], BATCH):
                maps = np.asarray(trunk(states, batch.views))[np.asarray(batch.weights) > 0]
                file.write(maps.tobytes())
                shown.update(len(maps))
            file.flush()
            os.fsync(file.fileno())

    @property
    def _header(self) -> bytes:
        written = io.BytesIO()
        said = {"descr": np.dtype(KEPT).str, "fortran_order": False, "shape": self.shape}
        np.lib.format.write_array_header_1_0(written, said)
        return written.getvalue()

    @property
    def _row(self) -> int:
        """Bytes of one picture's maps."""
        return np.dtype(KEPT).itemsize * math.prod(self.shape[1:])

    @property
    def _part(self) -> Path:
        return self.path.with_suffix(".part")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
