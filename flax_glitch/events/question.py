"""What is asked of the events room. It imports little: the command line's help shows it."""

import dataclasses
from pathlib import Path

from flax_glitch.config import CACHE
from flax_glitch.times import to_gps

GRAVITYSPY, GWOSC = "gravityspy", "gwosc"
"""Names that stand for a table and for strain that are fetched."""


@dataclasses.dataclass(frozen=True)
class Question:
    """One event or a table of triggers, and where their strain is."""

    event: str | None = None
    """An event's name, such as GW150914."""
    gps: float | str | None = None
    """An event's time: GPS seconds, or UTC such as "2015-09-14 09:50:45.4"."""
    detector: str | None = None
    """H1, L1 or V1, where the strain file or the table doesn't tell, or the file has several."""
    triggers: str | None = None
    """A table with a time (gps, event_time, peak_time, time, end_time, …) and a detector (detector,
    ifo or channel) a row: CSV, other text, ECSV, LIGO_LW XML, Omicron's or PyCBC's HDF5, gzipped
    too; or gravityspy: the table of its training set, fetched from Zenodo."""
    strain: str | None = None
    """A file of strain, or a folder of them; or gwosc: fetched from GWOSC."""
    channel: str | None = None
    """The channel that is the strain, where the file has several that may be."""
    gps_start: float | str | None = None
    """Time of the first sample of a strain file that doesn't tell, such as .npy; also as UTC."""
    sample_rate: float | None = None
    """Sample rate in Hz of such a file."""
    cache: Path = CACHE
    """Folder for what is fetched."""

    def __post_init__(self) -> None:
        """Takes a detector as people write it, such as h1."""
        object.__setattr__(self, "detector", (self.detector or "").strip().upper() or None)

    @property
    def time(self) -> float | None:
        """The event's time in GPS seconds; a ValueError if it is none."""
        return None if self.gps is None else to_gps(self.gps)

    @property
    def start(self) -> float | None:
        """The time of the first sample in GPS seconds; a ValueError if it is none."""
        return None if self.gps_start is None else to_gps(self.gps_start)

    @property
    def local(self) -> Path | None:
        """Returns where the strain is, unless it is fetched."""
        return Path(self.strain) if self.strain and self.strain != GWOSC else None
