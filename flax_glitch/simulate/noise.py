"""LIGO's noise in its first two observing runs, as strain and whitened; what whitening does."""

import numpy as np
from jaxtyping import Float

from flax_glitch.simulate.shapes import FREQUENCIES, TIMES, Wave, band_noise, between, step, wander
from flax_glitch.strain.whitening import SAMPLE_RATE, WHITENING

Band = tuple[float, float]
"""Lowest and highest frequency (Hz)."""

LINES = {
    "H1": (
        (35.9, 30.0), (36.7, 40.0), (60.0, 60.0), (120.0, 8.0), (180.0, 12.0), (300.0, 6.0),
        (331.9, 30.0), (502.7, 300.0), (505.8, 250.0), (1007.0, 60.0), (1083.7, 20.0),
        (1484.0, 40.0), (1922.0, 30.0),
    ),
    "L1": (
        (33.7, 30.0), (34.7, 40.0), (60.0, 40.0), (120.0, 6.0), (180.0, 8.0), (331.3, 30.0),
        (511.0, 200.0), (516.0, 250.0), (1016.0, 60.0), (1083.1, 20.0), (1459.0, 40.0),
        (1500.0, 30.0),
    ),
}  # fmt: skip
"""Frequency (Hz) and height over the noise of mains, calibration and violin-mode lines, rounded
from the published O1 spectra (Martynov et al. 2016, Phys. Rev. D 93 112004)."""

SPECTRUM_ERROR = 0.08
"""Relative error of an amplitude that is the median of the 63 windows of 2 s in 64 s."""

LINE_WIDTH = 0.5
"""Hz: standard deviation of a line seen through a Hann window of 2 s."""


def asd(detector: str, frequency: Float[np.ndarray, " bin"]) -> Float[np.ndarray, " bin"]:
    """Returns an amplitude spectral density like that of O1, strain per square root of Hz.

    Seismic wall, thermal and shot noise as power laws (after Martynov et al. 2016, figure 1), with
    lines a tenth of a Hz wide. Below 8 Hz it is level, as published strain is filtered there.
    """
    f = np.maximum(frequency, 8.0)
    seismic = (8e-21 if detector == "H1" else 1.2e-20) * (10 / f) ** 10.0
    thermal = 4e-23 * (40 / f) ** 2.2
    shot = 7e-24 * np.sqrt(1 + (f / 300) ** 2)
    smooth = np.sqrt(seismic**2 + thermal**2 + shot**2)
    lines = sum(height / (1 + ((f - line) / 0.1) ** 2) for line, height in LINES[detector])
    return smooth * (1 + lines)


def coloured(
    rng: np.random.Generator, detector: str, seconds: int, sample_rate: int = SAMPLE_RATE
) -> Float[np.ndarray, " sample"]:
    """Returns stationary Gaussian strain with a detector's spectrum."""
    count = seconds * sample_rate
    spectrum = np.fft.rfft(rng.normal(size=count))
    density = asd(detector, np.fft.rfftfreq(count, 1 / sample_rate))
    return np.fft.irfft(spectrum * density, count) * np.sqrt(sample_rate / 2)


def background(rng: np.random.Generator, detector: str, dark: Band | None = None) -> Wave:
    """Returns whitened noise as it is seen behind glitches: white, and a little more.

    What whitening by a median spectrum leaves over is added: the level at low frequency, which
    wanders within seconds, and now and then a line that swells and fades. A band may be dark: what
    comes again and again raises the median that the noise is divided by.
    """
    high = rng.uniform(20, 60)
    gain = dimmed((0.0, high), rng.uniform(0.75, 1.0))
    if dark:
        gain *= dimmed(dark, rng.uniform(0.55, 0.95))
    noise = np.fft.irfft(np.fft.rfft(rng.normal(size=len(TIMES))) * gain)
    level = np.sqrt((high - 9) / (SAMPLE_RATE / 2)) * min(rng.gamma(1.2, 0.25), 1.0)
    swell = np.exp(0.7 * wander(rng, rng.uniform(0.3, 2.0))).clip(max=2.0)
    noise += level * swell * band_noise(rng, 9.0, high)
    if rng.random() < 0.4:
        line, _ = LINES[detector][rng.integers(len(LINES[detector]))]
        swell = np.exp(0.8 * wander(rng, rng.uniform(0.5, 4.0)) - 0.5).clip(max=1.5)
        noise += 0.015 * swell * band_noise(rng, line - 0.5, line + 0.5)
    return noise


def dimmed(dark: Band, share: float) -> Float[np.ndarray, " bin"]:
    """Returns the gain that leaves a share of what lies in a band."""
    low, high = dark
    inside = step((FREQUENCIES - low) / 8) * step((high - FREQUENCIES) / 8)
    return 1 - (1 - share) * inside


def whitening(rng: np.random.Generator) -> Float[np.ndarray, " bin"]:
    """Returns the gain of a whitening filter over that of the noise without lines.

    It is low at lines, the known ones and a few more, and wrong by chance elsewhere. It is given at
    multiples of 1 / `WHITENING` Hz.
    """
    count = WHITENING * SAMPLE_RATE
    frequency = np.fft.rfftfreq(count, 1 / SAMPLE_RATE)
    gain = np.exp(SPECTRUM_ERROR * rng.normal(size=len(frequency)))
    known = LINES[str(rng.choice(list(LINES)))]
    minor = [(between(rng, 15.0, 600.0), between(rng, 0.3, 10.0)) for _ in range(4)]
    for line, height in (*known, *minor):
        seen = height * between(rng, 0.05, 1.0)
        gain /= 1 + seen * np.exp(-0.5 * ((frequency - line) / LINE_WIDTH) ** 2)
    return gain


def rung(rng: np.random.Generator, wave: Wave) -> Wave:
    """Returns a wave as it is after whitening: the filter reaches 1 s to either side of it.

    It is cut there by a Hann window, or more sharply as in some real pictures.
    """
    response = np.fft.fftshift(np.fft.irfft(whitening(rng)))
    response *= np.hanning(len(response)) ** between(rng, 0.1, 1.0)
    padded = np.zeros(len(wave))
    padded[: len(response)] = response
    padded = np.roll(padded, -len(response) // 2)
    return np.fft.irfft(np.fft.rfft(wave) * np.fft.rfft(padded))
