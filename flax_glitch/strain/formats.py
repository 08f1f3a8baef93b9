"""The formats that strain comes in: HDF5, .npy, text, .gwf."""

import gzip
import io
import itertools
import math
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from flax_glitch.arrays import Samples
from flax_glitch.files import printable
from flax_glitch.strain.channels import DETECTOR, StrainError, choose, detector_of
from flax_glitch.strain.quality import Flag, flags_of

MAX_SAMPLES = 4096 * 16384
"""Samples read at most: GWOSC's largest file, 4,096 s at 16,384 Hz."""

MAX_VALUE = 1000
"""Bytes of a value that says when a file begins or of which detector it is, at most."""

MASKS = (
    ("quality/simple/DQmask", "quality/simple/DQShortnames"),
    ("quality/injections/Injmask", "quality/injections/InjShortnames"),
)
"""Bits for each second, and their names, in GWOSC's HDF5 files."""

GWF_MASKS = {
    "DQMASK": ("DATA", *(f"{search}_CAT{n}" for search in ("CBC", "BURST") for n in (1, 2, 3))),
    "INJMASK": tuple(f"NO_{kind}_HW_INJ" for kind in ("CBC", "BURST", "DETCHAR", "CW", "STOCH")),
}
"""In the names of channels beside STRAIN in GWOSC's .gwf files, and their bits."""

MAX_MASK = 1_000_000
"""Bytes of a mask, at most; larger ones are passed over."""

MAX_TEXT_BYTES = 1_000_000_000
"""A larger text file is refused unread."""

GZIP = b"\x1f\x8b"
"""How a file begins that is packed by gzip."""

GWOSC_START = re.compile(r"starting GPS (\d+)")
GWOSC_RATE = re.compile(r"(\d+) samples per second")
"""In the header of GWOSC's text: "This file has 4096 samples per second", "starting GPS 1126…"."""

GWOSC_RATES = (4096, 16384)
"""Hz, of all of GWOSC's files."""

GWOSC_NAME = re.compile(r"-(\d{9,10})-(\d+)\.txt")
"""Start and duration in the name of GWOSC's text, H-H1_LOSC_4_V2-1126259446-32.txt.gz."""

MAX_HEADER_LINES, MAX_LINE = 100, 1000
"""The numbers of a text file begin within so many lines, of so many letters at most."""

MAX_OBJECTS = 1000
"""Groups and data sets of an HDF5 file that are looked at, at most."""

GWOSC_STRAIN = "strain/Strain"
"""The data set of GWOSC's HDF5 files."""

ATTRIBUTES = (("x0", "dx"), ("start_time", "delta_t"))
"""Of data sets that are series: start, GPS seconds, and spacing, as GWpy and PyCBC write them."""


@dataclass(frozen=True)
class Recording:
    """Samples that can be sliced, in a file or in memory, and what the file says of them."""

    samples: Any
    start: float | None = None
    """GPS seconds."""
    sample_rate: float | None = None
    """Hz."""
    detector: str | None = None
    channel: str | None = None
    """Its name, where the file has names."""
    flags: tuple[Flag, ...] | None = None
    """Where the data is flagged, None if the file doesn't say it of any."""


UNREADABLE = (
    *(OSError, ValueError, KeyError, TypeError, RuntimeError, ArithmeticError),
    *(EOFError, zlib.error),  # of gzip
)
"""What readers raise of files that they can't read."""


@contextmanager
def one_line(name: str) -> Iterator[None]:
    """Says in one line what is wrong with a file, whatever it is called and whoever noticed."""
    try:
        yield
    except StrainError as error:
        error.args = (printable(str(error)),)
        raise
    except (TypeError, ArithmeticError):
        said = f"{name}: its start, sample rate or detector isn't one that makes sense; check it"
        raise StrainError(printable(said)) from None
    except UNREADABLE as error:
        reason = (isinstance(error, OSError) and error.strerror) or error or type(error).__name__
        said = f"{name}: can't be read ({reason}); check the file"
        raise StrainError(printable(said)) from None


