"""Where `classify` and `draw` get events and their strain from."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, NoReturn

from tqdm import tqdm

from flax_glitch.config import CACHE, UsageError
from flax_glitch.events.scans import ReadStrain
from flax_glitch.events.triggers import (
    FaultyRow,
    Trigger,
    read_triggers,
    stable_id,
    training_set_table,
)
from flax_glitch.strain.files import LENGTHS, read_strain
from flax_glitch.strain.folder import list_strain, read_around
from flax_glitch.strain.gwosc import event_time, fetch

GRAVITYSPY, GWOSC = "gravityspy", "gwosc"
"""Names that stand for tables and strain that are fetched."""


@dataclasses.dataclass(frozen=True)
class Events:
    """Strain instead of pictures: one event, or a table of triggers."""

    event: str | None = None
    """An event's name, such as GW150914."""
    gps: float | None = None
    """An event's time, GPS seconds."""
    detector: str | None = None
    """H1, L1 or V1, where the strain file doesn't tell."""
    triggers: str | None = None
    """A CSV table with a time (gps, event_time, peak_time or time) and a detector (detector, ifo
    or channel) a row; or gravityspy: the table of its training set, fetched from Zenodo."""
    strain: str | None = None
    """A file of strain, for --triggers also a folder of them; or gwosc: fetched from GWOSC."""
    gps_start: float | None = None
    """GPS seconds of the first sample of a strain file that doesn't tell, such as .npy."""
    sample_rate: float | None = None
    """Sample rate in Hz of such a file."""
    pictures: Path | None = None
    """Folder to keep the four pictures of each event in, as Gravity Spy draws and names them."""
    cache: Path = CACHE
    """Folder for what is fetched."""


def check_arguments(events: Events, pictures_given: bool) -> None:
    """Refuses arguments that are missing or contradict each other.

    Raises:
        UsageError: naming them.
    """
    given = {f"--{name.replace('_', '-')}" for name, value in vars(events).items() if value}
    kinds = sorted({"--event", "--gps", "--triggers"} & given) + ["pictures"] * pictures_given
    if not kinds:
        raise UsageError(
            "no input: name pictures or folders, or give --event, --gps or --triggers "
            "(see flax-glitch classify --help)"
        )
    if len(kinds) > 1:
        raise UsageError(f"{' and '.join(kinds)}: give one of them")
    (kind,) = kinds
    idle = given - {kind, "--cache"} - _companions(kind, events.strain)
    if idle:
        raise UsageError(f"{' and '.join(sorted(idle))}: no use with {kind}, leave out")
    if kind == "--triggers" and not events.strain:
        raise UsageError("--triggers: give --strain FOLDER or --strain gwosc too")
    if kind in ("--event", "--gps") and not (events.detector or _is_local(events.strain)):
        raise UsageError(f"{kind}: give --detector too (H1, L1 or V1), or a --strain file")


def _companions(kind: str, strain: str | None) -> set[str]:
    """Returns the options that go with a kind of input."""
    if kind == "pictures":
        return set()
    if kind == "--triggers":
        return {"--strain", "--pictures"}
    local = {"--gps-start", "--sample-rate"} if _is_local(strain) else set()
    return {"--detector", "--strain", "--pictures"} | local


def _is_local(strain: str | None) -> bool:
    return strain not in (None, GWOSC)


class Found(NamedTuple):
    """The events asked for, the rows of a table that are none, and how to read strain."""

    triggers: Sequence[Trigger]
    faulty: Sequence[FaultyRow]
    read: ReadStrain


def find_events(events: Events) -> Found:
    """Returns the events that the arguments ask for.

    Raises:
        TriggerError: if a table can't be used.
        StrainError: if there is no strain.
    """
    if events.triggers:
        return open_table(events.triggers, str(events.strain), events.cache)
    gps = event_time(events.event) if events.event else float(events.gps or 0)
    if _is_local(events.strain):
        strain = read_strain(
            Path(str(events.strain)),
            detector=events.detector,
            gps_start=events.gps_start,
            sample_rate=events.sample_rate,
            around=(gps - LENGTHS[0], gps + LENGTHS[0]),
        )
    else:
        strain = fetch(gps, str(events.detector), events.cache, event=events.event)
    trigger = Trigger(strain.detector, gps, stable_id(strain.detector, gps))
    return Found([trigger], [], lambda detector, gps: strain)


def open_table(table: str, strain: str, cache: Path) -> Found:
    """Returns the triggers of a table; strain is that of a folder, or gwosc.

    Raises:
        TriggerError: if the table can't be used.
        StrainError: if the folder holds no strain.
    """
    path = training_set_table(cache) if table == GRAVITYSPY else Path(table)
    triggers, faulty = read_triggers(path)
    if _is_local(strain):
        return Found(triggers, faulty, partial(read_around, list_strain(Path(strain))))
    return Found(
        triggers, faulty, lambda detector, gps: fetch(gps, detector, cache, progress=False)
    )


def progress(found: Found, waiting: int) -> "tqdm[NoReturn]":
    """Returns a bar of the events, those that are not waiting done."""
    total = len(found.triggers)
    return tqdm(total=total, initial=total - waiting, unit="glitch", disable=total == 1)
