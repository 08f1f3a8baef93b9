"""What is asked of the events room. It imports little: the command line's help shows it."""

import dataclasses
from pathlib import Path

from flax_glitch.config import CACHE

GRAVITYSPY, GWOSC = "gravityspy", "gwosc"
"""Names that stand for a table and for strain that are fetched."""


@dataclasses.dataclass(frozen=True)
class Question:
    """One event or a table of triggers, and where their strain is."""

    event: str | None = None
    """An event's name, such as GW150914."""
    gps: float | None = None
    """An event's time, GPS seconds."""
    detector: str | None = None
    """H1, L1 or V1, where the strain file doesn't tell, or has several."""
    triggers: str | None = None
    """A CSV table with a time (gps, event_time, peak_time or time) and a detector (detector, ifo
    or channel) a row; or gravityspy: the table of its training set, fetched from Zenodo."""
    strain: str | None = None
    """A file of strain, or a folder of them; or gwosc: fetched from GWOSC."""
    channel: str | None = None
    """The channel that is the strain, where the file has several that may be."""
    gps_start: float | None = None
    """GPS seconds of the first sample of a strain file that doesn't tell, such as .npy."""
    sample_rate: float | None = None
    """Sample rate in Hz of such a file."""
    cache: Path = CACHE
    """Folder for what is fetched."""

    @property
    def local(self) -> Path | None:
        """Returns where the strain is, unless it is fetched."""
        return Path(self.strain) if self.strain and self.strain != GWOSC else None
