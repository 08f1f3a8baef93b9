"""Pictures drawn in the look of Gravity Spy's, for examples and tests that need no download.

They are simple patterns and not physics: each class is a few smooth shapes of energy over
speckled noise, placed by eye and by the classes' usual frequencies. A network that knows only
these knows nothing of real glitches.
"""

import math
import string
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from PIL import Image
from tqdm import tqdm

from flax_glitch.arrays import EnergyMap, Picture
from flax_glitch.classes import DURATIONS, INDEX

WIDTH, HEIGHT = 568, 478
"""Pixels of the spectrogram; one black line at the top and at the left is added."""

ROWS, COLUMNS, SECONDS = 192, 2048, 4.0
"""The grid that patterns are drawn on; the windows are cut out of it."""

LOWEST, HIGHEST = 10.0, 2048.0
"""Hz, the bottom and the top of the picture."""

BRIGHTEST = 25.5
"""The normalised energy that gets the last colour."""

Times = Float[np.ndarray, "1 time"]
Frequencies = Float[np.ndarray, "frequency 1"]

TIMES: Times = (np.arange(COLUMNS)[None] / COLUMNS - 0.5) * SECONDS
FREQUENCIES: Frequencies = np.geomspace(LOWEST, HIGHEST, ROWS)[:, None]

VIRIDIS = np.rint(colormaps["viridis"](np.linspace(0, 1, 256))[:, :3] * 255).astype(np.uint8)

SHORT_TILES, LONG_TILES = 5.66, 45.3
"""Q of the noise's texture: the smallest and largest of Gravity Spy's four planes."""


def draw_patterns(out: Path, per_class: int, seed: int = 0, progress: bool = False) -> None:
    """Draws a folder of labelled pictures in Gravity Spy's layout and Kaggle's geometry.

    Args:
        out: Gets `<Class>/<IFO>_<id>_spectrogram_<seconds>.png`, four windows a glitch.
        per_class: Glitches a class; more of them leave the first ones as they were.
        seed: The same seed gives the same files.
        progress: Whether to show a progress bar.

    Raises:
        ValueError: if there would be no glitch to draw.
    """
    if per_class < 1:
        raise ValueError(f"{per_class} glitches a class can't be drawn; give at least 1")
    glitches = [(label, number) for label in PATTERNS for number in range(per_class)]
    for label, number in tqdm(glitches, "drawing", unit=" glitches", disable=not progress):
        folder = out / label
        folder.mkdir(parents=True, exist_ok=True)
        random = _random(label, seed, number)
        detector = random.choice(["H1", "L1"])
        identity = "".join(random.choice(list(string.ascii_letters + string.digits), 10))
        energy = _energy(label, seed, number)
        for duration in DURATIONS:
            name = f"{detector}_{identity}_spectrogram_{duration}.png"
            Image.fromarray(_picture(energy, duration)).save(folder / name, compress_level=1)


def draw_pattern(label: str, duration: float, seed: int = 0) -> Picture:
    """Returns one window of the first glitch that `draw_patterns` draws of a class.

    Raises:
        ValueError: if the class has no pattern or the window isn't one of Gravity Spy's.
    """
    if label not in PATTERNS:
        raise ValueError(f"{label} has no pattern; choose from {', '.join(PATTERNS)}")
    if duration not in DURATIONS:
        raise ValueError(f"{duration} s is no window; choose from {DURATIONS}")
    return _picture(_energy(label, seed, 0), duration)


def _random(label: str, *numbers: int) -> np.random.Generator:
    return np.random.default_rng([INDEX[label], *numbers])


def _energy(label: str, seed: int, number: int) -> EnergyMap:
    """Adds the amplitudes of pattern and noise, which makes the pattern's edge ragged."""
    random = _random(label, seed, number, 1)
    draw, planes = PATTERNS[label]
    noise = _noise(random, random.choice(planes))
    return (noise + np.sqrt(draw(random))) ** 2


def _noise(random: np.random.Generator, q: float) -> EnergyMap:
    """Returns amplitudes of white noise as a constant-Q transform sees it."""
    windows = _tiles(q)
    spectrum = random.standard_normal((2, windows.shape[1]), np.float32)
    bands = windows * (spectrum[0] + 1j * spectrum[1])
    # Folding the bands before the inverse transform gives every fourth sample of it.
    return np.abs(np.fft.ifft(bands.reshape(ROWS, -1, COLUMNS).sum(1), norm="forward"))


