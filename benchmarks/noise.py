"""How like the noise of real detectors the simulated background is, band by band.

    python benchmarks/noise.py DATA/{noise,strain}/*.hdf5 --out noise.md

Whitens real stretches, and draws as many seconds of simulated background. For each band of
frequency it writes the power over white noise's, in quiet seconds (the median of pieces of 0.25 s)
and on the whole; the drift, which is the spread of the logarithm of the power of 2 s (white noise
has it by chance, which is taken off); and the excess kurtosis within 2 s, 0 for Gaussian noise.
"""

import argparse
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float

from flax_glitch.simulate.noise import background
from flax_glitch.strain.files import block, read_strain
from flax_glitch.strain.whitening import SAMPLE_RATE, whiten

BANDS = ((10, 20), (20, 35), (35, 60), (60, 150), (150, 400), (400, 1000), (1000, 1600))
"""Hz. Strain of 4,096 Hz reaches no further."""

STRETCHES = 12
"""Simulated backgrounds of 16 s, half of each detector."""


def main() -> None:
    """Writes and prints the table; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("strain", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    lines = ["| noise | band, Hz | quiet | whole | drift | kurtosis |", "|---|---|---|---|---|---|"]
    waves = [whitened(path) for path in given.strain]
    for name, some in (("real", waves), ("simulated", drawn())):
        for band in BANDS:
            each = np.array([measured(wave, band) for wave in some])
            cells = [f"{m:.2f} ({a:.2f} to {b:.2f})" for m, a, b in spread(each)]
            lines.append(f"| {name} | {band[0]} to {band[1]} | {' | '.join(cells)} |")
    text = "\n".join(lines)
    given.out.write_text(f"{text}\n")
    print(text)


def spread(each: np.ndarray) -> Float[np.ndarray, "number 3"]:
    """Returns the median, least and greatest of each column."""
    return np.stack([np.median(each, 0), each.min(0), each.max(0)], axis=1)


def whitened(path: Path) -> Float[np.ndarray, " sample"]:
    """Returns a file's strain whitened, without what fades at its ends."""
    strain = read_strain(path)
    samples, _ = block(strain, strain.start + strain.duration / 2)
    with jax.enable_x64(True):
        wave = np.fft.irfft(np.asarray(whiten(np.asarray(samples))))
    return wave[2 * SAMPLE_RATE : -2 * SAMPLE_RATE]


def drawn() -> list[Float[np.ndarray, " sample"]]:
    """Returns simulated backgrounds."""
    return [
        background(np.random.default_rng(number), ("H1", "L1")[number % 2])
        for number in range(STRETCHES)
    ]


def measured(wave: Float[np.ndarray, " sample"], band: tuple[int, int]) -> list[float]:
    """Returns quiet and whole power over white noise's, drift and kurtosis of a band."""
    frequency = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE)
    inside = (frequency >= band[0]) & (frequency < band[1])
    part = np.fft.irfft(np.fft.rfft(wave) * inside, len(wave))
    expected = 2 * inside.sum() / len(wave)
    quarters, pairs = (cut(part, seconds) for seconds in (0.25, 2))
    power = np.square(pairs).mean(1)
    chance = 1 / (2 * (band[1] - band[0]))  # variance of the logarithm: 2 over degrees of freedom
    drift = np.sqrt(max(np.log(power).var() - chance, 0))
    kurtosis = np.median((pairs**4).mean(1) / power**2 - 3)
    quiet, whole = np.median(np.square(quarters).mean(1)), np.mean(part**2)
    return [quiet / expected, whole / expected, drift, kurtosis]


def cut(wave: np.ndarray, seconds: float) -> Float[np.ndarray, "piece sample"]:
    """Returns a wave's pieces of that length; what is left over at the end falls away."""
    size = round(seconds * SAMPLE_RATE)
    return wave[: len(wave) // size * size].reshape(-1, size)


if __name__ == "__main__":
    main()
