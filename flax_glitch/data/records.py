"""A source ready for training: its table, and its pictures by number at the model's size."""

import contextlib
import dataclasses
import errno
import functools
import hashlib
import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, SupportsIndex

import numpy as np
import pandas as pd
import tensorflow_datasets as tfds
from jaxtyping import Int
from PIL import Image

from flax_glitch.arrays import Logits, Maps, Picture, Units
from flax_glitch.classes import ordered
from flax_glitch.config import CACHE, SIMULATED
from flax_glitch.data.builder import INDEX, VERSION, GravitySpy, quieten, write_source
from flax_glitch.data.layouts import (
    WITHOUT_SPLIT,
    Layout,
    SourceError,
    SplitName,
    find_layout,
    source_files,
)
from flax_glitch.data.pictures import MIN_SIDE
from flax_glitch.data.table import as_table, glitch_numbers, in_places, open_source
from flax_glitch.files import locked
from flax_glitch.simulate import catalogue

# A minute or two to simulate and 390 MB, of which the network sees 2,400 pictures in training.
_GLITCHES_A_CLASS = 40


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """The pictures of one split at the model's size, decoded one at a time when asked for.

    The table has a row a picture (see `table.COLUMNS`), the records their PNG in the same order;
    the places of the classes are the class numbers.
    """

    name: SplitName
    table: pd.DataFrame
    classes: tuple[str, ...]
    records: Any
    maps: Maps | None = None
    """What frozen layers made of each picture, to be read in its place."""
    taught: Logits | None = None
    """The scores of a teacher for each picture, to be learned in place of its label."""

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, number: SupportsIndex) -> Picture | Maps:
        if self.maps is not None:
            return self.maps[number]
        record = self.records[range(len(self))[number]]
        with Image.open(io.BytesIO(record["image"])) as image:
            return np.array(image)

    @functools.cached_property
    def labels(self) -> Int[np.ndarray, " sample"]:
        """The class number of each picture."""
        return class_numbers(self.table, self.classes)

    @functools.cached_property
    def alone(self) -> Units:
        """Each picture by itself, whatever its window."""
        return np.arange(len(self))[:, None]

    @functools.cached_property
    def together(self) -> Units:
        """The windows of each glitch, each in its place, glitches in order of appearance."""
        return in_places(glitch_numbers(self.table), self.table["duration"].to_numpy())

    @functools.cached_property
    def apart(self) -> Units:
        """Each picture by itself in the place of its window."""
        return in_places(np.arange(len(self)), self.table["duration"].to_numpy())


class Prepared(NamedTuple):
    """A source as written: the TFDS folder, its table, and what a user should know about it.

    The classes are those that are asked for, in the order of a model's outputs; other pictures are
    in the table but in no split.
    """

    directory: Path
    layout: Layout
    notices: tuple[str, ...]
    table: pd.DataFrame
    classes: tuple[str, ...]
    unreadable: tuple[str, ...]

    def split(self, name: SplitName) -> Split:
        """Returns the pictures of a split; there may be none."""
        rows = self.table[self.table["split"] == name]
        wanted = rows["label"].isin(self.classes).to_numpy()
        records = _Chosen(self.directory, name, np.flatnonzero(wanted))
        return Split(name, rows[wanted].reset_index(drop=True), self.classes, records)

    def only(self, classes: Sequence[str]) -> "Prepared":
        """Returns the same for a model of these classes, with a notice of what is left out.

        Raises:
            SourceError: if there is no picture of any of them.
        """
        others = self.table["label"][~self.table["label"].isin(classes)]
        if len(others) == len(self.table):
            raise SourceError(
                f"none of the classes here ({', '.join(self.classes)}) is one of the model's "
                f"({', '.join(classes)}); give pictures of those"
            )
        said = f"pictures of other classes, left out: {len(others)} ({', '.join(ordered(others))})"
        notices = (*self.notices, said) if len(others) else self.notices
        return self._replace(classes=tuple(classes), notices=notices)


@dataclasses.dataclass(frozen=True)
class _Chosen:
    """Some records of a split, opened when the first is asked for."""

    directory: Path
    split: SplitName
    numbers: Int[np.ndarray, " sample"]

    def __getitem__(self, number: Any) -> Any:
        return self._all[int(self.numbers[number])]

    @functools.cached_property
    def _all(self) -> Any:
        """Random access to a split's records, their pictures still as PNG."""
        quieten()
        builder = tfds.builder_from_directory(self.directory)
        return builder.as_data_source(self.split, decoders={"image": tfds.decode.SkipDecoding()})


