"""From a question (an event, a time, a table) to its triggers and how to read their strain."""

import dataclasses
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from flax_glitch.events.question import GRAVITYSPY, Question
from flax_glitch.events.triggers import (
    FaultyRow,
    Trigger,
    read_triggers,
    stable_id,
    training_set_table,
)
from flax_glitch.strain.channels import SeveralDetectorsError, StrainError
from flax_glitch.strain.files import LENGTHS, Strain, join, read_strain
from flax_glitch.strain.formats import one_line, open_recording
from flax_glitch.strain.gwosc import PRESETS, fetch, find_event

ReadStrain = Callable[[str, float], Strain]
"""Returns strain around an event, by detector and GPS time, or raises StrainError."""

_SUFFIXES = frozenset({".hdf5", ".h5", ".hdf", ".gwf"})
_NAME = re.compile(r"[A-Z]-(?P<detector>[A-Z]1)_.+-(?P<start>\d+)-(?P<seconds>\d+)(\.txt)?\.\w+")
"""As H-H1_GWOSC_4KHZ_R1-1126257415-4096.hdf5 (LIGO-T010150)."""


@dataclasses.dataclass(frozen=True)
class Found:
    """The events asked for, a table's rows that are none, how to read strain, and the table.

    A notice is a sentence on what was left out.
    """

    triggers: Sequence[Trigger]
    faulty: Sequence[FaultyRow]
    read: ReadStrain
    table: Path | None = None
    notice: str = ""

    @property
    def columns(self) -> list[str]:
        """The columns of the table; none if there is no table."""
        rows = [one.row for one in self.triggers[:1]] or [one.row for one in self.faulty[:1]]
        return [name for row in rows for name in row]


def find(question: Question, progress: bool = False) -> Found:
    """Returns the events of a question; the strain of a single one is read at once.

    Raises:
        TriggerError: if a table can't be used.
        StrainError: if there is no strain.
    """
    if question.triggers:
        return _of_table(question, question.triggers)
    event, gps, start = _asked(question)
    notice = ""
    if question.local and question.local.is_dir():
        files, notice = list_strain(question.local, question.channel)
        detector = question.detector or _only_detector(files, gps)
        strain = read_around(files, detector, gps, question.channel)
    elif question.local:
        strain = read_strain(
            question.local,
            detector=question.detector,
            channel=question.channel,
            gps_start=start,
            sample_rate=question.sample_rate,
            around=(gps - LENGTHS[0], gps + LENGTHS[0]),
        )
    else:
        detector = str(question.detector)
        known = {(preset.gps, preset.detector): preset.event for preset in PRESETS}
        event = event or known.get((gps, detector))
        strain = fetch(gps, detector, question.cache, event=event, progress=progress)
    trigger = Trigger(strain.detector, gps, stable_id(strain.detector, gps))
    return Found([trigger], [], lambda detector, gps: strain, notice=notice)


def _only_detector(files: Sequence["StrainFile"], gps: float) -> str:
    """The detector of which there is strain at a time, if it is one."""
    detectors = sorted({file.detector for file in files if file.start <= gps < file.end})
    if len(detectors) == 1:
        return detectors[0]
    said = f"of {' and '.join(detectors)}" if detectors else f"of none of the {len(files)} files"
    raise StrainError(f"there is strain {said} at GPS {gps:.3f}", "give detector")


def _asked(question: Question) -> tuple[str | None, float, float | None]:
    """The event's name, if it is asked for by that; GPS seconds of it and of its file's start."""
    try:
        time, start = question.time, question.start
    except ValueError as error:
        raise StrainError(str(error)) from None
    return (None, time, start) if time is not None else (*find_event(question.event or ""), start)


def _of_table(question: Question, table: str) -> Found:
    path = training_set_table(question.cache) if table == GRAVITYSPY else Path(table)
    triggers, faulty = read_triggers(path, question.detector)
    if question.local:
        files, notice = list_strain(question.local, question.channel)
        read_one = partial(read_around, files, channel=question.channel)
        return Found(triggers, faulty, read_one, path, notice)

    def read(detector: str, gps: float) -> Strain:
        return fetch(gps, detector, question.cache, progress=False)

    return Found(triggers, faulty, read, path)


@dataclasses.dataclass(frozen=True)
class StrainFile:
    """A file and what it covers: GPS seconds from start to before end."""

    path: Path
    detector: str
    start: float
    end: float


