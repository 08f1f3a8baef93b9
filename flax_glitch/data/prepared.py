"""A source as it was written: its index, and its pictures by number."""

import contextlib
import dataclasses
import functools
import io
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int
from PIL import Image

from flax_glitch.arrays import Picture, Units
from flax_glitch.classes import DURATIONS, INDEX
from flax_glitch.data.layouts import SPLITS
from flax_glitch.data.sources import Layout, SplitName
from flax_glitch.files import write_whole

VERSION = "1.0.0"
"""Of the data sets' content: raised whenever the same files give other pixels or splits."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """What is known of one record: its picture's place in the source, glitch, window and class."""

    path: str
    gravityspy_id: str
    ifo: str
    duration: float | None
    label: str


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """The pictures of one split at the model's size, decoded one at a time when asked for."""

    name: SplitName
    entries: tuple[Entry, ...]
    records: Any

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, number: SupportsIndex) -> Picture:
        record = self.records[range(len(self))[number]]
        with Image.open(io.BytesIO(record["image"])) as image:
            return np.array(image)

    @functools.cached_property
    def labels(self) -> Int[np.ndarray, " sample"]:
        """The class number of each record."""
        return np.array([INDEX[entry.label] for entry in self.entries], np.int32)

    @property
    def alone(self) -> Units:
        """Each picture by itself, whatever its window."""
        return np.arange(len(self))[:, None]

    @property
    def together(self) -> Units:
        """The windows of each glitch, each in its place, glitches in order of appearance."""
        return in_slots(self.entries, glitch_numbers(self.entries))

    @property
    def apart(self) -> Units:
        """Each picture by itself in the place of its window."""
        return in_slots(self.entries, np.arange(len(self)))


def glitch_numbers(entries: Sequence[Entry]) -> Int[np.ndarray, " sample"]:
    """Returns the glitch that each picture shows, numbered in order of appearance."""
    numbers: dict[tuple[str, str], int] = {}
    names = ((entry.ifo, entry.gravityspy_id) for entry in entries)
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], int)


def in_slots(entries: Sequence[Entry], numbers: Int[np.ndarray, " sample"]) -> Units:
    """Returns units of four places, one a window, from the unit that each picture belongs to."""
    units = np.full((numbers.max(initial=-1) + 1, len(DURATIONS)), -1)
    for unit in range(len(units)):
        members = np.flatnonzero(numbers == unit)
        units[unit, slots([entries[int(member)].duration for member in members])] = members
    return units


def slots(durations: Sequence[float | None]) -> list[int]:
    """Returns the place of each window among the four; unknown ones take the first free places."""
    known = [DURATIONS.index(one) if one in DURATIONS else None for one in durations]
    free = iter(place for place in range(len(DURATIONS)) if place not in known)
    return [next(free) if place is None else place for place in known]


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A source as written: the TFDS folder, its entries, and what a user should know about it."""

    directory: Path
    layout: Layout
    notices: tuple[str, ...]
    index: Mapping[SplitName, tuple[Entry, ...]]
    unreadable: tuple[str, ...]

    def split(self, name: SplitName) -> Split:
        """Returns the pictures of a split; there may be none."""
        entries = self.index[name]
        return Split(name, entries, _records(self.directory, name) if entries else ())


def write_index(prepared: Prepared) -> None:
    """Writes all but the pictures, so that labels need no decoding."""
    content = {
        "layout": prepared.layout,
        "notices": prepared.notices,
        "unreadable": prepared.unreadable,
        "splits": {split: [vars(entry) for entry in prepared.index[split]] for split in SPLITS},
    }
    write_whole(_index_file(prepared.directory.parent), json.dumps(content).encode())


def read_index(folder: Path) -> Prepared:
    """Returns what was written in a folder."""
    content = json.loads(_index_file(folder).read_text())
    return Prepared(
        directory=folder / VERSION,
        layout=content["layout"],
        notices=tuple(content["notices"]),
        index={
            split: tuple(Entry(**entry) for entry in content["splits"][split]) for split in SPLITS
        },
        unreadable=tuple(content["unreadable"]),
    )


def is_ready(folder: Path) -> bool:
    """Returns whether a folder holds a whole data set; TFDS names it last."""
    return (folder / VERSION).is_dir() and _index_file(folder).is_file()


def _records(directory: Path, split: SplitName) -> Any:
    """Returns random access to a split's records, their pictures still as PNG."""
    decoders = {"image": tfds.decode.SkipDecoding()}
    with quiet():
        return tfds.builder_from_directory(directory).as_data_source(split, decoders=decoders)


def _index_file(folder: Path) -> Path:
    return folder / "index.json"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps TFDS from warning of what is meant."""
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
