"""Bursts: Blip and its kin, loud ones and low ones, and nothing at all."""

import numpy as np
from jaxtyping import Complex, Float

from flax_glitch.simulate.noise import asd, rung
from flax_glitch.simulate.shapes import (
    FREQUENCIES,
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
    step,
    tone,
    wander,
)

BLIP_SNR = (8.8, 12.1, 17.2, 27.3, 51.2)
BLIP_FREQUENCY = (80.7, 121.7, 170.7, 225.3, 402.4)
"""Quantiles of the training set's Omicron triggers (5, 25, 50, 75 and 95 %), as all those here."""

SUN = 4.925491e-6
"""The mass of the Sun in seconds."""

MERGER = np.array(
    [[0.29740, 0.04481, 0.09556], [0.59411, 0.08979, 0.19111], [0.50801, 0.07752, 0.02237]]
)
"""Polynomials of the symmetric mass ratio that give the frequency of the merger, of the ring-down,
and the ring-down's width, times pi and the total mass (Ajith et al. 2008, Phys. Rev. D 77 104017).
"""


def teardrop(rng: np.random.Generator, time: float = 0.0) -> Wave:
    """Returns a blip of signal-to-noise ratio 1, with a fainter foot of lower frequency."""
    frequency = 0.55 * from_quantiles(rng, BLIP_FREQUENCY)
    body = pulse(rng, frequency, between(rng, 2.0, 6.0), between(rng, 1.1, 2.4), time)
    low = frequency * rng.uniform(0.3, 0.7)
    foot = pulse(rng, low, 4.0, 4.0, time + rng.normal(0, 0.4) / low)
    return scaled(scaled(body, 1.0) + scaled(foot, between(rng, 0.03, 0.2)), 1.0)


def blip(rng: np.random.Generator) -> Wave:
    """A thin teardrop: few cycles, most of the energy at 100 to 300 Hz (Cabero et al. 2019)."""
    snr = rng.uniform(1.1, 1.7) * from_quantiles(rng, BLIP_SNR)
    return rung(rng, scaled(teardrop(rng, rng.normal(0, 0.003)), snr))


def repeating_blips(rng: np.random.Generator) -> Wave:
    """A row of blips 0.1 to 0.6 s apart, the loudest of them the event; most are alike."""
    snr = rng.uniform(1.0, 1.6) * from_quantiles(rng, (9.1, 15.6, 25.9, 45.4, 90.3))
    apart, irregular = between(rng, 0.1, 0.6), rng.choice([0.0, 0.05, 0.3])
    before, after = rng.integers(0, 4, size=2)
    number = np.arange(-before, max(after, 1 - before) + 1)
    times = apart * (number + irregular * rng.normal(size=len(number)) * (number != 0))
    faintest = max(rng.uniform(0.1, 0.5), min(1.0, 6 / snr))  # an echo must be seen to be one
    loud = np.where(number == 0, 1.0, [between(rng, faintest, 1.0) for _ in number])
    alike, one = rng.random() < 0.7, teardrop(rng)
    blips = [one if alike else teardrop(rng) for _ in number]
    parts = zip(loud, blips, times, strict=True)
    return rung(rng, snr * sum(height * delayed(part, time) for height, part, time in parts))


def tomte(rng: np.random.Generator) -> Wave:
    """A triangle as the hat of a gnome: a blip of 30 to 60 Hz with a straight lower edge."""
    frequency = from_quantiles(rng, (17.0, 20.0, 24.0, 29.0, 38.0))
    body = pulse(rng, frequency, between(rng, 4.0, 10.0), between(rng, 1.8, 3.2))
    hat = pulse(rng, frequency * rng.uniform(1.5, 4), 3.0, 2.5, rng.normal(0, 0.004))
    wave = scaled(body, 1.0) + scaled(hat, rng.uniform(0.2, 0.8))
    return rung(rng, scaled(wave, 1.3 * from_quantiles(rng, (9.8, 12.6, 14.3, 17.9, 22.6))))


def chirp(rng: np.random.Generator) -> Wave:
    """Two black holes of 5 to 60 solar masses that merge, as a detector of O1 sees them."""
    first = between(rng, 28.0, 60.0) if rng.random() < 0.85 else between(rng, 8.0, 20.0)
    second = max(5.0, first * rng.uniform(0.55, 1))
    frequency = np.maximum(FREQUENCIES, 1.0)
    merger = rng.uniform(0.0, 0.04)
    delay = 2 * np.pi * frequency * (merger - TIMES[0]) + angle(rng)
    strain = inspiral(first, second, frequency) * np.exp(-1j * delay)
    density = asd(str(rng.choice(["H1", "L1"])), frequency)
    snr = rng.uniform(1.1, 2.0) * from_quantiles(rng, (9.4, 11.0, 13.0, 15.1, 21.3))
    return scaled(np.fft.irfft(strain / density, len(TIMES)), snr)


