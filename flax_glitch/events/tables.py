"""Tables as the field has them: text with any delimiter, LIGO_LW XML, HDF5; gzipped or not."""

import codecs
import csv
import gzip
import io
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any
from xml.parsers import expat

import h5py
import numpy as np

from flax_glitch.strain.files import DETECTOR
from flax_glitch.strain.formats import StrainError, one_line

COLUMNS = {
    "time": (
        "gps",
        "gps_time",
        "event_time",
        "peak_time",
        "time",
        "end_time",
        "central_time",
        "tc",
    ),
    "detector": ("detector", "ifo", "channel"),
    "id": ("id", "gravityspy_id"),
    "label": ("label", "ml_label"),
}
"""What columns are called here and by Gravity Spy, Omicron and PyCBC. The first counts.

Case, spaces, underscores and units in brackets don't matter. Nanoseconds in a column such as
`peak_time_ns` are added to its time. A channel is one such as `H1:GDS-CALIB_STRAIN`.
"""

MAX_BYTES = 1 << 28
"""A table has at most so many bytes, decompressed: they hold a million triggers."""

HEAD = 4096
"""Letters within which the root element of XML comes."""

_CHANNEL = re.compile(r"\b([GHKLV]1):[A-Z]")
_NAME = re.compile(r"([A-Z]-)?(?P<detector>[GHKLV]1)[-_]")
"""As H1-GDS_CALIB_STRAIN_OMICRON-1135000000-60.h5 (LIGO-T010150)."""

_EVENTS = re.compile("sngl_(burst|inspiral|ringdown)")
"""In the names of LIGO_LW's tables; those of processes have times too."""

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class TriggerError(StrainError):
    """A table or a row of it that can't be used: one line that says why."""


@dataclass(frozen=True)
class Table:
    """Columns, and rows as they are read: the place of each in the file, and its cells."""

    columns: Sequence[str]
    rows: Iterator[tuple[str, Sequence[str]]]
    comments: str = ""


@lru_cache(1024)
def plain(name: str) -> str:
    """Returns a column's name as it is compared: "GPS time [s]" is "gpstime"."""
    return re.sub(r"\[.*?\]|\(.*?\)|[\W_]", "", name).lower()


def has(columns: Sequence[str], what: str) -> bool:
    """Returns whether one of the columns is a time, say; see `COLUMNS`."""
    return not {plain(name) for name in COLUMNS[what]}.isdisjoint(map(plain, columns))


def open_table(path: Path) -> Table:
    """Returns the table in a file, whose format is told by its content.

    Raises:
        TriggerError: if there is none.
    """
    with path.open("rb") as file:
        head = file.read(8)
    if head == b"\x89HDF\r\n\x1a\n":
        return _hdf5(path)
    content = _content(path, head)
    encoding = "utf-16" if content.startswith(_UTF16) else _encoding(content)
    text = content.decode(encoding, errors="replace")
    if "\0" in text:
        raise TriggerError(f"{path}: is no table; give text such as CSV, LIGO_LW XML or HDF5")
    return _ligolw(path, content) if "<LIGO_LW" in text[:HEAD] else _text(path, text)


def named_detector(path: Path, table: Table) -> str:
    """Returns the one that a file's name begins with, or of channels in its comments, or ""."""
    names = set(_CHANNEL.findall(table.comments))
    if name := _NAME.match(path.name):
        names.add(name["detector"])
    return names.pop() if len(names) == 1 else ""


def _content(path: Path, head: bytes) -> bytes:
    try:
        with gzip.open(path) if head.startswith(b"\x1f\x8b") else path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise TriggerError(f"{path}: can't be decompressed ({error}); get it again") from None
    if len(content) > MAX_BYTES:
        raise TriggerError(f"{path}: has more than {MAX_BYTES:,} bytes; cut it into smaller tables")
    return content


def _encoding(content: bytes) -> str:
    try:
        content.decode()
    except UnicodeDecodeError:
        return "cp1252"  # as spreadsheets write
    return "utf-8-sig"


def _text(path: Path, text: str) -> Table:
    lines = list(io.StringIO(text, newline=""))
    comments = [line.lstrip().lstrip("#").strip() for line in lines if _is_comment(line)]
    lines = ["\n" if _is_comment(line) else line for line in lines]  # which keeps their numbers
    first = next((line for line in lines if line.strip()), "")
    delimiter = max(",;\t", key=first.count)
    spaced = delimiter not in first
    if spaced:
        lines, delimiter = [line.replace("\t", " ") for line in lines], " "
    rows = _records(path, csv.reader(lines, delimiter=delimiter, skipinitialspace=spaced))
    _, header = next(rows, ("", []))
    if comments and any(map(_is_number, header)):
        # The columns are named in a comment, or as Omicron does, each in one.
        apart = [re.split(rf"{delimiter}+" if spaced else delimiter, line) for line in comments]
        named = [comments, *(names for names in apart[::-1] if len(names) == len(header))]
        names = next((names for names in named if has(names, "time")), None)
        if names:
            rows, header = chain([("the first row", header)], rows), names
    return Table([name.strip() for name in header], rows, " ".join(comments))


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _records(path: Path, reader: Any) -> Iterator[tuple[str, list[str]]]:
    """Yields each row that isn't empty, with its line."""
    try:
        for row in reader:
            if any(row):
                yield f"line {reader.line_num}", row
    except csv.Error as error:
        raise TriggerError(f"{path}: is no CSV table ({error})") from error


