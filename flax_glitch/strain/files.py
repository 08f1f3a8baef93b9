"""Strain out of files, and the block of it around an event that the Q-transform wants."""

import io
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import h5py
import numpy as np
from jaxtyping import Bool, Float

from flax_glitch.arrays import Samples
from flax_glitch.files import printable
from flax_glitch.strain.channels import DETECTOR, StrainError, detector_of
from flax_glitch.strain.formats import MAX_SAMPLES, Recording, in_hdf5, one_line, open_recording
from flax_glitch.strain.quality import Flag, worded
from flax_glitch.strain.whitening import SAMPLE_RATE
from flax_glitch.times import to_gps

RATES = (2048, 65536)
"""Hz: the least, of which a picture shows half its height and more, and the most."""

FULL_RATE = 4096
"""Hz; strain sampled more slowly doesn't hold all that a picture shows, up to 2048 Hz."""

SIZES = (1e-30, 1e12)
"""Absolute value of the greatest sample, at least and at most: strain, whitened strain, counts."""

LENGTHS = (64, 32, 16, 8)
"""Seconds that a block may last: few, so that the transform is compiled for few shapes."""

NEAR = 3.0
"""Seconds needed before and after an event: 2 are drawn, and in 1 at the ends whitening fades."""

STUCK = 0.1
"""Seconds without any change that are no data: some files mark gaps by zeros."""

Value = TypeVar("Value", float, str)

Span = tuple[float | int, float | int]
"""Two GPS times, seconds."""


@dataclass(frozen=True)
class Strain:
    """Strain of one detector, evenly sampled, NaN where there is no data."""

    values: Samples
    start: float
    """GPS seconds of the first sample."""
    sample_rate: float
    """Hz, a whole number."""
    detector: str
    """Such as H1."""
    channel: str | None = None
    """The channel or data set that it was read from, where a file has names."""
    flags: tuple[Flag, ...] | None = None
    """Where it is flagged, None if nothing is known of it."""

    @property
    def duration(self) -> float:
        """Seconds from the first sample to the one that would follow the last."""
        return len(self.values) / self.sample_rate

    @property
    def end(self) -> float:
        """GPS seconds of the sample that would follow the last."""
        return self.start + self.duration

    def flagged(self, gps: float) -> tuple[str, ...] | None:
        """Returns what is amiss with the data at a GPS time, None if nothing is known of it."""
        low = self.sample_rate < FULL_RATE
        known = None if self.flags is None else worded(self.flags, gps)
        return (*(known or ()), f"nothing above {self.sample_rate / 2:.0f} Hz") if low else known

    def __str__(self) -> str:
        return f"{self.detector}'s strain of GPS {self.start:.12g} to {self.end:.12g}"


def read_strain(
    path: Path,
    *,
    detector: str | None = None,
    channel: str | None = None,
    gps_start: float | str | datetime | None = None,
    sample_rate: float | None = None,
    around: Span | None = None,
) -> Strain:
    """Returns the strain in a file, whose format is told by its content.

    Args:
        path: HDF5 in the layout of GWOSC, GWpy or PyCBC; .npy; text with a column of strain, or
            with two, GPS time and strain; .gwf where the extra `gwf` is installed.
        detector: such as H1, where neither the file nor its name says it, or where the file has
            several.
        channel: the one that is the strain, where the file has several that may be.
        gps_start: time of the first sample, GPS seconds or UTC, where the file doesn't say it.
        sample_rate: Hz, where the file doesn't say it.
        around: two GPS times; only what lies between them is read, as far as there is any.

    Raises:
        StrainError: if the file can't be used or contradicts what is given.
    """
    try:
        start = None if gps_start is None else to_gps(gps_start)
    except ValueError as error:
        raise StrainError(printable(f"{path}: its start: {error}")) from None
    detector = detector and detector.strip().upper()
    given = Recording(None, start, sample_rate, detector)
    with one_line(str(path)), open_recording(path, detector, channel) as recording:
        if not recording.detector and not detector:
            recording = replace(recording, detector=detector_of(path.name))
        return _strain(recording, given, str(path), around)


@runtime_checkable
class Series(Protocol):
    """A series in time as GWpy's `TimeSeries`, which needn't be installed."""

    value: Any
    t0: Any
    """With a unit of time."""
    sample_rate: Any
    """With a unit of frequency."""
    name: Any
    channel: Any


