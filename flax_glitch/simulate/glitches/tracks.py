"""Tracks in time and frequency (scattered light, beat notes, doves) and trains of pulses."""

import numpy as np
from jaxtyping import Float

from flax_glitch.simulate.shapes import (
    FREQUENCIES,
    SECONDS,
    TIMES,
    Wave,
    angle,
    band_noise,
    between,
    bump,
    from_quantiles,
    scaled,
    step,
    tone,
    wander,
)
from flax_glitch.strain.whitening import SAMPLE_RATE

NEAR = 0.5
"""Seconds from the event, as far as a track's loudness is measured."""

Spectrum = Float[np.ndarray, " bin"]


def scattered_light(rng: np.random.Generator) -> Wave:
    """Arches f(t) = n |2 v(t) / wavelength| of light off a swinging surface (Accadia et al. 2010).

    n counts the reflections: arches above each other are as far apart as 1, 2, 3 or as 4, 5, 6.
    Neighbouring ones are half a period of the swing away. At times a faint line goes on below.
    Peaks are those of the training set's Omicron triggers.
    """
    length = between(rng, 2.0, 6.5)  # seconds from zero to zero: microseism of 0.08 to 0.25 Hz
    peak = from_quantiles(rng, (18.0, 21.5, 26.0, 32.0, 46.0))
    loudest = int(rng.choice((1, 2, 3, 4, 5), p=(0.15, 0.2, 0.25, 0.2, 0.2)))
    swing = peak / loudest * (1 + 0.06 * wander(rng, length))
    arch = swing * np.cos(np.pi * (TIMES - rng.uniform(-0.2, 0.2)) / length)
    envelope = np.exp(0.25 * wander(rng, 0.6))
    envelope *= bump(rng.normal(0, 0.15), 0.35 * length) + rng.uniform(0, 0.5) ** 2
    wall = rng.uniform(0.6, 0.85) * min(peak, 24.0)  # Hz: whitened strain ends there
    snr = from_quantiles(rng, (5.5, 8.0, 12.0, 18.0, 32.0))
    wave = np.zeros_like(TIMES)
    for n in range(max(1, loudest - 1), loudest + int(rng.integers(2, 5))):
        height = 1.0 if n == loudest else between(rng, 0.25, 1.0)
        wave += track(n * arch, envelope * seen_above(wall, n * arch), height * snr)
    if rng.random() < 0.35:
        line = between(rng, 10.0, 14.0) * (1 + 0.02 * wander(rng, 1.0))
        wave += track(line, bump(rng.normal(0, 0.3), between(rng, 0.4, 2.0)), 0.35 * snr)
    return wave


def whistle(rng: np.random.Generator) -> Wave:
    """Beat note of two radio-frequency oscillators that drift past each other (Nuttall 2015).

    The difference of their frequencies swings slowly. Where it passes 0 there is a V, where it
    turns before 0 a U, and where it turns after 0 a W.
    """
    swing = 2 * np.pi / between(rng, 1.5, 20.0)
    time = TIMES - rng.uniform(-0.1, 0.1)
    time = time * (1 + rng.uniform(-0.3, 0.3) * np.tanh(time))
    if rng.random() < 0.4:
        beat = between(rng, 8e3, 2e5) / swing * np.sin(swing * time)
    else:
        turn = between(rng, 250, 1900) * (1.0 if rng.random() < 0.35 else -1.0)
        beat = turn + 2 * between(rng, 6e3, 1e5) / swing**2 * (1 - np.cos(swing * time))
    loudness = np.exp(0.35 * wander(rng, rng.uniform(0.03, 0.2)))
    low, high = between(rng, 60, 300), between(rng, 1500, 3000)
    snr = from_quantiles(rng, (6.0, 6.8, 7.7, 9.3, 14.0))

    def note(beat: Wave) -> Wave:
        audible = seen_above(low, beat) * (1 - seen_above(high, beat)) * (np.abs(beat) < 4000)
        return loudness * audible

    wave = track(beat, note(beat), snr)
    if rng.random() < 0.25:
        other = beat * rng.choice((0.5, 2.0, rng.uniform(0.7, 1.4)))
        wave += track(other, note(other), snr * rng.uniform(0.4, 0.9))
    return wave


def scratchy(rng: np.random.Generator) -> Wave:
    """Light off something that shakes at some 10 Hz: only the tips of arches are seen.

    Tips are not alike, as neighbouring ones come from different places.
    """
    peak = 1.1 * from_quantiles(rng, (99.0, 121.7, 153.7, 190.8, 237.1))
    shake = between(rng, 9, 17) * TIMES + rng.uniform(0, 0.3) * wander(rng, 0.3)
    arc = np.abs(np.sin(np.pi * (TIMES / between(rng, 0.3, 0.9) + rng.uniform(-0.1, 0.1))))
    depth = rng.uniform(0.0, 0.3)
    tip = np.floor(2 * shake + 0.5).astype(int)
    tip -= tip.min()
    heights, loud = rng.normal(size=(2, tip.max() + 1))
    signs = rng.choice((-1.0, 1.0), tip.max() + 1)  # or they would add up to lines
    top = peak * (1 + rng.uniform(0.02, 0.12) * heights[tip]) * (1 - depth * arc)
    frequency = top * np.cos(2 * np.pi * shake)
    length = between(rng, 0.3, 8.0)
    loudness = np.exp(rng.uniform(0.15, 0.4) * loud[tip]) * (bump(0, length) + rng.uniform(0, 0.6))
    amplitude = loudness * seen_above(rng.uniform(0.8, 1.05) * peak, frequency)
    snr = from_quantiles(rng, (8.6, 9.4, 10.3, 11.7, 15.0))
    return track(frequency, signs[tip] * amplitude, snr)