@cache
def _tiles(q: float) -> Float[np.ndarray, "frequency bin"]:
    """A bisquare window about each frequency (Chatterji 2004), for a mean energy of 1."""
    bins = np.arange(int(HIGHEST * SECONDS), dtype=np.float32) / SECONDS
    offset = (bins - FREQUENCIES) * q / (math.sqrt(11) * FREQUENCIES)
    window = np.clip(1 - offset**2, 0, None) ** 2
    return (window / np.sqrt(2 * (window**2).sum(1, keepdims=True))).astype(np.float32)


def _picture(energy: EnergyMap, duration: float) -> Picture:
    columns = np.abs(TIMES[0]) <= duration / 2
    levels = np.clip(energy[::-1, columns] * 255 / BRIGHTEST, 0, 255).astype(np.uint8)
    area = Image.fromarray(levels).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    return np.pad(VIRIDIS[np.asarray(area)], ((1, 0), (1, 0), (0, 0)))


def _pulse(time: float, frequency: float, octaves: tuple[float, float], energy: float) -> EnergyMap:
    """A teardrop, as short as a tile at each frequency; octaves: its reach down and up."""
    height = np.log2(FREQUENCIES / frequency)
    reach = np.where(height < 0, *octaves)
    width = SHORT_TILES / (2 * math.pi * math.sqrt(2) * FREQUENCIES)
    return energy * np.exp(-0.5 * ((height / reach) ** 2 + ((TIMES - time) / width) ** 2))


def _blob(
    time: float, frequency: float, seconds: float, octaves: float, energy: float
) -> EnergyMap:
    """A soft ellipse."""
    height = np.log2(FREQUENCIES / frequency) / octaves
    return energy * np.exp(-0.5 * (height**2 + ((TIMES - time) / seconds) ** 2))


def _track(frequency: Times, energy: Times) -> EnergyMap:
    """A thin line whose frequency and energy change with time; it blurs where it is steep."""
    line = np.log2(np.clip(frequency, 1, None))
    tile = LONG_TILES / (2 * math.pi * math.sqrt(2) * 2**line)
    thin = 1.5 / LONG_TILES
    width = np.hypot(thin, np.gradient(line, SECONDS / COLUMNS, axis=1) * tile)
    distance = (np.log2(FREQUENCIES) - line) / width
    return energy * thin / width * np.exp(-0.5 * distance**2)


def _blip(random: np.random.Generator) -> EnergyMap:
    octaves = (random.uniform(0.4, 0.7), random.uniform(0.9, 1.6))
    return _pulse(0.0, random.uniform(45, 160), octaves, random.uniform(25, 120))


def _repeating_blips(random: np.random.Generator) -> EnergyMap:
    step, frequency = random.uniform(0.25, 0.5), random.uniform(60, 160)
    octaves = (random.uniform(0.5, 0.8), random.uniform(1.0, 1.6))
    pattern = _pulse(0.0, frequency, octaves, random.uniform(60, 200))
    for number in (-3, -2, -1, 1, 2, 3):
        time = number * step + random.normal(0, 0.02)
        pattern += _pulse(time, frequency, octaves, random.uniform(8, 60))
    return pattern


def _chirp(random: np.random.Generator) -> EnergyMap:
    """Newtonian chirp: the time to merger goes with frequency to the power -8/3."""
    start = random.uniform(30, 45)
    before_merger = random.uniform(0.07, 0.2) * (FREQUENCIES / start) ** (-8 / 3)
    tile = SHORT_TILES / (2 * math.pi * math.sqrt(2) * FREQUENCIES)
    width = np.hypot(tile, 8 / 3 * before_merger / SHORT_TILES)
    track = np.exp(-0.5 * ((TIMES + before_merger - 0.02) / width) ** 2)
    top = random.uniform(200, 400)
    band = 1 / (1 + (start / FREQUENCIES) ** 12) / (1 + (FREQUENCIES / top) ** 8)
    return random.uniform(15, 90) * track * band