def strain_of(series: Strain | Series, gps: float, detector: str | None = None) -> Strain:
    """Returns strain as it is, and of a series what lies near a GPS time.

    Raises:
        StrainError: if it can't be used, or nothing tells its detector.
    """
    if isinstance(series, Strain):
        return series
    channel = str(series.channel or series.name or "")
    start, rate = float(series.t0.to("s").value), float(series.sample_rate.to("Hz").value)
    found = Recording(series.value, start, round(rate, 6), detector_of(channel), channel or None)
    around = gps - LENGTHS[0], gps + LENGTHS[0]
    with one_line("time series"):
        return _strain(found, Recording(None, detector=detector), "time series", around)


def read_hdf5(file: io.RawIOBase, name: str, around: Span) -> Strain:
    """Reads what lies between two GPS times, and no more, of an open file of GWOSC's layout."""
    with one_line(name), h5py.File(file) as hdf5:
        return _strain(in_hdf5(hdf5, name), Recording(None), name, around)


def join(parts: Sequence[Strain], span: Span) -> Strain:
    """Returns strain of one rate and channel from one time to another, NaN where no part is.

    Of parts that overlap, the first counts.
    """
    first = parts[0]
    values = np.full(round((span[1] - span[0]) * first.sample_rate), np.nan)
    for part in reversed(parts):
        begin = round((part.start - span[0]) * first.sample_rate)
        values[begin : begin + len(part.values)] = part.values
    told = [part.flags for part in parts if part.flags is not None]
    flags = tuple(itertools.chain.from_iterable(told)) if told else None
    return replace(first, values=values, start=float(span[0]), flags=flags)


