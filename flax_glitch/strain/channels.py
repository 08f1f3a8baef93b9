"""Which channel of a file is the strain: never a guess among several."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

DETECTOR = re.compile(r"(?<![A-Za-z0-9])[GHKLV]1(?![A-Za-z0-9])")
"""A detector's name as a word of a file's name, as in H-H1_GWOSC_4KHZ_R1-1126259447-32.hdf5."""

KNOWN = tuple(
    re.compile(rf"([A-Z]1:)?({name})")
    for name in (
        "strain/Strain",  # GWOSC's HDF5
        r"GWOSC-\d+KHZ_R\d+_STRAIN|LOSC-STRAIN",
        r"DCS-CALIB_STRAIN(_C\d\d)?",
        r"DCS-CALIB_STRAIN\w*",
        r"GDS-CALIB_STRAIN(_C\d\d)?",
        r"GDS-CALIB_STRAIN\w*",
        "Hrec_hoft_16384Hz",
        r"Hrec_hoft\w*|h_\d+Hz",  # Virgo's, of late and of old
        r"DER_DATA_H\w*",  # GEO's
        r"DAC-STRAIN\w*|CAL-CS_PROC_\w*STRAIN\w*",  # KAGRA's
    )
)
"""Names of strain, the first first: the plain one of a calibration before one that is cleaned."""

NEVER = re.compile(r"INJ|MDC|MASK|VECTOR|STATE|FLAG|SEGMENT|QUALITY|DQ_", re.IGNORECASE)
"""In the names of channels with injections, bits of quality and the like."""

LIKELY = re.compile(r"strain|hoft|^[^:]*$", re.IGNORECASE)
"""In the names of other channels that may be strain; a data set's own name says nothing."""

SHOWN = 12
"""Names of channels in a message, at most."""


class StrainError(ValueError):
    """Strain that can't be had or used: one line with the input, what is wrong and what would do.

    `cure` is the key of what else helps, where whoever asked has a name for it.
    """

    def __init__(self, said: str, cure: str = "") -> None:
        super().__init__(said)
        self.cure = cure

    def worded(self, cures: Mapping[str, str]) -> str:
        """Returns the line with its cure, in the words of whoever asked."""
        return f"{self}{cures.get(self.cure, '')}"


class SeveralDetectorsError(StrainError):
    """A file of more than one detector, none of which was asked for."""

    def __init__(self, said: str, cure: str = "", detectors: Sequence[str] = ()) -> None:
        super().__init__(said, cure)
        self.detectors = detectors


def detector_of(name: str) -> str | None:
    """Returns the detector that a name tells, if it does."""
    found = DETECTOR.search(name)
    return found[0] if found else None


def choose(path: str, names: Sequence[str], detector: str | None, channel: str | None) -> str:
    """Returns the name of the channel that is the strain.

    Args:
        path: of the file, for messages.
        names: of its channels.
        detector: whose it must be, where some are of that detector.
        channel: the one that is asked for, with or without its detector.

    Raises:
        StrainError: if there is none, or if there are several that may be it.
    """
    if detector:
        names = [name for name in names if detector_of(name) in (None, detector)] or names
    if channel:
        found = [name for name in names if name == channel or name.endswith(f":{channel}")]
        missing = f"has no channel {channel}; it has {_listed(names)}", "correct channel"
    else:
        found = _strain_among(names)
        missing = f"has no channel known as strain; it has {_listed(names)}", "give channel"
    if not found:
        raise StrainError(f"{path}: {missing[0]}", missing[1])
    if len(found) == 1:
        return found[0]
    detectors = sorted({one for one in map(detector_of, found) if one})
    if len(detectors) > 1:
        said = f"{path}: holds strain of {' and '.join(detectors)}"
        raise SeveralDetectorsError(said, "give detector", detectors)
    said = f"{path}: has {len(found)} channels that may be the strain: {_listed(found)}"
    raise StrainError(said, "give channel")


def _strain_among(names: Iterable[str]) -> list[str]:
    """The best known names of each detector; where none is known, those that may be strain."""
    of: dict[str | None, list[str]] = {}
    for name in names:
        if not NEVER.search(name):
            of.setdefault(detector_of(name), []).append(name)
    return list(chain.from_iterable(map(_best, of.values())))


def _best(names: Sequence[str]) -> list[str]:
    for pattern in KNOWN:
        if hits := [name for name in names if pattern.fullmatch(name)]:
            return hits
    return [name for name in names if LIKELY.search(name)]


def _listed(names: Sequence[str]) -> str:
    rest = [f"{len(names) - SHOWN:,} more"] * (len(names) > SHOWN)
    return ", ".join([*sorted(names)[:SHOWN], *rest]) or "none"
