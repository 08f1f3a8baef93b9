"""The Q-transform: from strain to the energies that Gravity Spy draws.

The method is that of Chatterji et al. 2004 (CQG 21 S1809) and of Chatterji's thesis (MIT 2005,
chapter 5): whitened strain is projected on sinusoids with a window (bisquare in frequency) that
tile time, frequency and Q, so near to each other that no signal loses more than `MISMATCH` of its
energy between two tiles. Energies are divided by their median over the block: noise is near 1.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from flax_glitch.classes import DURATIONS
from flax_glitch.strain.tiling import FREQUENCIES, Band, bands, frequencies, planes
from flax_glitch.strain.whitening import SAMPLE_RATE, fade, median, whiten

SEARCH = 0.25
"""Seconds each side of the event in which the loudest tile chooses the plane."""

TIME_STEP, FREQUENCY_STEP = 0.002, 0.5
"""Seconds and Hz between the points that Gravity Spy's pictures are drawn from."""

INSTANTS = round(DURATIONS[-1] / 2 / TIME_STEP)
"""Instants each side of the event."""

ROWS, COLUMNS = 478, 568
"""Pixels of a spectrogram as it is cut out of a picture; see data/pictures.py."""

AXES_HEIGHT, AXES_WIDTH = 480, 574
"""Pixels from the lowest to the highest frequency, and from the first to the last instant. The
spectrogram begins one pixel inside: the frame line covers the axes' first row and column.
"""

MEDIAN_TILES = 4096
"""Tiles of a row over which its median is taken, at most: rows of more are thinned evenly, which
moves the median of noise by 2 % (one standard deviation).
"""

NEAR, WIDE = 2, 8
"""Seconds around the event from which rows of more tiles are computed: NEAR to find the loudest,
WIDE to draw them.
"""

NOISE_MEDIAN = np.log(2) * 256 / 315 / SAMPLE_RATE
"""The median energy of white noise of variance 1, whose energies are exponentially distributed."""


class Stretch(NamedTuple):
    """A stretch of whitened strain: its Fourier transform, its first instant and length (s)."""

    spectrum: Array
    start: Array | float
    seconds: int


Medians = Callable[[Stretch, Band], Array]
"""Returns the median energy of each row of a band over a block."""


class QScan(NamedTuple):
    """What the four pictures show of an event.

    Attributes:
        energies: normalised energies, a window of `DURATIONS` each, the highest frequency first.
        q: Q of the plane that was chosen.
    """

    energies: Float[Array, "4 478 568"]
    q: Float[Array, ""]


def q_scan(strain: Float[np.ndarray, " sample"], event: float) -> QScan:
    """Returns what Gravity Spy's four pictures show of an event.

    Args:
        strain: At `SAMPLE_RATE`; a power of two of seconds, 8 or more; any unit.
        event: Seconds from the first sample, 3 s or more from either end.
    """
    values = strain - np.mean(strain)
    values = values / (np.std(values) or 1.0)  # strain is near 1e-21, and its square 0 in float32
    return scan_strain(jnp.asarray(values, float), jnp.asarray(event, float))


@jax.jit
def scan_strain(strain: Float[Array, " sample"], event: Float[Array, ""]) -> QScan:
    """Returns `q_scan` of strain of the order of 1: pure, for `vmap` and `lax.map`."""
    spectrum = whiten(strain)
    return _scan(jnp.fft.irfft(spectrum), spectrum / len(strain), event, _row_medians)


@jax.jit
def scan_whitened(whitened: Float[Array, " sample"], event: Float[Array, ""]) -> QScan:
    """Returns `q_scan` of strain that is white already, of variance 1 apart from the event.

    Energies are divided by the median expected of noise, which needs no long block to measure.
    """
    return _scan(whitened, jnp.fft.rfft(whitened, norm="forward"), event, _expected_medians)