def block(strain: Strain, gps: float) -> tuple[Samples, float]:
    """Returns the strain about an event at `SAMPLE_RATE`, and the event's place in it, seconds.

    It lasts the longest of `LENGTHS` that is there without a gap, and has the event in its middle
    unless an edge or a gap is near.

    Raises:
        StrainError: if the strain doesn't do for a picture of that event.
    """
    rate = strain.sample_rate
    if not RATES[0] <= rate <= RATES[1]:
        raise StrainError(
            f"{strain} has {rate:.0f} samples a second; give strain of {RATES[0]} to {RATES[1]} Hz"
        )
    if not strain.start <= gps < strain.end:
        raise StrainError(f"{strain} doesn't hold GPS {gps}; give a time inside it")
    event = gps - strain.start
    first, last = _gap_free(strain, event)
    size = int(rate * next((length for length in LENGTHS if length * rate <= last - first), 0))
    if not size:
        raise StrainError(
            f"{strain} has {(last - first) / rate:.2f} s without a gap about GPS {gps}; "
            f"a picture needs {LENGTHS[-1]} s: give a longer file"
        )
    begin = min(max(round(event * rate) - size // 2, first), last - size)
    values = strain.values[begin : begin + size]
    return _resampled(values, int(rate)), event - begin / rate


def _gap_free(strain: Strain, event: float) -> tuple[int, int]:
    """First and last sample (exclusive) of the stretch without a gap that holds the event."""
    rate, missing = strain.sample_rate, _missing(strain)
    near = slice(max(0, int((event - NEAR) * rate)), math.ceil((event + NEAR) * rate))
    if missing[near].any():
        gap = _run(missing, near.start + int(missing[near].argmax()))
        begin, end = (strain.start + sample / rate for sample in gap)
        raise StrainError(
            f"{strain} has no data from GPS {begin:.12g} to {end:.12g}, within {NEAR:.0f} s of "
            f"GPS {strain.start + event:.12g}; choose another time"
        )
    first, last = _run(missing, int(event * rate))
    before, after = event - first / rate, last / rate - event
    if min(before, after) < NEAR:
        raise StrainError(
            f"{strain} has {before:.2f} s before GPS {strain.start + event:.12g} and {after:.2f} s "
            f"after it; a picture needs {NEAR:.0f} s of both: give a file that goes further"
        )
    return first, last


def _missing(strain: Strain) -> Bool[np.ndarray, " sample"]:
    """True where there is no data: NaN, or a value that stays for `STUCK` seconds."""
    missing = np.isnan(strain.values)
    changes = np.flatnonzero(np.diff(strain.values, prepend=np.nan, append=np.nan) != 0)
    for run in np.flatnonzero(np.diff(changes) >= STUCK * strain.sample_rate):
        missing[changes[run] : changes[run + 1]] = True
    return missing


def _run(missing: Bool[np.ndarray, " sample"], sample: int) -> tuple[int, int]:
    """First and last sample (exclusive) of the gap, or of the data, that a sample belongs to."""
    edges = np.flatnonzero(np.diff(missing, prepend=~missing[0], append=~missing[-1]))
    after = np.searchsorted(edges, sample, side="right")
    return int(edges[after - 1]), int(edges[after])


def _resampled(values: Samples, rate: int) -> Float[np.ndarray, " resampled"]:
    """At `SAMPLE_RATE`, without what that can't hold."""
    from scipy.signal import resample_poly  # here, because it takes half a second

    ratio = Fraction(SAMPLE_RATE, rate)
    # Drawn on along a line: zeros beyond the edges would make a step of them.
    values = resample_poly(values, ratio.numerator, ratio.denominator, padtype="line")
    return values + _hiss(values, rate) if rate < FULL_RATE else values


def _hiss(values: Samples, rate: int) -> Samples:
    """Even noise above what the rate can hold, as strong as the median just below.

    Whitening would make the loudest there of what rounding leaves.
    """
    waves = np.abs(np.fft.rfft(values * np.hanning(len(values)))) / np.sqrt(3 / 8)
    hertz = np.fft.rfftfreq(len(values), 1 / SAMPLE_RATE) / rate
    level = np.median(waves[(hertz > 0.35) & (hertz < 0.45)]) / np.sqrt(np.log(2))
    noise = np.fft.rfft(np.random.default_rng(0).standard_normal(len(values)))
    return np.fft.irfft(noise * (hertz > 0.45) * level / np.sqrt(len(values)))


def _strain(recording: Recording, given: Recording, name: str, around: Span | None) -> Strain:
    start = _agreed(name, "start", given.start, recording.start)
    rate = _agreed(name, "sample rate", given.sample_rate, recording.sample_rate)
    detector = _agreed(name, "detector", given.detector, recording.detector)
    if not (0 <= start < math.inf and 0 < rate <= RATES[1] and rate % 1 == 0):
        raise StrainError(
            f"{name}: starts at GPS {start} and has {rate} samples a second; "
            f"give positive numbers, the second a whole one, {RATES[1]} at most"
        )
    if not DETECTOR.fullmatch(detector):
        raise StrainError(f"{name}: is of detector {detector!r}; give H1, L1, V1, K1 or G1")
    part = _part(recording.samples, start, rate, name, around)
    values = np.array(recording.samples[part], np.float64)
    if np.isinf(values).any():
        first = start + (part.start + int(np.isinf(values).argmax())) / rate
        raise StrainError(f"{name}: is infinite at GPS {first:.12g}; mark missing data by NaN")
    most = np.max(np.abs(values), initial=0, where=~np.isnan(values))
    if most and not SIZES[0] <= most <= SIZES[1]:
        raise StrainError(
            f"{name}: its greatest value is {most:.3g}, which no strain has; check it"
        )
    channel = recording.channel and printable(recording.channel)
    begin = start + part.start / rate
    return Strain(values, begin, rate, detector, channel, recording.flags)


def _agreed(name: str, what: str, given: Value | None, found: Value | None) -> Value:
    """What the user or the file says of it, who mustn't contradict each other."""
    if given is not None and found is not None and given != found:
        raise StrainError(
            f"{name}: the {what} is {found} by the file, and {given} was given", f"correct {what}"
        )
    known = found if given is None else given
    if known is None:
        raise StrainError(f"{name}: doesn't say its {what}", f"give {what}")
    return known


def _part(samples: Any, start: float, rate: float, name: str, around: Span | None) -> slice:
    """Which samples to read."""
    known = samples.dtype.kind == "f" or samples.dtype in (np.int16, np.int32)
    if samples.ndim != 1 or not known or not len(samples):
        raise StrainError(
            f"{name}: holds {samples.dtype} of shape {samples.shape}; give floating-point numbers, "
            "int16 or int32 in one dimension"
        )
    first, last, end = 0, len(samples), start + len(samples) / rate
    if around is not None:
        if not (around[0] < end and around[1] > start):
            raise StrainError(
                f"{name}: holds GPS {start:.12g} to {end:.12g}, nothing from GPS {around[0]:.12g} "
                f"to {around[1]:.12g}; give a time inside it"
            )
        first = math.floor(max((around[0] - start) * rate, 0))
        last = math.ceil(min((around[1] - start) * rate, last))
    if last - first > MAX_SAMPLES:
        raise StrainError(
            f"{name}: has {last - first:,} samples, more than {MAX_SAMPLES:,}; cut it"
        )
    return slice(first, last)
