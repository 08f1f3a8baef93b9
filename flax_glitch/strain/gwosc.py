"""Public strain from GWOSC by the name of an event or by GPS time, kept in a cache."""

import io
import itertools
import math
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np
import requests
from gwosc.api.v2 import fetch_event_versions
from gwosc.datasets import event_gps
from gwosc.locate import get_event_urls, get_run_urls
from gwosc.utils import segments_overlap, url_segment

from flax_glitch import box
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
from flax_glitch.times import to_gps

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


PACKAGED = box.SAMPLES
"""Folder of the strain that need not be fetched."""

NAMES = "give a name of GWOSC's, such as GW150914 or GW190814_211039, or the GPS time or UTC"
"""What is said of other names."""


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


def find_event(name: str) -> tuple[str, float]:
    """Returns GWOSC's name of an event and its GPS time in seconds.

    Small letters and spaces don't matter, and of a name with its time, as GW190814_211039, the date
    is enough if there is no other event that day.

    Raises:
        StrainError: if GWOSC doesn't know it or can't be asked.
    """
    name = _checked(name)
    if name in EVENTS:
        return name, EVENTS[name]
    asked = remote.one_line_offline(f"{remote.HOST}, event {name}")
    options: dict[str, Any] = {"host": remote.HOST}
    with asked, open_session(remote.HOST) as options["session"]:
        try:
            return name, float(event_gps(name, **options))
        except requests.HTTPError as error:
            if error.response.status_code != HTTPStatus.NOT_FOUND:
                raise
        begun = re.compile(re.escape(name) + r"_\d+")
        versions = {one["name"]: one["gps"] for one in fetch_event_versions(name, **options)}
    found = sorted(filter(begun.fullmatch, versions))
    if len(found) == 1:
        return found[0], float(versions[found[0]])
    if found:
        raise StrainError(f"event {name}: there are {' and '.join(found)}; give one of them")
    raise StrainError(f"event {name}: GWOSC has none of that name; {NAMES}")


def fetch(
    time: float | str | datetime,
    detector: str,
    cache: Path = CACHE,
    *,
    event: str | None = None,
    progress: bool = True,
) -> Strain:
    """Returns public strain of 32 s and more before and after a time, as far as there is any.

    The time is in GPS seconds or UTC, see `to_gps`. What is fetched is kept in the cache. An event
    named has files of its own, which are smaller; those of GW150914 are in the box.

    Raises:
        StrainError: if there is none or GWOSC can't be asked.
        ValueError: if the time is none.
    """
    gps, detector = to_gps(time), detector.strip().upper()
    if not DETECTOR.fullmatch(detector):
        raise StrainError(f"{detector} at GPS {gps}: give H1, L1, V1, K1 or G1")
    for file in PACKAGED.glob(f"{detector[0]}-{detector}_*.hdf5"):
        start, end = url_segment(file.name)
        if min(gps - start, end - gps) >= LENGTHS[-1] / 2:
            return read_strain(file)
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
    """GWOSC's spelling of an event's name."""
    name = "".join(event.split())
    name = re.sub("^(gw|lvt)", lambda letters: letters[0].upper(), name, flags=re.IGNORECASE)
    if re.fullmatch(r"[MT]?S\d{6}[a-z]+", name, re.IGNORECASE):
        raise StrainError(
            f"event {name}: is a superevent, as GraceDB and alerts name candidates, which GWOSC "
            f"doesn't; {NAMES}"
        )
    if _is_time(event):
        raise StrainError(f"event {event.strip()}: is a time, no event's name; give it as the time")
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise StrainError(f"event {event.strip()!r}: is no event's name; {NAMES}")
    return name


def _is_time(text: str) -> bool:
    """Whether it is UTC, or GPS seconds that are no day: some old events are called 151008."""
    try:
        return to_gps(text) > 1e8
    except ValueError:
        return False


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