@contextmanager
def open_recording(
    path: Path, detector: str | None = None, channel: str | None = None
) -> Iterator[Recording]:
    """Opens a file of strain, whose format is told by its content.

    Detector and channel say which series of a file with several is wanted, see `choose`.
    """
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith(b"\x89HDF"):
        with h5py.File(path) as hdf5:
            yield in_hdf5(hdf5, str(path), detector, channel)
    elif head.startswith(b"IGWD"):
        yield _gwf(path, detector, channel)
    elif channel:
        said = f"{path}: holds no channels by name"
        raise StrainError(said, "correct channel")
    elif head.startswith(b"\x93NUMPY"):
        yield Recording(np.load(path, mmap_mode="r", allow_pickle=False))
    elif head.startswith(GZIP) or (head and b"\0" not in head):
        yield _text(path)
    else:
        raise StrainError(
            f"{path}: holds {'something else' if head else 'nothing'}; give HDF5 as from GWOSC, "
            ".npy, .gwf, or text with a column of strain"
        )


def in_hdf5(
    file: h5py.File, name: str, detector: str | None = None, channel: str | None = None
) -> Recording:
    """Returns the strain in an open HDF5 file, laid out as GWOSC's, GWpy's or PyCBC's."""
    gwosc = _inside(file, GWOSC_STRAIN)
    if gwosc is not None and channel in (None, GWOSC_STRAIN):
        return _of_gwosc(file, _in_small_chunks(gwosc, name), name)
    series = _series(file, name)
    if not series:
        raise StrainError(
            f"{name}: has no data set {GWOSC_STRAIN}, nor one with start and spacing as GWpy and "
            "PyCBC write them; give such a file"
        )
    chosen = choose(name, list(series), detector, channel)
    samples = _in_small_chunks(series[chosen], name)
    start, spacing = next(pair for pair in ATTRIBUTES if set(pair) <= set(samples.attrs))
    return Recording(
        samples,
        start=float(samples.attrs[start]),
        sample_rate=round(1 / float(samples.attrs[spacing]), 6),
        detector=detector_of(chosen) or detector_of(samples.name),
        channel=chosen,
    )


def _of_gwosc(file: h5py.File, samples: h5py.Dataset, name: str) -> Recording:
    """As gwosc.org's "What's in a data file?" says."""
    gps_start, detector = _one(file, "meta/GPSstart", name), _one(file, "meta/Detector", name)
    said = samples.attrs.get("Xstart", None if gps_start is None else gps_start[()])
    start = None if said is None else float(said)
    spacing = samples.attrs.get("Xspacing")
    return Recording(
        samples,
        start=start,
        sample_rate=None if spacing is None else round(1 / float(spacing), 6),
        detector=None if detector is None else detector.asstr()[()],
        channel=GWOSC_STRAIN,
        flags=_flags(file, start),
    )


def _flags(file: h5py.File, start: float | None) -> tuple[Flag, ...] | None:
    """Where the data is flagged, None if there is no mask that can be read."""
    flags: list[Flag] | None = None
    for place, names in MASKS:
        mask, bits = _inside(file, place), _inside(file, names)
        if mask is None or bits is None or not (_is_mask(mask, "iu") and _is_mask(bits, "SO")):
            continue
        begin = float(mask.attrs.get("Xstart", start or 0))
        spacing = float(mask.attrs.get("Xspacing", 1))
        flags = (flags or []) + flags_of(
            mask[()], list(bits.asstr(errors="replace")[()]), begin, spacing
        )
    return None if flags is None else tuple(flags)


