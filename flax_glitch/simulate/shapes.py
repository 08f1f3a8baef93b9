"""What glitches are made of: whitened waveforms on one clock, in units of the noise.

Noise has variance 1 in every sample, so that the sum of a waveform's squares is the square of its
optimal signal-to-noise ratio.
"""

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from flax_glitch.strain.whitening import SAMPLE_RATE

SECONDS = 16
"""Length of a waveform. The event is in its middle."""

TIMES = np.arange(SECONDS * SAMPLE_RATE) / SAMPLE_RATE - SECONDS / 2
"""Seconds from the event."""

FREQUENCIES = np.fft.rfftfreq(len(TIMES), 1 / SAMPLE_RATE)
"""Hz; of a waveform's Fourier transform."""

Wave = Float[np.ndarray, " sample"]
"""Whitened strain at `TIMES`."""

Number = float | int
"""What families draw; run-time checks take no integer for a float."""


def scaled(wave: Wave, snr: Number) -> Wave:
    """Returns a waveform of that signal-to-noise ratio."""
    return wave * (snr / np.sqrt(np.sum(wave**2)))


def bump(time: Number, width: Number) -> Wave:
    """Returns a Gaussian envelope of height 1; the width is its standard deviation in seconds."""
    return np.exp(-0.5 * ((TIMES - time) / width) ** 2)


def sine_gaussian(frequency: Number, q: Number, time: Number = 0.0) -> Wave:
    """Returns a burst of a frequency (Hz) and quality factor (Chatterji 2005, eq. 5.1)."""
    width = q / (2 * np.pi * frequency) / np.sqrt(2)
    return bump(time, width) * np.cos(2 * np.pi * frequency * (TIMES - time))


def pulse(
    rng: np.random.Generator, frequency: Number, rise: Number, fall: Number, time: Number = 0.0
) -> Wave:
    """Returns a pulse of any phase whose parts all arrive at once, a teardrop in a Q-transform.

    Its spectrum rises as f^rise below the frequency (Hz), and falls as 1 / f^fall above it.
    """
    ratio = np.maximum(FREQUENCIES, 1.0) / frequency
    amplitude = 1 / (ratio**-rise + ratio**fall)
    wave = np.fft.irfft(amplitude * np.exp(1j * angle(rng)), len(TIMES))
    return delayed(wave, time - TIMES[0])


def delayed(wave: Wave, seconds: Number) -> Wave:
    """Returns a waveform so much later; what leaves at one end comes back at the other."""
    return np.roll(wave, round(seconds * SAMPLE_RATE))


def tone(frequency: Wave, amplitude: Wave | Number = 1.0, phase: Number = 0.0) -> Wave:
    """Returns a wave whose frequency (Hz) changes as given."""
    return amplitude * np.sin(2 * np.pi * np.cumsum(frequency) / SAMPLE_RATE + phase)


def wander(rng: np.random.Generator, scale: Number) -> Wave:
    """Returns a smooth random line of variance 1 that changes within `scale` seconds."""
    step = max(1, round(scale * SAMPLE_RATE / 8))
    count = len(TIMES) // step + 2
    smooth = gaussian_filter1d(rng.normal(size=count + 64), 8 / 2)[32 : 32 + count]
    smooth = smooth / np.sqrt(1 / (2 * np.sqrt(np.pi) * 8 / 2))
    return np.interp(np.arange(len(TIMES)) / step, np.arange(count), smooth)


def band_noise(rng: np.random.Generator, low: Number, high: Number) -> Wave:
    """Returns Gaussian noise of variance 1 between two frequencies (Hz), with soft edges."""
    edge = max(0.1 * (high - low), 2 / SECONDS)
    shape = step((FREQUENCIES - low) / edge) * step((high - FREQUENCIES) / edge)
    spectrum = rng.normal(size=(2, len(FREQUENCIES))) * shape
    wave = np.fft.irfft(spectrum[0] + 1j * spectrum[1], len(TIMES))
    return wave / np.sqrt(np.sum(shape**2) * 4 / len(TIMES) ** 2)


def step(place: Float[np.ndarray, " place"]) -> Float[np.ndarray, " place"]:
    """Returns a soft step from 0, well before place 0, to 1, well after it."""
    return 0.5 + 0.5 * np.tanh(place)


def angle(rng: np.random.Generator) -> float:
    """Returns a phase, any as likely as another."""
    return float(rng.uniform(0, 2 * np.pi))


def between(rng: np.random.Generator, low: Number, high: Number) -> float:
    """Returns a number drawn evenly on a logarithmic scale."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def from_quantiles(
    rng: np.random.Generator, quantiles: tuple[float, float, float, float, float]
) -> float:
    """Returns a positive number whose 5, 25, 50, 75 and 95 % quantiles are as given.

    Numbers are drawn between the first and the last.
    """
    shares = (0.05, 0.25, 0.5, 0.75, 0.95)
    return float(np.exp(np.interp(rng.uniform(0.05, 0.95), shares, np.log(quantiles))))
