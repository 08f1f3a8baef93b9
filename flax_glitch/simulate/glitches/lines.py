"""Lines and rows: hum, a compressor, lines that stay or wander, and bursts at resonances.

Frequencies and loudness of the last (1080Lines, 1400Ripples, Violin_Mode) are those seen in
published pictures, where the SNR of the loudest tile is below that of the trigger.
"""

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
from flax_glitch.strain.whitening import SAMPLE_RATE

Burst = tuple[float, float, float, float]
"""Time (s), frequency (Hz), standard deviation of the envelope (s), and SNR of its loudest tile."""


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
    snr = between(rng, 7.0, 13.0) * np.sqrt(max(1, width * frequency / 10))
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
    if kind < 0.65:
        frequency = rng.uniform(9.9, 11.7)
    elif kind < 0.77:
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
    return scaled(wave, snr * rng.uniform(0.5, 1.0))


def wandering_line(rng: np.random.Generator) -> Wave:
    """A beat note between 0.5 and 1.3 kHz that wanders for seconds, whole or in short pieces."""
    middle = between(rng, 480, 1300) if rng.random() < 0.85 else between(rng, 150, 480)
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
    if rng.random() < 0.6:
        highest = between(rng, 20, 400)
        debris = band_noise(rng, 9, highest) * np.exp(0.5 * wander(rng, 0.5))
        wave += between(rng, 0.3, 1.0) * np.sqrt(highest / 4096) * debris
    if rng.random() < 0.25:
        wave += scaled(low_frequency_lines(rng), between(rng, 5, 15))
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


def lines_1080(rng: np.random.Generator) -> Wave:
    """Many bursts of 10 to 30 ms near 1.1 kHz, for parts of a second or seconds (H1, O2)."""
    frequency, spread = rng.uniform(1080, 1140), between(rng, 0.2, 1.5)
    loudest, contrast = between(rng, 6.4, 9.4), between(rng, 0.2, 0.9)
    times = spread * rng.uniform(-1.7, 1.7, rng.poisson(between(rng, 70, 200) * spread))
    middle = rng.uniform(-0.7, 0.7) * spread
    bursts: list[Burst] = [(rng.uniform(-0.1, 0.1), frequency, 0.008, loudest)]
    for time in times:
        fade = np.exp(-0.5 * ((time - middle) / spread) ** 2)
        snr = 0.85 * loudest * rng.uniform() ** contrast * fade
        bursts.append((time, rng.normal(frequency, 5), between(rng, 0.006, 0.02), snr))
    return _sum(rng, bursts)


def ripples_1400(rng: np.random.Generator) -> Wave:
    """A short row of ripples near 1.5 kHz with faint echoes at other resonances (L1, O1)."""
    frequency, time = np.clip(rng.normal(1565, 32), 1480, 1650), rng.uniform(-0.02, 0.02)
    loudest, width = between(rng, 6.2, 9.5), between(rng, 0.008, 0.035)
    bursts: list[Burst] = [(time, frequency, width, loudest)]
    for _ in range(rng.integers(5)):
        place, snr = time + rng.normal(0, 2.5 * width + 0.015), loudest * rng.uniform(0.25, 0.7)
        bursts.append((place, rng.normal(frequency, 8), between(rng, 0.004, 0.012), snr))
    for echo, chance in ((520.0, 0.3), (1045.0, 0.6), (2030.0, 0.6)):
        if rng.random() < chance:
            snr = rng.uniform(0.3, 0.6) * min(loudest, 7)
            bursts.append((time + rng.normal(0, 0.01), rng.normal(echo, 10), 0.006, snr))
    for _ in range(rng.poisson(0.4)):
        snr = loudest * rng.uniform(0.4, 0.8)
        bursts.append((rng.uniform(-2, 2), frequency, between(rng, 0.004, 0.012), snr))
    return _sum(rng, bursts)


def violin_mode(rng: np.random.Generator) -> Wave:
    """Fibres of the suspension are struck and ring near 500 Hz and its multiples.

    At H1 they are struck again and again, and something thuds below; at L1 mostly once, and they
    ring longer.
    """
    often, loudest = rng.random() < 0.7, between(rng, 8.0, 18.0)
    ring = between(rng, 0.007, 0.014) if often else between(rng, 0.012, 0.045)
    split = rng.uniform(0.06, 0.09) if often and rng.random() < 0.8 else 0.0
    modes = (rng.normal((505, 1040, 1570, 2025) if often else (524, 1045, 1577, 2025), 8)).tolist()
    shares = rng.uniform(0.4, 0.95, 4) * rng.choice((1.0, 0.35), p=(0.7, 0.3))
    shares[rng.choice(3, p=(0.4, 0.45, 0.15))] = 1.0
    strikes = [(rng.uniform(-0.03, 0.03), loudest)]
    for _ in range(rng.poisson(between(rng, 4, 20) if often else 0.6)):
        strikes.append((rng.uniform(-2, 2), loudest * rng.uniform(0.25, 1.1)))
    bursts: list[Burst] = []
    for time, snr in strikes:
        for mode, share in zip(modes, shares * rng.uniform(0.6, 1.0, 4), strict=True):
            lobes = (1 - split, 1 + split) if split and mode < 600 else (1.0,)
            for lobe in lobes:
                bursts += _ringing(rng, time, mode * lobe, ring, snr * share)
        if often:
            bursts += _thud(rng, time)
    return _sum(rng, bursts)


def _ringing(
    rng: np.random.Generator, time: float, frequency: float, width: float, snr: float
) -> list[Burst]:
    """Returns a mode's burst and the beats with its neighbours, the fibres' other modes."""
    beats = [
        (rng.normal(time, 1.5 * width), rng.normal(frequency, 0.012 * frequency), width, snr * beat)
        for beat in rng.uniform(0.2, 0.6, rng.integers(3))
    ]
    return [(time, frequency, width, snr), *beats]


def _thud(rng: np.random.Generator, time: float) -> list[Burst]:
    """Returns what is heard at 30 to 220 Hz when a fibre is struck; now and then it is loud."""
    if abs(time) > 0.4 and rng.random() < 0.05:
        loudness, count = between(rng, 8, 25), 5
    else:
        loudness, count = rng.uniform(1.5, 5.5), int(rng.integers(1, 5))
    frequencies = np.exp(rng.uniform(np.log(30), np.log(220), count))
    return [(time, f, 2.5 / f, loudness * rng.uniform(0.4, 1.0)) for f in frequencies.tolist()]


def _sum(rng: np.random.Generator, bursts: list[Burst]) -> Wave:
    """Returns Gaussian bursts of random phases, each computed only where it can be seen.

    No tile is longer than 10 cycles or so: of longer bursts it takes a part.
    """
    wave = np.zeros(len(TIMES))
    for time, frequency, width, snr in bursts:
        near = slice(*np.searchsorted(TIMES, (time - 5 * width, time + 5 * width)))
        t = TIMES[near] - time
        height = snr * np.sqrt(2 / (np.sqrt(np.pi) * SAMPLE_RATE * min(width, 10 / frequency)))
        phase = 2 * np.pi * (frequency * t + rng.uniform())
        wave[near] += height * np.exp(-0.5 * (t / width) ** 2) * np.cos(phase)
    return wave
