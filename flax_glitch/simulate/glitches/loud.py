"""Loud bursts and low ones: Koi_Fish, Extremely_Loud, Low_Frequency_Burst."""

import numpy as np

from flax_glitch.simulate.noise import rung
from flax_glitch.simulate.shapes import (
    TIMES,
    Wave,
    angle,
    band_noise,
    between,
    bump,
    delayed,
    from_quantiles,
    pulse,
    scaled,
    tone,
    wander,
)


def fish(rng: np.random.Generator, fall: float) -> Wave:
    """Returns a loud pulse of signal-to-noise ratio 1: a body of low frequency below a spike."""
    body = pulse(between(rng, 18.0, 70.0), between(rng, 2.5, 8.0), fall, 0.0, angle(rng))
    spike = pulse(between(rng, 50.0, 400.0), 2.0, fall, rng.normal(0, 0.004), angle(rng))
    return scaled(scaled(body, between(rng, 0.2, 1.0)) + scaled(spike, between(rng, 0.2, 1.0)), 1.0)


def shoal(rng: np.random.Generator, wave: Wave, count: int, spread: float) -> Wave:
    """Returns a wave with so many fainter ones of its kind within some seconds."""
    delays = rng.normal(0, spread, count)
    faintest = between(rng, 0.03, 0.6)
    return wave + sum(between(rng, faintest, 1.0) * delayed(wave, delay) for delay in delays)


def koi_fish(rng: np.random.Generator) -> Wave:
    """A loud pulse, most with the fins that whitening leaves at 36 and 60 Hz; some in shoals."""
    wave = fish(rng, between(rng, 1.5, 3.5))
    if rng.random() < 0.4:
        wave = shoal(rng, wave, int(rng.integers(1, 6)), between(rng, 0.1, 1.0))
    wave *= 1.5 * from_quantiles(rng, (30.0, 65.0, 108.4, 165.9, 283.1))
    return rung(rng, wave) if rng.random() < 0.65 else wave


def extremely_loud(rng: np.random.Generator) -> Wave:
    """Strain driven out of its range, for an instant or for seconds."""
    snr = 1.5 * from_quantiles(rng, (52.3, 377.0, 1198.0, 2277.0, 9354.0))
    wave = fish(rng, between(rng, 0.7, 3.0))
    kind = rng.choice(["pulse", "pulses", "overflow"], p=[0.4, 0.3, 0.3])
    if kind == "pulses":
        wave = shoal(rng, wave, int(rng.integers(1, 16)), between(rng, 0.03, 1.0))
    elif kind == "overflow":
        return rung(rng, overflow(rng, wave))
    return rung(rng, snr * wave)


def overflow(rng: np.random.Generator, wave: Wave) -> Wave:
    """Returns noise of all frequencies, some of a wave's spectrum, that sets in and fades."""
    white = rng.normal(size=len(wave))
    coloured = np.fft.irfft(np.fft.rfft(wave) * np.fft.rfft(white))
    noise = between(rng, 1.0, 20.0) * white + between(rng, 5.0, 200.0) * coloured / np.std(coloured)
    after = np.maximum(TIMES - 0.25 + between(rng, 0.02, 3.0), 0)
    level = np.exp(wander(rng, between(rng, 0.05, 1.0)) - after / between(rng, 0.3, 8.0))
    return noise * level * (after > 0)


def low_frequency_burst(rng: np.random.Generator) -> Wave:
    """A hump at the lower edge: ground motion or a servo moves the mirrors at 10 to 20 Hz."""
    snr = 1.3 * from_quantiles(rng, (8.0, 10.8, 15.0, 23.8, 81.3))
    kind = rng.choice(["broad", "long", "rumble"], p=[0.6, 0.25, 0.15])
    if kind == "rumble":
        return 4 * snr * rumble(rng)
    hump = broad_hump(rng) if kind == "broad" else long_hump(rng)
    if rng.random() < 0.6:
        hump = shoal(rng, hump, int(rng.integers(1, 5)), 0.7)
    return snr * delayed(hump, rng.normal(0, 0.04))


def rumble(rng: np.random.Generator) -> Wave:
    """Returns a second of strong low noise, the higher the shorter, of ratio 1."""
    width = between(rng, 0.1, 0.6)
    parts = [
        (2 / high) * band_noise(rng, 6.0, high) * bump(0.0, width * 10 / high)
        for high in (12.0, 18.0, between(rng, 18.0, 40.0))
    ]
    return scaled(sum(parts), 1.0)


def broad_hump(rng: np.random.Generator) -> Wave:
    """Returns a hump of few cycles and of signal-to-noise ratio 1."""
    low = from_quantiles(rng, (8.0, 9.0, 11.0, 13.0, 17.0))
    steep = pulse(low, 4.0, between(rng, 4.0, 9.0), 0.0, angle(rng))
    return scaled(steep * bump(0.0, between(rng, 0.03, 0.2)), 1.0)


def long_hump(rng: np.random.Generator) -> Wave:
    """Returns a hump of many cycles, whose frequency drifts, and of signal-to-noise ratio 1."""
    frequency = between(rng, 10.0, 18.0) + between(rng, 1.0, 12.0) * rng.choice([-1, -1, 1]) * TIMES
    frequency = frequency.clip(6, 24) + wander(rng, 0.1)
    return scaled(tone(frequency, bump(0.0, between(rng, 0.06, 0.2)), angle(rng)), 1.0)