def _is_mask(data: h5py.Dataset, kinds: str) -> bool:
    """Whether it is a small row of numbers or, of kinds "SO", of text."""
    small = max(data.size, math.prod(data.chunks or ())) * data.dtype.itemsize <= MAX_MASK
    text = kinds != "SO" or h5py.check_string_dtype(data.dtype) is not None
    return small and data.ndim == 1 and data.dtype.kind in kinds and text


def _in_small_chunks(samples: h5py.Dataset, name: str) -> h5py.Dataset:
    """The data set, of which a chunk is decompressed as a whole."""
    if math.prod(samples.chunks or ()) > MAX_SAMPLES:
        raise StrainError(f"{name}: has chunks of {samples.chunks} samples; write smaller ones")
    return samples


def _series(file: h5py.File, name: str) -> dict[str, h5py.Dataset]:
    """The data sets that are a series in time, by their channel, or by where they are."""
    found: list[h5py.Dataset] = []
    seen: list[str] = []

    def look(place: str, item: h5py.Group | h5py.Dataset) -> bool | None:
        seen.append(place)
        if isinstance(item, h5py.Dataset) and _own(item) and _is_series(item):
            found.append(item)
        return len(seen) > MAX_OBJECTS or None

    if file.visititems(look):  # which follows no links to elsewhere
        said = f"{name}: has more than {MAX_OBJECTS:,} groups and data sets"
        raise StrainError(f"{said}; give the strain in a file of its own")
    names = [_channel_of(item) for item in found]
    if len(set(names)) < len(names):
        names = [item.name.strip("/") for item in found]
    return dict(zip(names, found, strict=True))


def _is_series(item: h5py.Dataset) -> bool:
    """Whether it is a series of GWpy's or PyCBC's in time: spectra and state vectors are none."""
    timed = any(set(pair) <= set(item.attrs) for pair in ATTRIBUTES)
    seconds = _told(item, "xunit") in ("", "s") and "bits" not in item.attrs
    return timed and seconds and item.ndim == 1 and item.dtype.kind in "fi"


def _channel_of(item: h5py.Dataset) -> str:
    return _told(item, "channel") or _told(item, "name") or item.name.strip("/")


def _told(item: h5py.Dataset, attribute: str) -> str:
    """An attribute that is text; older GWpy's pickled channels are none."""
    said = item.attrs.get(attribute, "")
    return said if isinstance(said, str) and said.isprintable() else ""


def _one(file: h5py.File, name: str, path: str) -> h5py.Dataset | None:
    """A data set of one value: a small file can say that it holds more than fits into memory."""
    dataset = _inside(file, name)
    if dataset is not None and dataset.size * dataset.dtype.itemsize > MAX_VALUE:
        raise StrainError(f"{path}: has a {name} of {dataset.size:,} values; give one")
    return dataset


def _inside(file: h5py.File, name: str) -> h5py.Dataset | None:
    """A data set of the file itself: a link can lead to any other file of the machine."""
    places = itertools.accumulate(name.split("/"), "{}/{}".format)
    links = (file.get(place, getlink=True) for place in places)
    if not all(isinstance(link, h5py.HardLink) for link in links):
        return None
    dataset = file[name]
    return dataset if isinstance(dataset, h5py.Dataset) and _own(dataset) else None


def _own(dataset: h5py.Dataset) -> bool:
    """Whether its values are in the file itself."""
    return not dataset.is_virtual and not dataset.external


def _gwf(path: Path, detector: str | None, channel: str | None) -> Recording:
    try:
        from gwpy.io.gwf import get_channel_names
        from gwpy.timeseries import TimeSeries

        names = get_channel_names(path)
    except ImportError:
        raise StrainError(
            f"{path}: .gwf files need more packages: pip install 'flax-glitch[gwf]'"
        ) from None
    chosen = choose(str(path), names, detector, channel)
    series = TimeSeries.read(path, chosen, format="gwf")
    rate, start = float(series.sample_rate.value), float(series.t0.value)
    flags: list[Flag] | None = None
    for kind, bits in GWF_MASKS.items():
        if (place := chosen.replace("STRAIN", kind)) in set(names) - {chosen}:
            mask = TimeSeries.read(path, place, format="gwf")
            told = bits, float(mask.t0.value), float(mask.dt.value)
            flags = (flags or []) + flags_of(mask.value.astype(np.int64), *told)
    known = None if flags is None else tuple(flags)
    return Recording(series.value, start, rate, chosen.split(":")[0], chosen, known)


