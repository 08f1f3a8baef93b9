"""Tables of triggers: when and in which detector something was seen, and what it was called."""

import dataclasses
import hashlib
import math
import re
import string
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from itertools import zip_longest
from pathlib import Path

from flax_glitch.events.tables import (
    COLUMNS,
    Table,
    TriggerError,
    has,
    named_detector,
    open_table,
    plain,
)
from flax_glitch.files import download, restored
from flax_glitch.strain.files import DETECTOR
from flax_glitch.strain.remote import one_line_offline
from flax_glitch.times import to_gps

ZENODO = "https://zenodo.org"
"""The only host that is asked for the training set's table."""

TRAINING_SET = "records/1476551/files/trainingset_v1d1_metadata.csv"
"""Gravity Spy's training set v1d1 (Zenodo 1476551, CC-BY 4.0): 7,966 glitches, 5 MB."""

_ID = re.compile(r"[\w.+-]{1,99}", re.ASCII)  # it becomes part of a file name
_LETTERS = string.ascii_letters


@dataclasses.dataclass(frozen=True)
class Trigger:
    """An event in a detector at a GPS time in seconds, with Gravity Spy's id or one of our own.

    Its label is what the table calls it; not always one of the 22 classes.
    """

    detector: str
    gps: float
    id: str
    label: str | None = None
    row: Mapping[str, str] = dataclasses.field(default_factory=dict, compare=False)
    """All cells of its row, by column."""

    @property
    def name(self) -> str:
        """What answers and messages call the event."""
        return event_name(self.detector, self.gps)


@dataclasses.dataclass(frozen=True)
class FaultyRow:
    """A row of a table that is no trigger, and why."""

    name: str
    reason: str
    row: Mapping[str, str] = dataclasses.field(default_factory=dict, compare=False)


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
        _refuse_missing(path, open_table(path), "")
    except TriggerError:
        path.unlink()  # a network's login page, say; it must not stay
        raise
    return path


def read_triggers(path: Path, detector: str | None = None) -> tuple[list[Trigger], list[FaultyRow]]:
    """Returns the triggers of a table in time order by detector, and its faulty rows.

    `detector` is that of rows which don't tell. Without it, the only one that the file's name
    tells, or its comments.

    Raises:
        TriggerError: if the table can't be read, or doesn't tell time or detector.
    """
    table = open_table(path)
    detector = detector or named_detector(path, table)
    _refuse_missing(path, table, detector)
    triggers: dict[tuple[str, str], Trigger] = {}
    faulty = []
    for place, cells in table.rows:
        row = dict(zip_longest(table.columns, cells[: len(table.columns)], fillvalue=""))
        row = {name: restored(cell.strip()) for name, cell in row.items() if name}
        try:
            trigger = _trigger(row, detector)
            if (trigger.detector, trigger.id) in triggers:
                raise TriggerError(f"repeats {trigger.detector}_{trigger.id} of an earlier row")
            triggers[trigger.detector, trigger.id] = trigger
        except TriggerError as error:
            faulty.append(FaultyRow(f"{path.name}, {place}", str(error), row))
    if not triggers and not faulty:
        raise TriggerError(f"{path}: a table without rows")
    order = sorted(triggers.values(), key=lambda trigger: (trigger.detector, trigger.gps))
    return order, faulty


def _refuse_missing(path: Path, table: Table, detector: str) -> None:
    needed = ("time",) if detector else ("time", "detector")
    missing = [
        f"the {what} (known: {', '.join(COLUMNS[what])})"
        for what in needed
        if not has(table.columns, what)
    ]
    if missing:
        here = ", ".join(table.columns[:30]) or "none"
        raise TriggerError(
            f"{path}: has no column for {' nor for '.join(missing)}; it has {here}",
            "" if len(missing) > 1 or not has(table.columns, "time") else "give detector",
        )


def _trigger(row: Mapping[str, str], assumed: str) -> Trigger:
    said = {plain(name): cell for name, cell in row.items()}
    detector = (_cell(said, "detector")[1].partition(":")[0] or assumed).upper()
    if not DETECTOR.fullmatch(detector):
        raise TriggerError(f"detector {detector!r} is none such as H1, L1 or V1")
    gps = _gps(said)
    id = _cell(said, "id")[1] or stable_id(detector, gps)
    if not _ID.fullmatch(id):
        raise TriggerError(f"id {id!r} can't be part of a file name; use 1 to 99 letters or digits")
    return Trigger(detector, gps, id, _cell(said, "label")[1] or None, row)


def _cell(row: Mapping[str, str], what: str) -> tuple[str, str]:
    """Returns the first column that says something, and what it says."""
    names = map(plain, COLUMNS[what])
    return next(((name, row[name]) for name in names if row.get(name)), ("", ""))


def _gps(row: Mapping[str, str]) -> float:
    column, said = _cell(row, "time")
    try:
        gps = to_gps(said) + 1e-9 * float(row.get(f"{column}ns") or 0)
    except ValueError:
        raise TriggerError(f"time {said!r} is neither GPS seconds nor UTC") from None
    if not math.isfinite(gps) or gps <= 0:
        raise TriggerError(f"time {said} is neither GPS seconds nor UTC")
    with suppress(InvalidOperation):  # UTC is no number
        if Decimal(said).as_tuple().exponent > 0:  # type: ignore[operator]  # it is finite
            raise TriggerError(f"time {said} has too few digits for a glitch; write all of them")
    return gps