def inspiral(
    first: float, second: float, frequency: Float[np.ndarray, " bin"]
) -> Complex[np.ndarray, " bin"]:
    """Returns the spectrum of two black holes (solar masses) that merge at time 0.

    The amplitude is that of Ajith et al. 2008 (Phys. Rev. D 77 104017): inspiral, merger and
    ring-down. The phase is stationary, to leading order. What lies below 20 Hz fades.
    """
    total, ratio = (first + second) * SUN, first * second / (first + second) ** 2
    powers = np.array([ratio**2, ratio, 1.0])
    merger, ring, width = MERGER @ powers / (np.pi * total)
    tail = (ring / merger) ** (-2 / 3) / (1 + ((frequency - ring) / (width / 2)) ** 2)
    early, middle = (frequency / merger) ** (-7 / 6), (frequency / merger) ** (-2 / 3)
    amplitude = np.select([frequency < merger, frequency < ring], [early, middle], tail)
    phase = 3 / (128 * ratio) * (np.pi * total * frequency) ** (-5 / 3)
    return amplitude * step((frequency - 20) / 4) * np.exp(-1j * phase)


def no_glitch(rng: np.random.Generator) -> Wave:
    """Background alone, or with a wisp that hardly stands out of it: something set a trigger."""
    wisp = pulse(rng, between(rng, 12.0, 400.0), 3.0, 3.0, rng.uniform(-0.25, 0.25))
    return scaled(wisp, rng.uniform(0, 5.5))


def fish(rng: np.random.Generator, fall: float) -> Wave:
    """Returns a loud pulse of signal-to-noise ratio 1: a body of low frequency below a spike."""
    body = pulse(rng, between(rng, 15.0, 40.0), between(rng, 2.5, 7.0), fall)
    spike = pulse(rng, between(rng, 30.0, 250.0), 1.5, fall, rng.normal(0, 0.004))
    return scaled(scaled(body, between(rng, 0.4, 1.0)) + scaled(spike, between(rng, 0.2, 1.0)), 1.0)


def shoal(rng: np.random.Generator, wave: Wave, count: int, spread: float) -> Wave:
    """Returns a wave with so many fainter ones of its kind within some seconds."""
    delays = rng.normal(0, spread, count)
    faintest = between(rng, 0.03, 0.6)
    return wave + sum(between(rng, faintest, 1.0) * delayed(wave, delay) for delay in delays)


def koi_fish(rng: np.random.Generator) -> Wave:
    """A loud pulse, most with the fins that whitening leaves at 36 and 60 Hz; some in shoals.

    Two of five are as loud as the training set's triggers, the others are the thinner ones of O3.
    """
    loud = rng.random() < 0.4
    wave = fish(rng, between(rng, 1.3, 2.8) if loud else between(rng, 1.5, 3.5))
    if rng.random() < 0.4:
        wave = shoal(rng, wave, int(rng.integers(1, 5)), between(rng, 0.1, 1.0))
    snr = (46.7, 75.0, 117.0, 179.0, 302.0) if loud else (15.0, 26.0, 45.0, 80.0, 150.0)
    wave *= 1.2 * from_quantiles(rng, snr)
    return rung(rng, wave) if rng.random() < (0.9 if loud else 0.5) else wave


def extremely_loud(rng: np.random.Generator) -> Wave:
    """Strain driven out of its range, for an instant or for seconds."""
    snr = 0.6 * from_quantiles(rng, (52.3, 377.0, 1198.0, 2277.0, 9354.0))
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
    noise = between(rng, 0.7, 12.0) * white + between(rng, 3.0, 100.0) * coloured / np.std(coloured)
    after = np.maximum(TIMES - 0.25 + between(rng, 0.02, 3.0), 0)
    level = np.exp(wander(rng, between(rng, 0.05, 1.0)) - after / between(rng, 0.3, 8.0))
    return noise * level * (after > 0)


def low_frequency_burst(rng: np.random.Generator) -> Wave:
    """A hump at the lower edge: ground motion or a servo moves the mirrors at 10 to 20 Hz."""
    snr = from_quantiles(rng, (8.0, 10.0, 13.0, 20.0, 65.0))
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
    low = from_quantiles(rng, (7.0, 8.0, 9.0, 11.0, 15.0))
    steep = pulse(rng, low, 4.0, between(rng, 4.0, 9.0))
    return scaled(steep * bump(0.0, between(rng, 0.03, 0.2)), 1.0)


def long_hump(rng: np.random.Generator) -> Wave:
    """Returns a hump of many cycles, whose frequency drifts, and of signal-to-noise ratio 1."""
    frequency = between(rng, 9.0, 17.0) + between(rng, 1.0, 12.0) * rng.choice([-1, -1, 1]) * TIMES
    frequency = frequency.clip(6, 24) + wander(rng, 0.1)
    return scaled(tone(frequency, bump(0.0, between(rng, 0.06, 0.2)), angle(rng)), 1.0)