def class_numbers(table: pd.DataFrame, classes: Sequence[str]) -> Int[np.ndarray, " sample"]:
    """Returns the place of each picture's class among these."""
    numbers = {name: number for number, name in enumerate(classes)}
    return table["label"].map(numbers).to_numpy(np.int32)


def prepare(
    source: Path | str,
    size: int,
    width: int = 0,
    *,
    seed: int = 0,
    cache: Path = CACHE,
    progress: bool = True,
) -> Prepared:
    """Returns a source at one size, writing it on the first call.

    A call that was killed is continued by the next one; of several at once one writes and the
    others wait for it. A source whose files change is written anew.

    Args:
        source: A folder or file for `open_source`, or "simulated".
        size: Height, pixels.
        width: Width, pixels; 0: as wide as high.
        seed: Of the split by glitch, where the source has none of its own.
        cache: Folder to write below.
        progress: Show progress bars on stderr.

    Raises:
        SourceError: if the source can't be used or the cache can't be written.
    """
    shape = size, width or size
    if min(shape) < MIN_SIDE:
        raise SourceError(f"size {min(shape)}: pictures need at least {MIN_SIDE} pixels a side")
    try:
        path = _simulated(cache, progress) if source == SIMULATED else Path(source).expanduser()
        folder = cache / GravitySpy.name / _config_name(path, shape, seed)
        if not (_is_ready(folder) and not (folder / "work").exists()):
            opened = open_source(path, seed)
            with locked(folder / "lock", progress):
                if not _is_ready(folder):
                    write_source(opened, shape, folder, progress)
                shutil.rmtree(folder / "work", ignore_errors=True)
        return _read_index(folder)
    except OSError as error:
        where = f"{error.filename or cache}: {error.strerror or error}"
        full = error.errno == errno.ENOSPC
        cure = "free some space" if full else "check it, or use another cache"
        raise SourceError(
            f"{source}: can't be prepared: {where}; {cure}; finished pictures are kept"
        ) from error


def _simulated(cache: Path, progress: bool) -> Path:
    """Returns the folder of simulated glitches, simulating them on the first call."""
    folder = cache / f"{SIMULATED}-{_GLITCHES_A_CLASS}-{catalogue.VERSION}"
    if not folder.exists():
        with locked(cache / f"{SIMULATED}.lock", progress):
            if not folder.exists():
                unfinished = folder.with_name(f"{folder.name}.unfinished")
                catalogue.draw_glitches(unfinished, _GLITCHES_A_CLASS, seed=0, progress=progress)
                unfinished.rename(folder)
    return folder


def _config_name(path: Path, shape: tuple[int, int], seed: int) -> str:
    """Returns a name that changes with everything that the written data depend on."""
    layout = find_layout(path)
    split = seed if layout in WITHOUT_SPLIT else "official"
    digest = hashlib.sha256(f"{VERSION} {split}".encode())
    for file in source_files(path):
        digest.update(f"\n{file.relative_to(path).as_posix()}".encode(errors="surrogateescape"))
        with contextlib.suppress(OSError):  # a link to nowhere is reported with the unreadable
            stat = file.stat()
            # The mode, because a picture that could not be read may be opened by its owner.
            digest.update(f" {stat.st_size} {stat.st_mtime_ns} {stat.st_mode}".encode())
    size = "x".join(map(str, dict.fromkeys(shape)))
    return f"{layout}-{size}-{digest.hexdigest()[:16]}"


def _read_index(folder: Path) -> Prepared:
    """Returns what was written in a folder."""
    content = json.loads((folder / INDEX).read_text())
    table = as_table(content["table"])
    return Prepared(
        directory=folder / VERSION,
        layout=content["layout"],
        notices=tuple(content["notices"]),
        table=table,
        classes=ordered(table["label"]),
        unreadable=tuple(content["unreadable"]),
    )


def _is_ready(folder: Path) -> bool:
    """Whether a folder holds a whole data set; TFDS names it last."""
    return (folder / VERSION).is_dir() and (folder / INDEX).is_file()
