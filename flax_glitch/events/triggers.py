"""Tables of triggers: when and in which detector something was seen, and what it was called."""

import csv
import dataclasses
import hashlib
import math
import re
import string
from collections.abc import Iterator, Mapping
from pathlib import Path

from flax_glitch.files import download
from flax_glitch.strain.files import DETECTOR
from flax_glitch.strain.remote import one_line_offline

COLUMNS = {
    "time": ("gps", "event_time", "peak_time", "time"),
    "detector": ("detector", "ifo", "channel"),
    "id": ("id", "gravityspy_id"),
    "label": ("label", "ml_label"),
}
"""What columns are called: here, in Gravity Spy's tables and in Omicron's. The first counts.

`peak_time_ns`, where there is one, is added to `peak_time`. A channel is one such as
`H1:GDS-CALIB_STRAIN`.
"""

ZENODO = "https://zenodo.org"
"""The only host that is asked for the training set's table."""

TRAINING_SET = "records/1476551/files/trainingset_v1d1_metadata.csv"
"""Gravity Spy's training set v1d1 (Zenodo 1476551, CC-BY 4.0): 7,966 glitches, 5 MB."""

_ID = re.compile(r"[\w.+-]{1,99}", re.ASCII)  # it becomes part of a file name
_LETTERS = string.ascii_letters


class TriggerError(ValueError):
    """A table or a row of it that can't be used: one line that says why."""


@dataclasses.dataclass(frozen=True)
class Trigger:
    """An event in a detector at a GPS time in seconds, with Gravity Spy's id or one of our own.

    Its label is what the table calls it; not always one of the 22 classes.
    """

    detector: str
    gps: float
    id: str
    label: str | None = None

    @property
    def name(self) -> str:
        """What answers and messages call the event."""
        return event_name(self.detector, self.gps)


@dataclasses.dataclass(frozen=True)
class FaultyRow:
    """A row of a table that is no trigger, and why."""

    name: str
    reason: str


def event_name(detector: str, gps: float) -> str:
    """Returns what answers and messages call an event."""
    return f"{detector} at {gps:.3f}"


def stable_id(detector: str, gps: float) -> str:
    """Returns ten letters that are always the same for this detector and time (to 1 µs)."""
    digest = hashlib.sha256(f"{detector} {gps:.6f}".encode()).digest()
    return "".join(_LETTERS[byte % len(_LETTERS)] for byte in digest[:10])


def training_set_table(cache: Path, host: str = ZENODO) -> Path:
    """Returns the table of Gravity Spy's training set, fetched on the first call.

    Raises:
        StrainError: if it can't be had.
        TriggerError: if what came is something else.
    """
    url = f"{host}/{TRAINING_SET}"
    with one_line_offline(url, "table"):
        path = download(url, cache / "triggers" / Path(url).name)
    try:
        next(_rows(path), None)
    except TriggerError:
        path.unlink()  # a network's login page, say; it must not stay
        raise
    return path


def read_triggers(path: Path) -> tuple[list[Trigger], list[FaultyRow]]:
    """Returns the triggers of a CSV table in time order by detector, and its faulty rows.

    Raises:
        TriggerError: if the table can't be read, or has no column for time or detector.
    """
    triggers: dict[tuple[str, str], Trigger] = {}
    faulty = []
    for line, row in _rows(path):
        try:
            trigger = _trigger(row)
            if (trigger.detector, trigger.id) in triggers:
                raise TriggerError(f"repeats {trigger.detector}_{trigger.id} of an earlier row")
            triggers[trigger.detector, trigger.id] = trigger
        except TriggerError as error:
            faulty.append(FaultyRow(f"{path.name}, line {line}", str(error)))
    if not triggers and not faulty:
        raise TriggerError(f"{path}: a table without rows")
    order = sorted(triggers.values(), key=lambda trigger: (trigger.detector, trigger.gps))
    return order, faulty


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields each row by lower-case column, with its line."""
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as lines:
            reader = csv.DictReader(lines, restval="")
            reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
            _refuse_missing(path, reader.fieldnames)
            for row in reader:
                row.pop(None, None)  # cells beyond the last column  # type: ignore[call-overload]
                yield reader.line_num, {name: value.strip() for name, value in row.items()}
    except csv.Error as error:
        raise TriggerError(f"{path}: is no CSV table ({error})") from error


def _refuse_missing(path: Path, columns: list[str]) -> None:
    missing = [
        f"the {what} (known: {', '.join(COLUMNS[what])})"
        for what in ("time", "detector")
        if not set(COLUMNS[what]) & set(columns)
    ]
    if missing:
        here = ", ".join(columns[:30]) or "none"
        raise TriggerError(f"{path}: has no column for {' nor for '.join(missing)}; it has {here}")


def _trigger(row: Mapping[str, str]) -> Trigger:
    detector = _cell(row, "detector")[1].partition(":")[0].upper()
    if not DETECTOR.fullmatch(detector):
        raise TriggerError(f"detector {detector!r} is none such as H1, L1 or V1")
    gps = _gps(row)
    id = _cell(row, "id")[1] or stable_id(detector, gps)
    if not _ID.fullmatch(id):
        raise TriggerError(f"id {id!r} can't be part of a file name; use 1 to 99 letters or digits")
    return Trigger(detector, gps, id, _cell(row, "label")[1] or None)


def _cell(row: Mapping[str, str], what: str) -> tuple[str, str]:
    """Returns the first column that says something, and what it says."""
    return next(((name, row[name]) for name in COLUMNS[what] if row.get(name)), ("", ""))


def _gps(row: Mapping[str, str]) -> float:
    column, said = _cell(row, "time")
    nanoseconds = row.get("peak_time_ns") if column == "peak_time" else None
    try:
        gps = float(said) + 1e-9 * float(nanoseconds or 0)
    except ValueError:
        raise TriggerError(f"time {said!r} is no GPS seconds") from None
    if not math.isfinite(gps) or gps <= 0:
        raise TriggerError(f"time {said} is no GPS seconds")
    return gps
