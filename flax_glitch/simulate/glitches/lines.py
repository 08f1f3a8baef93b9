"""Lines: mains hum, a compressor, long lines below 20 Hz, and one that wanders."""

import numpy as np

from flax_glitch.simulate.shapes import (
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


def power_line(rng: np.random.Generator) -> Wave:
    """Mains hum that swells for parts of a second: 60 Hz at H1, 65 Hz at L1 in O1's triggers."""
    kind = rng.random()
    if kind < 0.55:
        frequency = rng.normal(60.2, 0.6)
    elif kind < 0.92:
        frequency = rng.normal(65.0, 0.4)
    else:
        frequency = between(rng, 66, 90)
    width, time = between(rng, 0.05, 0.4), rng.uniform(-0.05, 0.05)
    drift = rng.normal(0, 0.4) * np.tanh((TIMES - time) / width)
    swell = bump(time, width) + rng.uniform(0, 0.3) * bump(rng.normal(0, 0.7), between(rng, 0.2, 1))
    wave = tone(frequency + drift, swell, angle(rng))
    snr = between(rng, 6.5, 10.0) * np.sqrt(max(1, width * frequency / 10))
    wave = scaled(wave, snr)
    for harmonic in (2, 3):
        if rng.random() < 0.07:
            wave += scaled(tone(harmonic * (frequency + drift), swell), rng.uniform(0.3, 0.6) * snr)
    return wave


def air_compressor(rng: np.random.Generator) -> Wave:
    """A motor's bar near 49 Hz, a third of a second long, that may bend upwards as it ends."""
    frequency = np.clip(rng.normal(48.6, 1.5), 44, 52.5)
    width, time = between(rng, 0.028, 0.1), rng.uniform(-0.03, 0.03)
    slope, bend = rng.normal(0, 0.015), rng.uniform(0, 0.04)
    since = np.clip((TIMES - time) / width, -2, 2)
    track = frequency * (1 + slope * since + bend * np.maximum(since, 0) ** 2)
    wave = tone(track, bump(time, width), angle(rng))
    return scaled(wave, from_quantiles(rng, (6.5, 7.9, 8.6, 9.5, 11.5)))


def low_frequency_lines(rng: np.random.Generator) -> Wave:
    """A line below 20 Hz for a second or more: at 10 to 14 Hz, or near 18.5 Hz."""
    kind = rng.random()
    if kind < 0.7:
        frequency = rng.uniform(9.9, 11.7)
    elif kind < 0.82:
        frequency = rng.uniform(11.7, 14.5)
    else:
        frequency = rng.normal(18.5, 0.35)
    drift = between(rng, 0.002, 0.03) * wander(rng, rng.uniform(0.5, 2.0))
    track = frequency * (1 + drift + rng.normal(0, 0.02) * TIMES)
    swell = bump(rng.normal(0, 0.1), between(rng, 0.3, 2.0))
    swell += rng.uniform(0, 0.5) * bump(rng.normal(0, 1.5), between(rng, 0.3, 1.0))
    wave = tone(track, swell, angle(rng))
    if rng.random() < 0.3:
        wave += rng.uniform(0.2, 1.0) * tone(rng.uniform(1.05, 1.25) * track, swell)
    snr = from_quantiles(rng, (7.7, 9.4, 14.0, 22.8, 54.0))
    return scaled(wave, snr * rng.uniform(0.9, 1.2))


def wandering_line(rng: np.random.Generator) -> Wave:
    """A beat note between 0.5 and 1.3 kHz that wanders for seconds, whole or in short pieces."""
    middle = between(rng, 480, 1300)
    track = middle * (1 + between(rng, 0.015, 0.06) * wander(rng, between(rng, 0.2, 2.0)))
    swell = np.exp(rng.uniform(0.1, 0.5) * wander(rng, rng.uniform(0.1, 1.0)))
    track *= 1 + between(rng, 0.002, 0.015) * wander(rng, between(rng, 0.03, 0.15))
    if rng.random() < 0.6:
        hook, gate = _pieces(rng)
        track, swell = track * hook, swell * gate
    first, last, edge = -between(rng, 0.3, 7.0), between(rng, 0.3, 7.0), between(rng, 0.01, 0.3)
    swell *= step(np.minimum(TIMES - first, last - TIMES) / edge)
    level = between(rng, 0.75, 1.5)
    wave = tone(track, level * swell)
    if rng.random() < 0.4:
        wave += tone(2 * track, rng.uniform(0.3, 0.8) * level * swell)
    if rng.random() < 0.4:
        highest = between(rng, 20, 150)
        debris = band_noise(rng, 9, highest) * np.exp(0.7 * wander(rng, 0.5))
        wave += between(rng, 0.3, 1.5) * np.sqrt(highest / 4096) * debris
    return wave


def _pieces(rng: np.random.Generator) -> tuple[Wave, Wave]:
    """Returns a track's factor and envelope where the line comes up from below, stays, and goes."""
    lengths = between(rng, 0.08, 0.3) * rng.uniform(0.4, 1.6, 512)
    starts = np.cumsum(lengths) + TIMES[0] - lengths[0]
    number = np.searchsorted(starts, TIMES, side="right") - 1
    since = TIMES - starts[number]
    stay = lengths * rng.uniform(0.2, 1.0, 512) ** between(rng, 0.3, 1.0)
    depth = between(rng, 0.08, 0.8) * rng.uniform(0, 1, 512)
    plateau, level = rng.normal(1, 0.01, 512), rng.uniform(0.4, 1.0, 512)
    hook = plateau[number] - depth[number] * np.exp(-since / between(rng, 0.006, 0.04))
    gate = level[number] * step(np.minimum(stay[number] - since, since - 0.006) / 0.004)
    return (hook, gate) if rng.random() < 0.7 else (hook[::-1], gate[::-1])
