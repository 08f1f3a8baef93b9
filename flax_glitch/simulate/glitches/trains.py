"""Glitches that are trains of pulses: Helix and Light_Modulation."""

import numpy as np
from jaxtyping import Float

from flax_glitch.simulate.shapes import (
    FREQUENCIES,
    SECONDS,
    TIMES,
    Wave,
    band_noise,
    between,
    from_quantiles,
    scaled,
    step,
    wander,
)
from flax_glitch.strain.whitening import SAMPLE_RATE

Spectrum = Float[np.ndarray, " bin"]


def helix(rng: np.random.Generator) -> Wave:
    """A few kicks by an auxiliary laser within 50 ms (Zevin et al. 2017), again and again.

    Their interference makes strands that part and meet, often with a blob near 130 Hz.
    """
    times = np.cumsum(between(rng, 0.15, 0.7) * rng.uniform(0.4, 1.6, size=41))
    times -= times[20]
    loudness = rng.uniform(0.5, 1.0, 41) * (np.abs(times) < between(rng, 0.5, 30.0))
    loudness[20] = 1.0
    kicks = int(rng.integers(3, 6))
    offsets = np.cumsum(rng.uniform(0.007, 0.018, kicks))
    heights = rng.uniform(0.3, 0.8, (kicks, 1)) * rng.choice((-1.0, 1.0), (kicks, 1))
    heights[rng.integers(kicks)] = 1.0
    response = band(between(rng, 14, 25), between(rng, 150, 450)) * tilt(rng.uniform(-0.4, 0.1))
    for overtone in (1, 2):
        centre = overtone * between(rng, 122, 138)
        peak = max(0.0, rng.uniform(-1.5, 1.5)) / overtone
        response += peak * np.exp(-0.5 * ((FREQUENCIES / centre - 1) / 0.17) ** 2)
    wave = pulses((times + offsets[:, None]).ravel(), (heights * loudness).ravel(), response)
    return wave * (from_quantiles(rng, (8.5, 9.5, 10.5, 12.0, 15.0)) / snr_near(wave, 0.08))


def light_modulation(rng: np.random.Generator) -> Wave:
    """Christmas trees of a radio-frequency modulator's noise: broad spikes, then debris below."""
    loudest = 1.3 * from_quantiles(rng, (9.2, 13.8, 17.5, 36.5, 81.2))
    times = np.append(0.0, rng.uniform(-2.2, 2.2, size=rng.poisson(2.0)))
    low, high = between(rng, 15, 35), between(rng, 120, 3000)
    response = band(low, high) * tilt(rng.uniform(-0.7, -0.1))
    debris = np.exp(wander(rng, 0.1)) * band_noise(rng, 9, between(rng, 16, 60))
    wave = np.zeros_like(TIMES)
    for number, time in enumerate(times):
        spikes = time + np.append(0.0, rng.exponential(0.02, size=rng.integers(0, 5))).cumsum()
        heights = rng.normal(size=len(spikes))
        snr = loudest * (1.0 if number == 0 else between(rng, 0.15, 0.9))
        wave += scaled(pulses(spikes, heights, response), snr)
        wave += scaled(_fading(rng, time) * debris, snr * between(rng, 0.5, 3.0))
    return wave


def _fading(rng: np.random.Generator, time: float) -> Wave:
    """Returns an envelope that rises at once and fades in a second."""
    after = TIMES - time - rng.uniform(0.0, 0.1)
    return step(after / 0.04) * np.exp(-np.maximum(after, 0) / between(rng, 0.1, 0.6))


def pulses(
    times: Float[np.ndarray, " pulse"], heights: Float[np.ndarray, " pulse"], response: Spectrum
) -> Wave:
    """Returns pulses at times (s), each with the same spectrum."""
    inside = np.abs(times) < SECONDS / 2 - 1
    places = np.round((times[inside] + SECONDS / 2) * SAMPLE_RATE).astype(int)
    kicks = np.bincount(places, heights[inside], len(TIMES))
    return np.fft.irfft(np.fft.rfft(kicks) * response, len(TIMES))


def band(low: float, high: float) -> Spectrum:
    """Returns a spectrum that is 1 between two frequencies (Hz), with soft edges."""
    f = np.maximum(FREQUENCIES, 1.0)
    return 1 / (1 + (low / f) ** 4) / (1 + (f / high) ** 3)


def tilt(power: float) -> Spectrum:
    """Returns a spectrum that follows a power of frequency, 1 at 100 Hz."""
    return (np.maximum(FREQUENCIES, 5.0) / 100) ** power


def snr_near(wave: Wave, seconds: float) -> float:
    """Returns the signal-to-noise ratio of what lies within seconds of the event."""
    return float(np.sqrt(np.sum(wave[np.abs(TIMES) < seconds] ** 2)))