def list_strain(path: Path, channel: str | None = None) -> tuple[list[StrainFile], str]:
    """Returns the strain files of a folder and the folders in it, or the one file; and a notice.

    They are HDF5, .gwf, and text that is named as GWOSC's. A file is known by its name, or opened
    if its name is of another kind than GWOSC's; one of several detectors is there once for each.
    The notice says which files were skipped, since they hold no strain, and is empty if none was.

    Raises:
        StrainError: if there is none.
    """
    found = sorted(path.rglob("*")) if path.is_dir() else [path]
    files: list[StrainFile] = []
    faults: list[StrainError] = []
    for file in filter(_may_be_strain, found):
        try:
            files += _covered(file, channel)
        except StrainError as error:
            faults.append(error)
    if faults and not files:
        raise faults[0]
    if not files:
        raise StrainError(f"{path}: no strain files there (.hdf5, .h5 or .gwf); give their folder")
    more = f", and {len(faults) - 1:,} more" if len(faults) > 1 else ""
    return files, f"skipped {faults[0]}{more}" if faults else ""


def _may_be_strain(path: Path) -> bool:
    known = path.suffix.lower() in _SUFFIXES or _NAME.fullmatch(path.name)
    return bool(known) and path.is_file() and not path.name.startswith(".")


def read_around(
    files: Sequence[StrainFile], detector: str, gps: float, channel: str | None = None
) -> Strain:
    """Returns the strain that `block` wants of an event, from the file that reaches furthest.

    Files that go on from it before or after are joined to it, if rate and channel are the same.

    Raises:
        StrainError: if no file holds the event, or its file can't be read.
    """
    of_detector = [file for file in files if file.detector == detector]
    covering = [file for file in of_detector if file.start <= gps < file.end]
    if not covering:
        raise StrainError(
            f"no strain of {detector} at GPS {gps:.3f}: {len(of_detector)} of the {len(files)} "
            "files are of that detector, and none holds this time; add the file"
        )
    longest = LENGTHS[0]
    best = max(covering, key=lambda file: min(gps - file.start, file.end - gps, longest / 2))
    start, end = _unbroken(best, of_detector, gps)
    begin = min(max(gps - longest / 2, start), max(start, end - longest))
    around = begin - 1, begin + longest + 1
    read = partial(read_strain, detector=detector, channel=channel, around=around)
    parts = [read(best.path)]
    for file in of_detector:
        beyond = file.start < best.start or file.end > best.end
        if beyond and file.start < around[1] and file.end > around[0]:
            with suppress(StrainError):
                parts += [part for part in [read(file.path)] if _goes_with(part, parts[0])]
    if len(parts) == 1:
        return parts[0]
    return join(parts, (min(part.start for part in parts), max(part.end for part in parts)))


def _unbroken(best: StrainFile, files: Sequence[StrainFile], gps: float) -> tuple[float, float]:
    """Start and end of what a file and those that go on from it cover, near a time."""
    longest, (start, end) = LENGTHS[0], (best.start, best.end)
    near = [file for file in files if file.end > gps - longest and file.start < gps + longest]
    for file in sorted(near, key=lambda file: file.start):
        end = max(end, file.end) if file.start <= end else end
    for file in sorted(near, key=lambda file: -file.end):
        start = min(start, file.start) if file.end >= start else start
    return start, end


def _goes_with(part: Strain, best: Strain) -> bool:
    """Whether a part can be joined: of the same rate and channel, sample beside sample."""
    offset = (part.start - best.start) * best.sample_rate
    same = (part.sample_rate, part.channel) == (best.sample_rate, best.channel)
    return same and abs(offset - round(offset)) < 0.01


def _covered(path: Path, channel: str | None) -> list[StrainFile]:
    if match := _NAME.fullmatch(path.name):
        start = float(match["start"])
        return [StrainFile(path, match["detector"], start, start + float(match["seconds"]))]
    try:
        return [_opened(path, None, channel)]
    except SeveralDetectorsError as error:
        return [_opened(path, detector, channel) for detector in error.detectors]


def _opened(path: Path, detector: str | None, channel: str | None) -> StrainFile:
    with one_line(str(path)), open_recording(path, detector, channel) as recording:
        if recording.start is None or recording.sample_rate is None or recording.detector is None:
            raise StrainError(f"{path}: doesn't say its time, rate and detector; name it as GWOSC")
        seconds = len(recording.samples) / recording.sample_rate
        return StrainFile(path, recording.detector, recording.start, recording.start + seconds)
