"""What whitening by a measured spectrum does to a burst: it rings at lines, and leaves speckles."""

import numpy as np
from jaxtyping import Float

from flax_glitch.simulate.noise import LINES
from flax_glitch.simulate.shapes import Wave, between
from flax_glitch.strain.whitening import SAMPLE_RATE, WHITENING

SPECTRUM_ERROR = 0.08
"""Relative error of an amplitude that is the median of the 63 windows of 2 s in 64 s."""

LINE_WIDTH = 0.5
"""Hz: standard deviation of a line seen through a Hann window of 2 s."""


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
