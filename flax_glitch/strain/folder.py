"""A folder of strain files: which of them holds an event."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flax_glitch.strain.files import LENGTHS, Strain, read_strain
from flax_glitch.strain.formats import StrainError, one_line, open_recording

_SUFFIXES = frozenset({".hdf5", ".h5", ".gwf"})
_NAME = re.compile(r"[A-Z]-(?P<detector>[A-Z]1)_.+-(?P<start>\d+)-(?P<seconds>\d+)\.\w+")
"""As H-H1_GWOSC_4KHZ_R1-1126257415-4096.hdf5 (LIGO-T010150)."""


@dataclass(frozen=True)
class StrainFile:
    """A file and what it covers: GPS seconds from start to before end."""

    path: Path
    detector: str
    start: float
    end: float


def list_strain(path: Path) -> list[StrainFile]:
    """Returns the strain files (HDF5, .gwf) of a folder and the folders in it, or the one file.

    A file is known by its name, or opened if its name is of another kind than GWOSC's.

    Raises:
        StrainError: if there is none, or one whose name doesn't tell can't be read.
    """
    found = sorted(path.rglob("*")) if path.is_dir() else [path]
    files = [
        _by_name(file) or _by_content(file)
        for file in found
        if file.suffix.lower() in _SUFFIXES and file.is_file() and not file.name.startswith(".")
    ]
    if not files:
        raise StrainError(f"{path}: no strain files there (.hdf5, .h5 or .gwf); give their folder")
    return files


def read_around(files: Sequence[StrainFile], detector: str, gps: float) -> Strain:
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
    return read_strain(best.path, detector=detector, around=(begin - 1, begin + longest + 1))


def _by_name(path: Path) -> StrainFile | None:
    if not (match := _NAME.fullmatch(path.name)):
        return None
    start = float(match["start"])
    return StrainFile(path, match["detector"], start, start + float(match["seconds"]))


def _by_content(path: Path) -> StrainFile:
    with one_line(str(path)), open_recording(path) as recording:
        if recording.start is None or recording.sample_rate is None or recording.detector is None:
            raise StrainError(f"{path}: doesn't say its time, rate and detector; name it as GWOSC")
        seconds = len(recording.samples) / recording.sample_rate
        return StrainFile(path, recording.detector, recording.start, recording.start + seconds)