def _text(path: Path) -> Recording:
    """As most write it: one column or two after a header, which of GWOSC's files tells the rest."""
    with path.open("rb") as raw, io.TextIOWrapper(_unpacked(raw), encoding="utf-8") as file:
        lines = _lines(file, path)
        header = list(itertools.islice(lines, MAX_HEADER_LINES))
        first = next((number for number, line in enumerate(header) if _numbers(line)), None)
        if first is None:
            raise StrainError(f"{path}: has no numbers in its first {MAX_HEADER_LINES} lines")
        columns = len(_numbers(header[first]))
        if columns > 2:
            raise StrainError(f"{path}: has {columns} columns; give strain, or GPS time and strain")
        comma = "," if "," in header[first] else None
        rows = (
            line for line in itertools.chain(header[first:], lines) if line.lstrip()[:1] not in "#"
        )
        table = np.loadtxt(rows, delimiter=comma, ndmin=2, max_rows=MAX_SAMPLES + 1)
    if columns == 2:
        return Recording(table[:, -1], *_clock(path, table[:, 0]))
    return Recording(table[:, -1], *_told_by("".join(header[:first]), path.name, len(table)))


def _unpacked(raw: io.BufferedReader) -> gzip.GzipFile | io.BufferedReader:
    return gzip.GzipFile(fileobj=raw) if raw.peek(2).startswith(GZIP) else raw


def _lines(file: io.TextIOWrapper, path: Path) -> Iterator[str]:
    """The lines of a text, which may be packed and so far larger than its file."""
    size = 0
    while line := file.readline(MAX_LINE):
        size += len(line)
        if len(line) == MAX_LINE:
            raise StrainError(
                f"{path}: has a line of more than {MAX_LINE:,} letters; give a column of strain"
            )
        if size > MAX_TEXT_BYTES:
            raise StrainError(
                f"{path}: has more than {MAX_TEXT_BYTES:,} bytes of text; give it as .npy or HDF5"
            )
        yield line


def _told_by(header: str, name: str, samples: int) -> tuple[float | None, float | None, str | None]:
    """Start (GPS seconds), sample rate (Hz) and detector, as GWOSC's header or file name tells."""
    start, rate = GWOSC_START.search(header), GWOSC_RATE.search(header)
    named, detectors = GWOSC_NAME.search(name), set(DETECTOR.findall(header))
    by_name = samples / float(named[2] or 1) if named else None
    return (
        float(start[1]) if start else float(named[1]) if named else None,
        float(rate[1]) if rate else by_name if by_name in GWOSC_RATES else None,
        detectors.pop() if len(detectors) == 1 else None,
    )


def _numbers(line: str) -> list[float]:
    """The numbers in a line, none if there is anything else."""
    try:
        return [float(word) for word in line.replace(",", " ").split()]
    except ValueError:
        return []


def _clock(path: Path, times: Samples) -> tuple[float, float]:
    """Start (GPS seconds) and sample rate (Hz) of evenly spaced times."""
    start, span = float(times[0]), float(times[-1] - times[0])
    # Times are written rounded, the sample rate is a whole number.
    rate = round((len(times) - 1) / span) if span > 0 else 0
    even = start + np.arange(len(times)) / max(rate, 1)
    if not np.all(np.abs(times - even) < 0.5 / max(rate, 1)):
        raise StrainError(f"{path}: its times aren't evenly spaced, a whole number to the second")
    return start, float(rate)
