"""None_of_the_Above: shapes that belong to none of the other classes, and pieces of several."""

import numpy as np

from flax_glitch.simulate.glitches.tracks import band, pulses, seen_above, snr_near, tilt, track
from flax_glitch.simulate.shapes import (
    TIMES,
    Wave,
    band_noise,
    between,
    bump,
    from_quantiles,
    scaled,
    sine_gaussian,
    wander,
)


def none_of_the_above(rng: np.random.Generator) -> Wave:
    """A new shape: one of eleven kinds, or two of them together."""
    kinds = (
        _bar, _crown, _spikes, _storm, _rocket, _cloud, _slide, _teeth, _hum, _fuzz, _lump,
    )  # fmt: skip
    first, second = rng.choice(len(kinds), size=2, replace=False)
    snr = from_quantiles(rng, (8.0, 9.0, 12.0, 20.0, 90.0))
    wave = kinds[first](rng, snr)
    if rng.random() < 0.3:
        wave += kinds[second](rng, snr * rng.uniform(0.5, 1.0))
    return wave


def _bar(rng: np.random.Generator, snr: float) -> Wave:
    """Short bars at frequencies where no other class has them, such as 70Hz_Line."""
    wave = np.zeros_like(TIMES)
    for _ in range(rng.integers(1, 4)):
        low, high = ((68, 110), (200, 450), (650, 950))[rng.integers(3)]
        time = rng.uniform(-0.15, 0.15)
        burst = sine_gaussian(between(rng, low, high), between(rng, 15, 80), time)
        wave += scaled(burst, snr * rng.uniform(0.6, 1.2))
    return wave


def _crown(rng: np.random.Generator, snr: float) -> Wave:
    """Fast scattering: short arches side by side at 25 to 60 Hz (Soni et al. 2021)."""
    rate, peak = between(rng, 2.5, 5.0), between(rng, 28, 60)
    frequency = peak * (1 + 0.2 * wander(rng, 0.3)) * np.cos(np.pi * rate * TIMES)
    loudness = np.exp(0.8 * wander(rng, 0.4)) * bump(0, between(rng, 0.3, 3.0))
    return track(frequency, loudness * seen_above(0.6 * peak, frequency), snr)


def _spikes(rng: np.random.Generator, snr: float) -> Wave:
    """A train of spikes at high frequency only, one or up to a hundred."""
    count = int(between(rng, 1, 120))
    times = np.append(0.0, rng.uniform(-2.2, 2.2, size=count - 1))
    response = band(between(rng, 250, 900), 4000) * tilt(rng.uniform(-0.7, 0.5))
    heights = rng.choice((-1, 1), size=count) * np.append(1.0, rng.uniform(0.3, 1.0, count - 1))
    wave = pulses(times, heights, response)
    return wave * (2.5 * snr / snr_near(wave, 0.01))


def _storm(rng: np.random.Generator, snr: float) -> Wave:
    """A second of loud debris at low frequency, with bursts that follow each other above."""
    after = rng.uniform(-0.5, 0.2)
    length = between(rng, 0.3, 1.2)
    low = between(rng, 11, 20)
    wave = scaled(band_noise(rng, low, 1.4 * low) * bump(after + length, length), 4 * snr)
    for _ in range(rng.integers(4, 12)):
        burst = sine_gaussian(between(rng, 25, 250), between(rng, 3, 15), rng.uniform(-0.2, 1.2))
        wave += scaled(burst, snr * between(rng, 0.5, 1.3))
    return wave + scaled(sine_gaussian(between(rng, 40, 90), between(rng, 4, 10)), 1.5 * snr)


def _rocket(rng: np.random.Generator, snr: float) -> Wave:
    """Parallel prongs on one body at low frequency."""
    gap, prongs = between(rng, 0.05, 0.12), int(rng.integers(2, 5))
    places = gap * (np.arange(prongs) - (prongs - 1) / 2)
    response = band(between(rng, 20, 40), between(rng, 80, 200))
    body = sine_gaussian(between(rng, 16, 35), between(rng, 4, 12))
    prong = pulses(places, rng.choice((-1, 1), size=prongs) * 1.0, response)
    return scaled(body, 2 * snr) + scaled(prong, 2 * snr)


def _cloud(rng: np.random.Generator, snr: float) -> Wave:
    """Noise that swells in a wide band and is gone."""
    low = between(rng, 25, 400)
    length = between(rng, 0.05, 1.0)
    wave = band_noise(rng, low, low * between(rng, 1.5, 4.0)) * bump(0, length)
    swell = np.exp(0.8 * wander(rng, between(rng, 0.1, 0.6)))
    return scaled(wave * swell, min(snr, 25.0) * between(rng, 2.0, 5.0))


def _slide(rng: np.random.Generator, snr: float) -> Wave:
    """A track that falls, slower or lower than a whistle."""
    high, low = between(rng, 100, 600), between(rng, 18, 60)
    length = between(rng, 0.05, 0.8)
    frequency = low + (high - low) / (1 + np.exp(np.clip(TIMES / length * 4, -30, 30)))
    return track(frequency, bump(0, length), snr)


def _teeth(rng: np.random.Generator, snr: float) -> Wave:
    """A comb of overtones that start and end together."""
    spacing = between(rng, 15, 150)
    envelope = bump(0, between(rng, 0.03, 0.4))
    teeth = [np.cos(2 * np.pi * n * spacing * TIMES + rng.uniform(0, 6)) for n in range(1, 9)]
    heights = rng.uniform(0.1, 1.0, size=8)
    return scaled(envelope * np.einsum("n,nt->t", heights, np.stack(teeth)), 2.5 * snr)


def _hum(rng: np.random.Generator, snr: float) -> Wave:
    """A line that trembles with sidebands for some seconds, between the usual lines."""
    centre = rng.choice((between(rng, 75, 110), between(rng, 130, 170), between(rng, 200, 280)))
    frequency = centre * (1 + 0.04 * wander(rng, between(rng, 0.1, 0.5)))
    return track(frequency, bump(0, between(rng, 0.5, 2.0)), snr)


def _fuzz(rng: np.random.Generator, snr: float) -> Wave:
    """A band of grains that goes on for seconds, at any frequency where there are no lines."""
    low = between(rng, 70, 500)
    envelope = bump(rng.uniform(-1.5, 1.5), between(rng, 0.5, 3.0))
    wave = band_noise(rng, low, low * between(rng, 1.1, 1.5)) * envelope
    return scaled(wave, min(snr, 20.0) * between(rng, 2.0, 4.0))


def _lump(rng: np.random.Generator, snr: float) -> Wave:
    """One to three loud lumps at 15 to 80 Hz that touch each other, a band beside them at times."""
    wave = np.zeros_like(TIMES)
    for _ in range(rng.integers(1, 4)):
        burst = sine_gaussian(between(rng, 15, 80), between(rng, 3, 12), rng.normal(0, 0.06))
        wave += scaled(burst, 2 * snr * rng.uniform(0.5, 1.0))
    if rng.random() < 0.5:
        low = between(rng, 30, 60)
        around = band_noise(rng, low, 1.3 * low) * bump(0, between(rng, 0.1, 0.4))
        wave += scaled(around, snr * rng.uniform(0.5, 1.5))
    return wave