def _scan(whitened: Array, spectrum: Array, event: Array, medians: Medians) -> QScan:
    near, wide = (_around(whitened, event, seconds) for seconds in (NEAR, WIDE))
    block = Stretch(spectrum, 0.0, len(whitened) // SAMPLE_RATE)
    plane = jnp.argmax(_loudest(block, near, event, medians))
    draw = [partial(_draw, number, block.seconds, medians) for number in range(len(planes()))]
    energies = lax.switch(plane, draw, block.spectrum, wide.spectrum, wide.start, event)
    return QScan(energies, jnp.asarray(planes(), whitened.dtype)[plane])


def _row_medians(block: Stretch, band: Band) -> Float[Array, " row"]:
    return median(_energies(block, band, min(band.tiles, MEDIAN_TILES)), axis=1)


def _expected_medians(block: Stretch, band: Band) -> Float[Array, " row"]:
    return jnp.full(len(band.plane), NOISE_MEDIAN, block.spectrum.real.dtype)


def _loudest(block: Stretch, near: Stretch, event: Array, medians: Medians) -> Array:
    """Returns the normalised energy of each plane's loudest tile near the event.

    Brief tiles, which average over a broad band, are divided by the median expected of noise.
    """
    loudest = jnp.zeros(len(planes()), event.dtype)
    for band in bands(block.seconds):
        tiles, start, spacing = _tiles(block, near, band)
        middle = (medians if band.tiles <= MEDIAN_TILES else _expected_medians)(block, band)
        distance = jnp.abs(start + spacing * np.arange(tiles.shape[1]) - event)
        peaks = jnp.max(jnp.where((distance <= SEARCH)[None], tiles, 0), axis=1)
        # As jnp.int32: of 64-bit indices, jit mixes up those of float32 and of float64.
        plane = jnp.asarray(band.plane, jnp.int32)
        loudest = loudest.at[plane].max(peaks / middle)
    return loudest


def _tiles(
    block: Stretch, stretch: Stretch, band: Band
) -> tuple[Float[Array, "row tile"], Array | float, float]:
    """Returns the energies of a band's tiles, their first instant and their spacing in seconds.

    Rows of many tiles are computed from a shorter stretch, since those tiles are brief.
    """
    spacing = block.seconds / band.tiles
    source = block if band.tiles <= MEDIAN_TILES else stretch
    return _energies(source, band, round(source.seconds / spacing)), source.start, spacing


def _draw(
    number: int,
    duration: int,
    medians: Medians,
    spectrum: Array,
    near_spectrum: Array,
    start: Array,
    event: Array,
) -> Float[Array, "4 478 568"]:
    """Returns the energies of one plane where the pixels of the four windows are."""
    block, wide = Stretch(spectrum, 0.0, duration), Stretch(near_spectrum, start, WIDE)
    instants = event + np.arange(-INSTANTS, INSTANTS + 1) * TIME_STEP
    drawn = []
    for band in bands(duration):
        chosen = band.plane == number
        if chosen.any():
            part = Band(band.tiles, *(values[chosen] for values in band[1:]))
            tiles, first, spacing = _tiles(block, wide, part)
            lines = _interpolate(tiles, (instants - first) / spacing)
            drawn.append(lines / medians(block, part)[:, None])
    before, share = _instants_of_pixels()
    lines = jnp.concatenate(drawn)
    columns = lines[:, before] * (1 - share)[None] + lines[:, before + 1] * share[None]
    pixels = jnp.asarray(_rows_of_pixels(planes()[number], duration), columns.dtype) @ columns
    return jnp.moveaxis(pixels.reshape(ROWS, len(DURATIONS), COLUMNS), 1, 0)


def _energies(stretch: Stretch, band: Band, instants: int) -> Float[Array, "row instant"]:
    """Returns the energies of rows at equally spaced instants of a stretch of whitened strain.

    Moving a window to frequency 0 changes the phase alone. Where instants are fewer than the
    window has bins, folding the spectrum leaves every n-th of more instants.
    """
    seconds = stretch.seconds
    folds = int(np.ceil((2 * band.half_width.max() * seconds + 2) / instants))
    index = np.arange(folds * instants)
    first = np.ceil((band.centre - band.half_width) * seconds).astype(np.int32)
    spectrum = jnp.pad(stretch.spectrum, (0, folds * instants))
    offset = (first / seconds - band.centre) / band.half_width
    step = 1 / seconds / band.half_width

    def row(first: Array, offset: Array, step: Array) -> Array:
        window = jnp.square(jnp.maximum(1 - jnp.square(offset + step * index), 0))
        taken = lax.dynamic_slice(spectrum, (first,), (folds * instants,)) * window
        wave = jnp.fft.ifft(taken.reshape(folds, instants).sum(0), norm="forward")
        return jnp.square(wave.real) + jnp.square(wave.imag)

    parameters = (jnp.asarray(values, spectrum.real.dtype) for values in (offset, step))
    density = jnp.asarray(1 / band.half_width, spectrum.real.dtype)
    return jax.vmap(row)(jnp.asarray(first), *parameters) * density[:, None]


def _interpolate(
    tiles: Float[Array, "row tile"], positions: Float[Array, " instant"]
) -> Float[Array, "row instant"]:
    """Returns the cubic spline through tiles, at positions counted in tiles (Unser 1999)."""
    count = tiles.shape[1]
    response = (2 + np.cos(2 * np.pi * np.arange(count // 2 + 1) / count)) / 3
    knots = jnp.fft.irfft(jnp.fft.rfft(tiles) / jnp.asarray(response, tiles.dtype)[None], count)
    index = jnp.floor(positions)
    u = positions - index
    weights = ((1 - u) ** 3, 4 - 6 * u**2 + 3 * u**3, 1 + 3 * u + 3 * u**2 - 3 * u**3, u**3)
    parts = [
        knots[:, (index.astype(jnp.int32) + number - 1) % count] * weight[None] / 6
        for number, weight in enumerate(weights)
    ]
    return sum(parts[1:], parts[0])


def _instants_of_pixels() -> tuple[np.ndarray, np.ndarray]:
    """Returns the instant before each column of the four windows, and its distance in steps."""
    across = (np.arange(COLUMNS) + 1.5) / AXES_WIDTH - 0.5
    position = np.concatenate([duration * across for duration in DURATIONS]) / TIME_STEP + INSTANTS
    before = np.floor(position).astype(int)
    return before, position - before


@cache
def _rows_of_pixels(q: float, duration: int) -> np.ndarray:
    """Returns the matrix (pixel row, row of tiles): a cubic spline over frequency.

    It is taken at steps of 0.5 Hz, between which the pictures are linear.
    """
    from scipy.interpolate import CubicSpline, interp1d  # here, because it takes long

    known = frequencies(q, duration)
    steps = np.arange(FREQUENCIES[0], FREQUENCIES[1] + FREQUENCY_STEP, FREQUENCY_STEP)
    spline = CubicSpline(known, np.eye(len(known)))(steps.clip(known[0], known[-1]))
    return interp1d(steps, spline, axis=0)(pixel_frequencies(*FREQUENCIES))


def pixel_frequencies(low: float, high: float) -> Float[np.ndarray, " row"]:
    """Returns the frequency of each row of pixels in Hz, on an axis from `low` to `high`."""
    return low * (high / low) ** (1 - (np.arange(ROWS) + 1.5) / AXES_HEIGHT)


def _around(whitened: Array, event: Array, seconds: int) -> Stretch:
    """Returns seconds around the event, from a multiple of 1/64 s, where tiles of the block lie."""
    length = seconds * SAMPLE_RATE
    room = (len(whitened) - length) / SAMPLE_RATE
    start = jnp.clip(jnp.round((event - seconds / 2) * 64) / 64, 0, room)
    taken = lax.dynamic_slice(whitened, ((start * SAMPLE_RATE).astype(jnp.int32),), (length,))
    spectrum = jnp.fft.rfft(fade(taken, SAMPLE_RATE // 4), norm="forward")
    return Stretch(spectrum, start, seconds)
