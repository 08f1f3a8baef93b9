"""The formats that strain comes in: HDF5, .npy, text, .gwf."""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from flax_glitch.arrays import Samples
from flax_glitch.files import printable

MAX_SAMPLES = 4096 * 16384
"""Samples read at most: GWOSC's largest file, 4,096 s at 16,384 Hz."""

MAX_VALUE = 1000
"""Bytes of a value that says when a file begins or of which detector it is, at most."""

MAX_TEXT_BYTES = 1_000_000_000
"""A larger text file is refused unread."""

MAX_HEADER_LINES, MAX_LINE = 100, 1000
"""The numbers of a text file begin within so many lines, of so many letters at most."""

GWF_STRAIN = re.compile("strain|hoft", re.IGNORECASE)
"""In the names of channels such as H1:GDS-CALIB_STRAIN and V1:Hrec_hoft_16384Hz."""


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


@dataclass(frozen=True)
class Recording:
    """Samples that can be sliced, in a file or in memory, and what the file says of them."""

    samples: Any
    start: float | None = None
    """GPS seconds."""
    sample_rate: float | None = None
    """Hz."""
    detector: str | None = None


@contextmanager
def one_line(name: str) -> Iterator[None]:
    """Says in one line what is wrong with a file, whatever it is called and whoever noticed."""
    try:
        yield
    except StrainError as error:
        raise type(error)(printable(str(error)), error.cure) from None
    except (TypeError, ArithmeticError):
        said = f"{name}: its start, sample rate or detector isn't one that makes sense; check it"
        raise StrainError(printable(said)) from None
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error or type(error).__name__
        said = f"{name}: can't be read ({reason}); check the file"
        raise StrainError(printable(said)) from None


@contextmanager
def open_recording(path: Path) -> Iterator[Recording]:
    """Opens a file of strain, whose format is told by its content."""
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith(b"\x89HDF"):
        with h5py.File(path) as hdf5:
            yield gwosc_layout(hdf5, str(path))
    elif head.startswith(b"\x93NUMPY"):
        yield Recording(np.load(path, mmap_mode="r", allow_pickle=False))
    elif head.startswith(b"IGWD"):
        yield _gwf(path)
    elif head and b"\0" not in head:
        yield _text(path)
    else:
        raise StrainError(
            f"{path}: holds {'something else' if head else 'nothing'}; give HDF5 as from GWOSC, "
            ".npy, .gwf, or text with a column of strain"
        )


def gwosc_layout(file: h5py.File, name: str) -> Recording:
    """Returns the strain in an open HDF5 file, laid out as GWOSC's ("What's in a data file?")."""
    samples = _inside(file, "strain/Strain")
    if samples is None:
        raise StrainError(f"{name}: has no data set strain/Strain; give a file as from GWOSC")
    # A chunk is decompressed as a whole.
    if math.prod(samples.chunks or ()) > MAX_SAMPLES:
        raise StrainError(f"{name}: has chunks of {samples.chunks} samples; write smaller ones")
    gps_start, detector = _one(file, "meta/GPSstart", name), _one(file, "meta/Detector", name)
    start = samples.attrs.get("Xstart", None if gps_start is None else gps_start[()])
    spacing = samples.attrs.get("Xspacing")
    return Recording(
        samples,
        start=None if start is None else float(start),
        sample_rate=None if spacing is None else round(1 / float(spacing), 6),
        detector=None if detector is None else detector.asstr()[()],
    )


def _one(file: h5py.File, name: str, path: str) -> h5py.Dataset | None:
    """A data set of one value: a small file can say that it holds more than fits into memory."""
    dataset = _inside(file, name)
    if dataset is not None and dataset.size * dataset.dtype.itemsize > MAX_VALUE:
        raise StrainError(f"{path}: has a {name} of {dataset.size:,} values; give one")
    return dataset


def _inside(file: h5py.File, name: str) -> h5py.Dataset | None:
    """A data set of the file itself: a link can lead to any other file of the machine."""
    links = (file.get(part, getlink=True) for part in (name.split("/")[0], name))
    if not all(isinstance(link, h5py.HardLink) for link in links):
        return None
    dataset = file[name]
    own = isinstance(dataset, h5py.Dataset) and not dataset.is_virtual and not dataset.external
    return dataset if own else None


def _gwf(path: Path) -> Recording:
    try:
        from gwpy.io.gwf import get_channel_names
        from gwpy.timeseries import TimeSeries

        names = [name for name in get_channel_names(path) if GWF_STRAIN.search(name)]
    except ImportError:
        raise StrainError(
            f"{path}: .gwf files need more packages: pip install 'flax-glitch[gwf]'"
        ) from None
    if not names:
        raise StrainError(f"{path}: has no channel called strain or hoft; give a file with one")
    channel = min(names, key=len)  # not GDS-CALIB_STRAIN_CLEAN, where there is GDS-CALIB_STRAIN
    series = TimeSeries.read(path, channel, format="gwf")
    rate = float(series.sample_rate.value)
    return Recording(series.value, float(series.t0.value), rate, channel.split(":")[0])


def _text(path: Path) -> Recording:
    if path.stat().st_size > MAX_TEXT_BYTES:
        raise StrainError(
            f"{path}: has more than {MAX_TEXT_BYTES:,} bytes of text; give it as .npy or HDF5"
        )
    with path.open(encoding="utf-8") as file:
        lines = [file.readline(MAX_LINE) for _ in range(MAX_HEADER_LINES)]
    header = next((number for number, line in enumerate(lines) if _numbers(line)), None)
    if header is None:
        raise StrainError(f"{path}: has no numbers in its first {MAX_HEADER_LINES} lines")
    columns = len(_numbers(lines[header]))
    if columns > 2:
        raise StrainError(f"{path}: has {columns} columns; give strain, or GPS time and strain")
    comma, most = "," if "," in lines[header] else None, MAX_SAMPLES + 1
    table = np.loadtxt(path, delimiter=comma, skiprows=header, ndmin=2, max_rows=most)
    return Recording(table[:, -1], *(_clock(path, table[:, 0]) if columns == 2 else ()))


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
