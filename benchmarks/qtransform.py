"""Our Q-scan beside GWpy's: the plane, the energies and the time it takes.

    python benchmarks/qtransform.py                      simulated noise with a glitch, 64 s
    python benchmarks/qtransform.py H-H1_*.hdf5 --gps 1126259462.4

GWpy is asked for what Gravity Spy asks it for: four windows of strain at 16,384 Hz, one call each;
of a file, for the energies, at the rate of ours, since a file of 4 kHz holds nothing higher. Calls
of both are timed in turn, after one of each that isn't; a glitch is four pictures, resampling of
the strain included. The pace is that of two threads, as when a table of triggers is worked off.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from gwpy.timeseries import TimeSeries
from scipy.interpolate import RegularGridInterpolator
from scipy.signal import resample_poly

from flax_glitch.classes import DURATIONS
from flax_glitch.simulate.noise import coloured
from flax_glitch.strain.files import Strain, block, read_strain
from flax_glitch.strain.picture import MOST, scan
from flax_glitch.strain.qtransform import AXES_WIDTH, COLUMNS, pixel_frequencies
from flax_glitch.strain.tiling import FREQUENCIES
from flax_glitch.strain.whitening import SAMPLE_RATE

RATE = 16384
"""Hz: that of Gravity Spy's strain."""


def main() -> None:
    """Prints agreement and speed for each file, or for simulated strain."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--gps", type=float, default=None)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.files:
        cases = {file.name: (read_strain(file), options.gps) for file in options.files}
    else:
        cases = {f"simulated {seed}": (simulated(seed), 32.0123) for seed in range(3)}
    for name, (strain, gps) in cases.items():
        compare(name, strain, gps, options.rounds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"greatest memory of the process, GWpy's included: {peak:.0f} MB")


def simulated(seed: int) -> Strain:
    """Returns a minute of noise like Livingston's with a short burst in it."""
    rng = np.random.default_rng(seed)
    values = coloured(rng, "L1", 64, RATE)
    times = np.arange(len(values)) / RATE - 32.0123
    values += 4e-21 * np.exp(-((times / 0.01) ** 2)) * np.cos(2 * np.pi * 150 * times)
    return Strain(values, 0.0, float(RATE), "L1")


def compare(name: str, strain: Strain, gps: float, rounds: int) -> None:
    """Prints how far the energies are apart and how long both take."""
    samples, event = block(strain, gps)
    values = resample_poly(strain.values, RATE, round(strain.sample_rate))
    series, place = TimeSeries(values, sample_rate=RATE), gps - strain.start
    ours = scan(strain, gps)
    if strain.sample_rate == RATE:
        theirs, middle = gwpy_scan(series, place, DURATIONS[-1]), place
    else:
        at_our_rate = TimeSeries(samples, sample_rate=SAMPLE_RATE)
        theirs, middle = gwpy_scan(at_our_rate, event, DURATIONS[-1]), event
    same = np.isclose(ours.q, theirs.q, rtol=1e-4)
    print(f"{name}: Q {ours.q:.2f}, GWpy's {theirs.q:.2f}{'' if same else ' ANOTHER PLANE'}")
    for duration, energies in zip(DURATIONS, ours.energies, strict=True):
        apart = np.abs(energies.clip(0, MOST) - on_pixels(theirs, middle, duration).clip(0, MOST))
        print(
            f"  {duration} s: apart {np.percentile(apart, 99):.3f} (99th percentile), "
            f"{apart.mean():.3f} (mean), {apart.max():.2f} (greatest), of {MOST}"
        )
    alone, together, gwpy = [], [], []
    for _ in range(rounds):
        alone.append(seconds(lambda: scan(strain, gps)))
        with ThreadPoolExecutor(2) as threads:
            together.append(
                seconds(lambda: list(threads.map(lambda _: scan(strain, gps), range(16))))
            )
        gwpy.append(seconds(lambda: [gwpy_scan(series, place, length) for length in DURATIONS]))
    other, one, many = map(statistics.median, (gwpy, alone, together))
    print(
        f"  GWpy {other:.2f} s a glitch; ours alone {one * 1e3:.0f} ms, {other / one:.0f} times as "
        f"fast; ours two at a time {16 / many:.1f} a second, {other * 16 / many:.0f} times as fast "
        f"(medians of {rounds})"
    )


def gwpy_scan(series: TimeSeries, gps: float, duration: float) -> TimeSeries:
    """Returns GWpy's Q-scan of one window, with Gravity Spy's settings."""
    half = duration / 2
    return series.q_transform(
        qrange=(4, 64), frange=FREQUENCIES, gps=gps, search=0.5, tres=0.002, fres=0.5,
        outseg=(gps - half, gps + half), whiten=True,
    )  # fmt: skip


def on_pixels(theirs: TimeSeries, gps: float, duration: float) -> np.ndarray:
    """Returns GWpy's energies where our pixels are."""
    known = (np.asarray(theirs.times), np.asarray(theirs.frequencies))
    energies = RegularGridInterpolator(known, np.asarray(theirs), "linear", False, None)
    frequency = pixel_frequencies(*FREQUENCIES)
    times = gps + duration * ((np.arange(COLUMNS) + 1.5) / AXES_WIDTH - 0.5)
    return energies(tuple(np.meshgrid(times, frequency)))


def seconds(call: Callable[[], object]) -> float:
    """Returns the time that a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
