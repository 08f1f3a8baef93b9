"""From a question (an event, a time, a table) to its triggers and how to read their strain."""

import dataclasses
import re
from collections.abc import Callable, Sequence
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
from flax_glitch.strain.files import LENGTHS, Strain, read_strain
from flax_glitch.strain.formats import one_line, open_recording
from flax_glitch.strain.gwosc import PRESETS, event_time, fetch

ReadStrain = Callable[[str, float], Strain]
"""Returns strain around an event, by detector and GPS time, or raises StrainError."""

_SUFFIXES = frozenset({".hdf5", ".h5", ".hdf", ".gwf"})
_NAME = re.compile(r"[A-Z]-(?P<detector>[A-Z]1)_.+-(?P<start>\d+)-(?P<seconds>\d+)\.\w+")
"""As H-H1_GWOSC_4KHZ_R1-1126257415-4096.hdf5 (LIGO-T010150)."""


@dataclasses.dataclass(frozen=True)
class Found:
    """The events asked for, a table's rows that are none, how to read strain, and the table."""

    triggers: Sequence[Trigger]
    faulty: Sequence[FaultyRow]
    read: ReadStrain
    table: Path | None = None


def find(question: Question, progress: bool = False) -> Found:
    """Returns the events of a question; the strain of a single one is read at once.

    Raises:
        TriggerError: if a table can't be used.
        StrainError: if there is no strain.
    """
    if question.triggers:
        return _of_table(question, question.triggers)
    gps = event_time(question.event) if question.event else float(question.gps or 0)
    if question.local:
        strain = read_strain(
            question.local,
            detector=question.detector,
            channel=question.channel,
            gps_start=question.gps_start,
            sample_rate=question.sample_rate,
            around=(gps - LENGTHS[0], gps + LENGTHS[0]),
        )
    else:
        detector = str(question.detector)
        known = {(preset.gps, preset.detector): preset.event for preset in PRESETS}
        event = question.event or known.get((gps, detector))
        strain = fetch(gps, detector, question.cache, event=event, progress=progress)
    trigger = Trigger(strain.detector, gps, stable_id(strain.detector, gps))
    return Found([trigger], [], lambda detector, gps: strain)


def _of_table(question: Question, table: str) -> Found:
    path = training_set_table(question.cache) if table == GRAVITYSPY else Path(table)
    triggers, faulty = read_triggers(path)
    if question.local:
        files = list_strain(question.local, question.channel)
        return Found(triggers, faulty, partial(read_around, files, channel=question.channel), path)

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


def list_strain(path: Path, channel: str | None = None) -> list[StrainFile]:
    """Returns the strain files (HDF5, .gwf) of a folder and the folders in it, or the one file.

    A file of several detectors is there once for each.

    A file is known by its name, or opened if its name is of another kind than GWOSC's.

    Raises:
        StrainError: if there is none, or one whose name doesn't tell can't be read.
    """
    found = sorted(path.rglob("*")) if path.is_dir() else [path]
    files = [
        covered
        for file in found
        if file.suffix.lower() in _SUFFIXES and file.is_file() and not file.name.startswith(".")
        for covered in _covered(file, channel)
    ]
    if not files:
        raise StrainError(f"{path}: no strain files there (.hdf5, .h5 or .gwf); give their folder")
    return files


def read_around(
    files: Sequence[StrainFile], detector: str, gps: float, channel: str | None = None
) -> Strain:
    """Returns the strain that `block` wants of an event, from the file that reaches furthest.

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
    begin = min(max(gps - longest / 2, best.start), max(best.start, best.end - longest))
    around = begin - 1, begin + longest + 1
    return read_strain(best.path, detector=detector, channel=channel, around=around)


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