def _ligolw(path: Path, content: bytes) -> Table:
    """Reads the first table of events. Entities, by which small files grow huge, are refused."""
    reader = _Events()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler, parser.EntityDeclHandler = reader.said, _refuse_entity
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, ValueError) as error:
        raise TriggerError(f"{path}: is no whole LIGO_LW XML ({error}); get it again") from None
    if not reader.columns:
        raise TriggerError(f"{path}: has no table sngl_burst or sngl_inspiral")
    cells = list(_cells(path, "".join(reader.stream), reader.delimiter))
    if len(cells) % len(reader.columns):
        raise TriggerError(
            f"{path}: has {len(cells)} values in {len(reader.columns)} columns; get it again"
        )
    width = len(reader.columns)
    rows = (cells[begin : begin + width] for begin in range(0, len(cells), width))
    return Table(reader.columns, ((f"row {number}", row) for number, row in enumerate(rows, 1)))


class _Events:
    """Takes the columns and the stream of the first table of events out of XML."""

    def __init__(self) -> None:
        self.columns: list[str] = []
        self.stream: list[str] = []
        self.delimiter, self.table, self.inside = ",", 0, ""

    def start(self, element: str, attributes: dict[str, str]) -> None:
        if element == "Table" and not self.columns:
            self.inside = "Table" if _EVENTS.search(attributes.get("Name", "")) else ""
        elif self.inside and element == "Column":
            self.columns.append(attributes.get("Name", "").rpartition(":")[2])
        elif self.inside and element == "Stream":
            self.inside, self.delimiter = element, attributes.get("Delimiter", ",")

    def end(self, element: str) -> None:
        if element == "Stream" or element == "Table":
            self.inside = ""

    def said(self, text: str) -> None:
        if self.inside == "Stream":
            self.stream.append(text)


def _refuse_entity(name: str, *_: Any) -> None:
    raise ValueError(f"it declares the entity {name}")


def _cells(path: Path, stream: str, delimiter: str) -> Iterator[str]:
    """Yields the values of a stream, whose lines end with a delimiter, but for the last."""
    lines = [line.strip() for line in stream.splitlines()]
    reader = csv.reader(lines, delimiter=delimiter, escapechar="\\", skipinitialspace=True)
    for _, row in _records(path, reader):
        yield from row if row[-1] else row[:-1]


def _hdf5(path: Path) -> Table:
    """Reads a data set of records, as Omicron and astropy write, or PyCBC's group a detector."""
    with one_line(str(path)), h5py.File(path) as file:
        groups = {name: file[name] for name in filter(DETECTOR.fullmatch, _own(file))}
        found = {
            name: _columns(path, group)
            for name, group in [("", file), *groups.items()]
            if isinstance(group, h5py.Group)
        }
    tables = {name: columns for name, columns in found.items() if has(list(columns), "time")}
    if not tables:
        raise TriggerError(
            f"{path}: has no records with a time (known: {', '.join(COLUMNS['time'])}), nor groups "
            "H1, L1 or V1 with times"
        )
    columns, *others = tables.values()
    common = [name for name in columns if all(name in other for other in others)]
    rows = (
        ([name] if any(tables) else []) + list(cells)
        for name, columns in tables.items()
        for cells in zip(*(_as_text(columns[column]) for column in common), strict=True)
    )
    names = ["ifo"] * any(tables) + common
    return Table(names, ((f"row {number}", row) for number, row in enumerate(rows, 1)))


def _own(group: h5py.Group) -> list[str]:
    """Returns what a group itself holds: a link can lead to any other file of the machine."""
    return [name for name in group if isinstance(group.get(name, getlink=True), h5py.HardLink)]


def _columns(path: Path, group: h5py.Group) -> dict[str, np.ndarray]:
    """Returns the columns of the first data set of records with a time, or of data sets of one."""
    own = {name: group[name] for name in _own(group) if isinstance(group[name], h5py.Dataset)}
    sets = {
        name: data
        for name, data in own.items()
        if data.ndim == 1 and not data.is_virtual and not data.external
    }
    for name, data in sets.items():
        if data.dtype.names and has(data.dtype.names, "time"):
            records = _read(path, [(name, data)])[name]
            return _timed(path, {field: records[field] for field in data.dtype.names})
    time = next((data for name, data in sets.items() if has([name], "time")), None)
    alike = [(name, data) for name, data in sets.items() if time and data.shape == time.shape]
    return _timed(path, _read(path, alike))


def _read(path: Path, sets: Sequence[tuple[str, h5py.Dataset]]) -> dict[str, np.ndarray]:
    """Reads data sets, unless they hold, or would be decompressed to, more than may be."""
    most = [max(data.size, math.prod(data.chunks or ())) for _, data in sets]
    sizes = [count * data.dtype.itemsize for count, (_, data) in zip(most, sets, strict=True)]
    if sum(sizes) > MAX_BYTES:
        raise TriggerError(f"{path}: has more than {MAX_BYTES:,} bytes; cut it into smaller tables")
    return {name: data[()] for name, data in sets}


def _timed(path: Path, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the columns of one value a row, unless their times are too coarse."""
    for name, values in columns.items():
        if has([name], "time") and values.dtype.kind == "f" and values.dtype.itemsize < 8:
            raise TriggerError(
                f"{path}: {name} has {values.dtype} values, a minute apart at GPS times; "
                "write it as float64"
            )
    return {
        name: values
        for name, values in columns.items()
        if values.ndim == 1 and values.dtype.kind in "biufSO"
    }


def _as_text(values: np.ndarray) -> list[str]:
    return [
        cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell)
        for cell in (values if values.dtype.kind == "f" else values.tolist())
    ]
