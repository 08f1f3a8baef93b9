"""Where the tiles of the Q-transform lie in time, frequency and Q (Chatterji 2005, chapter 5)."""

from functools import cache
from typing import NamedTuple

import numpy as np

Q_RANGE = (4.0, 64.0)
FREQUENCIES = (10.0, 2048.0)
"""Hz."""
MISMATCH = 0.2
"""Gravity Spy's settings (Zevin et al. 2017)."""

SPACING = 2 * np.sqrt(MISMATCH / 3)
"""Distance of neighbouring tiles in the metric of mismatch (Chatterji 2005, eq. 5.39)."""


class Band(NamedTuple):
    """Rows that have their number of tiles in the block in common, a power of two.

    Each row has its window's centre and half the window's width, Hz, and its plane's number.
    """

    tiles: int
    centre: np.ndarray
    half_width: np.ndarray
    plane: np.ndarray


@cache
def planes() -> tuple[float, ...]:
    """Returns the Q of the planes: four, 5.66 to 45.3 (Chatterji 2005, section 5.2.2)."""
    distance = np.log(Q_RANGE[1] / Q_RANGE[0]) / np.sqrt(2)
    count = int(np.ceil(distance / SPACING))
    steps = (np.arange(count) + 0.5) * distance / count
    return tuple(float(q) for q in Q_RANGE[0] * np.exp(np.sqrt(2) * steps))


@cache
def frequencies(q: float, duration: int) -> np.ndarray:
    """Returns the frequencies of a plane's rows in Hz, for a block of `duration` seconds."""
    low, high = FREQUENCIES
    scale = np.sqrt(2 + q**2) / 2
    distance = np.log(high / low) * scale
    count = int(np.ceil(distance / SPACING))
    spaced = low * np.exp((np.arange(count) + 0.5) * distance / count / scale)
    return np.unique(np.floor(spaced * duration) / duration)


@cache
def bands(duration: int) -> tuple[Band, ...]:
    """Returns the rows of all planes by their number of tiles, the lowest frequencies first."""
    listed = []
    for number, q in enumerate(planes()):
        for frequency in frequencies(q, duration):
            needed = 2 * np.pi * frequency / q * duration / SPACING
            half_width = np.floor(frequency * np.sqrt(11) / q * duration) / duration
            # One bin up, as in all of Gravity Spy's pictures: seen in what GWpy returns.
            centre = frequency + 1 / duration
            listed.append((int(2 ** np.ceil(np.log2(needed))), centre, half_width, number))
    found = []
    for count in sorted({row[0] for row in listed}):
        columns = zip(*(row[1:] for row in listed if row[0] == count), strict=True)
        found.append(Band(count, *map(np.array, columns)))
    return tuple(found)