def paired_doves(rng: np.random.Generator) -> Wave:
    """Chirps up and down in turn, as the beam splitter swings at 0.4 Hz: one every half period."""
    gap, uneven = between(rng, 1.05, 1.4), rng.uniform(-0.2, 0.2)
    middle, ratio = between(rng, 26, 58), between(rng, 1.6, 3.0)
    length = between(rng, 1.5, 3.5) / middle
    strand, lower = rng.uniform(0.1, 0.8), rng.uniform(0.5, 1.0)
    sign, aside = rng.choice((-1, 1)), rng.uniform(-1.0, 1.0) * length
    wave = np.zeros_like(TIMES)
    for number in (-1, 0, 1):
        time = number * gap + uneven * (number % 2) + rng.uniform(-0.05, 0.05)
        up = sign * (-1) ** number
        dove = _chirp(rng, time, middle * rng.uniform(0.85, 1.15), ratio**up, length)
        dove += strand * _chirp(rng, time + up * aside, middle * lower, ratio**-up, length)
        wave += scaled(dove, 1.0 if number == 0 else between(rng, 0.6, 1.3))
    return wave * from_quantiles(rng, (7.0, 9.0, 12.0, 16.0, 25.0))


def _chirp(
    rng: np.random.Generator, time: float, middle: float, ratio: float, length: float
) -> Wave:
    """Returns a short chirp from middle / ratio to middle * ratio (Hz)."""
    frequency = middle * ratio ** np.tanh((TIMES - time) / length)
    loudness = bump(time + rng.uniform(-0.5, 0.5) * length, rng.uniform(0.7, 1.2) * length)
    return tone(frequency, loudness, angle(rng))


def track(frequency: Wave, amplitude: Wave, snr: float) -> Wave:
    """Returns a tone along a track, whose loudest tile near the event has about that SNR.

    A tile collects a track for as long as it keeps to the tile's band: so long as its slope and
    its curvature let it, and no longer than a tile of the highest Q. The factor is measured.
    """
    slope = np.gradient(frequency) * SAMPLE_RATE
    bend = np.gradient(slope) * SAMPLE_RATE
    limits = np.sqrt(np.abs(slope)) + np.cbrt(np.abs(bend)) + np.abs(frequency) / 25 + 1
    length = 2.4 / limits
    energy = amplitude**2 / 2 * SAMPLE_RATE * length
    return tone(frequency, amplitude) * (snr / np.sqrt(energy[np.abs(TIMES) < NEAR].max()))


def seen_above(limit: float, frequency: Wave) -> Wave:
    """Returns 1 where a track is well above a limit (Hz), whatever its sign, and 0 well below."""
    return 1 / (1 + (limit / (np.abs(frequency) + 1e-3)) ** 8)


def helix(rng: np.random.Generator) -> Wave:
    """A few kicks by an auxiliary laser within 50 ms (Zevin et al. 2017), again and again.

    They are some 7.5 ms apart: their interference makes strands that part and meet, with a blob
    near 130 Hz and its overtones.
    """
    times = np.cumsum(between(rng, 0.12, 0.5) * rng.uniform(0.4, 1.6, size=61))
    times -= times[30]
    loudness = rng.uniform(0.7, 1.0, 61) * (np.abs(times) < between(rng, 0.5, 30.0))
    loudness[30] = 1.0
    kicks, apart = int(rng.choice((2, 3, 4), p=(0.4, 0.4, 0.2))), between(rng, 0.0068, 0.0085)
    offsets = apart * (np.arange(kicks) + rng.uniform(0.0, 0.12) * rng.normal(size=kicks))
    heights = rng.uniform(0.5, 1.0, (kicks, 1))
    response = band(between(rng, 20, 50), between(rng, 200, 600)) * tilt(rng.uniform(-0.3, 0.2))
    wave = pulses((times + offsets[:, None]).ravel(), (heights * loudness).ravel(), response)
    return wave * (1.1 * from_quantiles(rng, (8.5, 9.5, 10.5, 12.0, 15.0)) / snr_near(wave, 0.08))


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
        after = TIMES - time - rng.uniform(0.0, 0.1)
        fading = step(after / 0.04) * np.exp(-np.maximum(after, 0) / between(rng, 0.1, 0.6))
        wave += scaled(fading * debris, snr * between(rng, 0.4, 2.0))
    return wave


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