def _whistle(random: np.random.Generator) -> EnergyMap:
    """A beat note: V where it turns before zero frequency, W where it goes through."""
    turn = random.uniform(300, 1300) * random.choice([-1, 1, 1])
    frequency = np.abs(turn + random.uniform(1e4, 6e4) * TIMES**2)
    fading = 1 / (1 + (random.uniform(300, 500) / np.clip(frequency, 1, None)) ** 4)
    return _track(frequency, random.uniform(20, 60) * fading)


def _scattered_light(random: np.random.Generator) -> EnergyMap:
    """Arches |cos| of time, one above the other."""
    arch = np.abs(np.cos(math.pi * TIMES / random.uniform(3.5, 6.0)))
    lowest = random.uniform(16, 28)
    pattern = np.zeros((ROWS, COLUMNS))
    for number in range(1, random.integers(3, 5)):
        energy = random.uniform(30, 90) / number * arch ** random.uniform(6, 12)
        pattern += _track(number * lowest * arch, energy)
    return pattern


def _power_line(random: np.random.Generator) -> EnergyMap:
    frequency = np.full((1, COLUMNS), random.choice([60.0, 60.0, 60.0, 120.0, 180.0]))
    envelope = np.exp(-0.5 * (TIMES / random.uniform(0.08, 0.25)) ** 2)
    return _track(frequency, random.uniform(15, 60) * envelope)


def _1080_lines(random: np.random.Generator) -> EnergyMap:
    pattern = np.zeros((ROWS, COLUMNS))
    for time in random.normal(0, random.uniform(0.3, 0.7), random.integers(15, 40)):
        pattern += _blob(time, random.normal(1080, 8), 0.006, 0.033, random.uniform(4, 30))
    return pattern


def _koi_fish(random: np.random.Generator) -> EnergyMap:
    """A tail upwards, a body with eyes and with fins at both sides, and a broad foot."""
    body = random.uniform(25, 45)
    pattern = _pulse(0.0, body * 2, (1.0, random.uniform(1.0, 1.4)), random.uniform(800, 3000))
    pattern += _blob(0.0, body, random.uniform(0.02, 0.04), 0.45, random.uniform(300, 900))
    pattern += _blob(0.0, 12.0, random.uniform(0.04, 0.09), 0.3, random.uniform(60, 300))
    for side in (-1, 1):
        fin = side * random.uniform(0.07, 0.13)
        pattern += _blob(fin, body * random.uniform(0.9, 1.3), 0.025, 0.25, random.uniform(30, 90))
        pattern += _blob(1.9 * fin, body * 1.2, 0.03, 0.3, random.uniform(3, 12))
        pattern *= 1 - _blob(0.4 * fin, body * 1.2, 0.006, 0.09, 1.0)
    return pattern


def _low_frequency_burst(random: np.random.Generator) -> EnergyMap:
    pattern = _blob(
        0.0, 12.0, random.uniform(0.08, 0.2), random.uniform(0.2, 0.4), random.uniform(60, 600)
    )
    for time in random.normal(0, 0.5, random.integers(2, 7)):
        seconds, octaves = random.uniform(0.03, 0.12), random.uniform(0.1, 0.3)
        pattern += _blob(time, random.uniform(9, 15), seconds, octaves, random.uniform(20, 120))
    return pattern


def _no_glitch(random: np.random.Generator) -> EnergyMap:
    return np.zeros((ROWS, COLUMNS))


PATTERNS = MappingProxyType[str, tuple[Callable[[np.random.Generator], EnergyMap], list[float]]](
    {
        "1080Lines": (_1080_lines, [LONG_TILES]),
        "Blip": (_blip, [SHORT_TILES]),
        "Chirp": (_chirp, [SHORT_TILES]),
        "Koi_Fish": (_koi_fish, [SHORT_TILES]),
        "Low_Frequency_Burst": (_low_frequency_burst, [SHORT_TILES]),
        "No_Glitch": (_no_glitch, [SHORT_TILES, LONG_TILES]),
        "Power_Line": (_power_line, [LONG_TILES]),
        "Repeating_Blips": (_repeating_blips, [SHORT_TILES]),
        "Scattered_Light": (_scattered_light, [LONG_TILES]),
        "Whistle": (_whistle, [LONG_TILES]),
    }
)
"""The classes that can be drawn, each with its pattern and the Q planes that it is seen in."""
