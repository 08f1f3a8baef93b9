"""Public strain from GWOSC by the name of an event or by GPS time, kept in a cache."""

import io
import itertools
import math
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np
import requests
from gwosc.datasets import event_gps
from gwosc.locate import get_event_urls, get_run_urls
from gwosc.utils import segments_overlap, url_segment

from flax_glitch.config import CACHE
from flax_glitch.files import download, is_intact, open_session, seal, write_whole
from flax_glitch.strain import remote
from flax_glitch.strain.files import (
    DETECTOR,
    LENGTHS,
    Span,
    Strain,
    StrainError,
    join,
    read_hdf5,
    read_strain,
)
from flax_glitch.strain.quality import mask_of

SAMPLE_RATE = 4096
"""Hz, of the files that are fetched: the smaller ones of GWOSC's two kinds."""

HALF = LENGTHS[0] // 2
"""Seconds that are fetched before the whole second that an event is in, and after it."""

BULK = 4096
"""Seconds of a file of a whole observing run; it starts at a multiple of them."""

KEPT = 4_000_000_000
"""Bytes of fetched strain that stay in the cache: what visitors of a public app ask for is kept."""

EVENTS = MappingProxyType({"GW150914": 1126259462.4, "GW170817": 1187008882.4})
"""GPS times of events that are known without asking (gwosc.org/eventapi)."""


@dataclass(frozen=True)
class Preset:
    """Something worth looking at that everybody knows."""

    name: str
    gps: float
    """GPS seconds."""
    detector: str
    event: str | None = None
    """GWOSC's name of the event whose files hold it, if it has any."""


PRESETS = (
    Preset("GW150914", EVENTS["GW150914"], "H1", "GW150914"),
    Preset("GW150914", EVENTS["GW150914"], "L1", "GW150914"),
    # gwosc.org/events/GW170817 gives the time.
    Preset("Glitch before GW170817", 1187008881.389, "L1", "GW170817"),
    Preset("Koi Fish", 1132401286.33, "H1"),
)
"""The first detection, the glitch 1.1 s before the first neutron-star merger, a Koi Fish."""


def event_time(name: str) -> float:
    """Returns the GPS time of an event, such as GW150914, in seconds.

    Raises:
        StrainError: if GWOSC doesn't know it or can't be asked.
    """
    if name.upper() in EVENTS:
        return EVENTS[name.upper()]
    asked = remote.one_line_offline(f"{remote.HOST}, event {name}")
    with asked, open_session(remote.HOST) as session:
        return float(event_gps(_checked(name), host=remote.HOST, session=session))


def fetch(
    gps: float,
    detector: str,
    cache: Path = CACHE,
    *,
    event: str | None = None,
    progress: bool = True,
) -> Strain:
    """Returns public strain of 32 s and more before and after a GPS time, as far as there is any.

    It is kept in the cache. An event named has files of its own, which are smaller.

    Raises:
        StrainError: if there is none or GWOSC can't be asked.
    """
    if not DETECTOR.fullmatch(detector) or not 0 < gps < math.inf:
        raise StrainError(f"{detector} at GPS {gps}: give H1, L1, V1, K1 or G1, and GPS seconds")
    span = (math.floor(gps) - HALF, math.floor(gps) + HALF + 1)
    tag = _checked(event).replace("-", "_") if event else "GWOSC"
    path = cache / "strain" / f"{detector[0]}-{detector}_{tag}-{span[0]}-{span[1] - span[0]}.hdf5"
    if is_intact(path):
        return read_strain(path)
    with open_session(remote.HOST) as session:
        urls = _files(session, gps, detector, span, event)
        parts = [_read(session, url, span, path.parent, progress) for url in urls]
    strain = join(parts, span)
    _keep(strain, path)
    return strain


def _checked(event: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", event):
        raise StrainError(f"event {event!r}: give a name of GWOSC's, such as GW150914")
    return event


def _files(
    session: requests.Session, gps: float, detector: str, span: Span, event: str | None
) -> list[str]:
    """The smallest files that hold the time, and those of the same size that go on from them."""
    wanted = f"{detector} at GPS {gps}"
    options: dict[str, Any] = {"sample_rate": SAMPLE_RATE, "host": remote.HOST, "session": session}
    with remote.one_line_offline(f"{remote.HOST}, {wanted}"):
        if event:
            urls = get_event_urls(event, detector=detector, **options)
        else:
            # The same question for all times in a file: its answer is remembered.
            start, end = span[0] // BULK * BULK, -(-span[1] // BULK) * BULK
            urls = get_run_urls(None, detector, start, end, **options)
        segments = {url: url_segment(url) for url in urls}
    sizes = {url: end - start for url, (start, end) in segments.items()}
    rooms = {
        url: min(gps - start, end - gps, LENGTHS[-1] / 2) for url, (start, end) in segments.items()
    }
    most = max(rooms.values(), default=0.0)
    if most <= 0:
        raise StrainError(
            f"{wanted}: there is no public strain; gwosc.org/timeline shows when there is", "strain"
        )
    size = min(sizes[url] for url in urls if rooms[url] == most)
    return [url for url in urls if sizes[url] == size and segments_overlap(segments[url], span)]


def _read(session: requests.Session, url: str, span: Span, folder: Path, progress: bool) -> Strain:
    """The part of a file that lies in the span."""
    path = folder / Path(url).name
    if not is_intact(path):
        start, end = url_segment(url)
        if end - start > span[1] - span[0]:
            with suppress(remote.NoRangesError), remote.RangeFile(session, url, progress) as file:
                return read_hdf5(file, url, span)
        with remote.one_line_offline(url):
            download(url, path, host=remote.HOST, progress=progress)
    return read_strain(path, around=span)


def _keep(strain: Strain, path: Path) -> None:
    """Writes strain in GWOSC's layout, with its checksum beside it."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        options = {"compression": "gzip", "shuffle": True}
        samples = file.create_dataset("strain/Strain", data=strain.values, **options)
        samples.attrs.update(Xstart=strain.start, Xspacing=1 / strain.sample_rate)
        file["meta/GPSstart"] = strain.start
        file["meta/Duration"] = strain.duration
        file["meta/Detector"] = strain.detector
        if strain.flags is not None:
            mask, names = mask_of(strain.flags, strain.start, math.ceil(strain.duration))
            file["quality/simple/DQmask"] = mask
            file["quality/simple/DQShortnames"] = np.array(names, "S")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content.getvalue())
    with suppress(FileNotFoundError):  # another process may be forgetting too
        seal(path)
        _forget(path.parent)


def _forget(folder: Path) -> None:
    """Deletes the files that were fetched longest ago, as far as they are more than `KEPT`."""
    files = sorted(folder.glob("*.hdf5"), key=lambda file: file.stat().st_mtime, reverse=True)
    sizes = np.cumsum([file.stat().st_size for file in files])
    for file in itertools.compress(files, sizes > KEPT):
        file.unlink(missing_ok=True)
        file.with_name(f"{file.name}.sha256").unlink(missing_ok=True)
