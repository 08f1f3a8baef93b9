"""From strain to the pictures that Gravity Spy draws of it."""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

import matplotlib
import numpy as np
from jaxtyping import Float, UInt8

from flax_glitch.arrays import Picture, Samples
from flax_glitch.classes import DURATIONS
from flax_glitch.strain.files import Series, Strain, block, strain_of
from flax_glitch.strain.qtransform import AXES_HEIGHT, AXES_WIDTH, pixel_frequencies, q_scan
from flax_glitch.strain.tiling import FREQUENCIES
from flax_glitch.times import to_gps

VIRIDIS = matplotlib.colormaps["viridis"](np.arange(256), bytes=True)[:, :3]
"""Red, green and blue of the 256 colours, 0 to 255, from low to high."""

MOST = 25.5
"""Normalised energy of the brightest colour."""

EVEN = 1.0
"""A picture whose green varies less is of one colour; of 710 real ones the least has 3.5."""

LEFT, TOP = 100, 60
"""Pixels from the full picture's edges to its axes."""

SITES = {"H1": "Hanford", "L1": "Livingston", "V1": "Virgo", "K1": "KAGRA", "G1": "GEO 600"}


class Loudest(NamedTuple):
    """The loudest place of a scan within 0.25 s of the event.

    Attributes:
        energy: normalised by the median of noise, dimensionless.
        snr: the signal-to-noise ratio that such an energy means, see `Scan.loudest`.
        frequency: Hz.
        gps: GPS seconds.
    """

    energy: float
    snr: float
    frequency: float
    gps: float


@dataclass(frozen=True)
class Scan:
    """What Gravity Spy's four pictures show of an event, at a GPS time in seconds."""

    detector: str
    gps: float
    q: float
    """Of the plane that was chosen."""
    energies: Float[np.ndarray, "4 478 568"]
    """Normalised, one map for each of `DURATIONS`."""
    channel: str | None = None
    """Of the strain, where its file has names."""
    flags: tuple[str, ...] | None = None
    """What is amiss with the data at the time, in words; None if nothing is known of it."""

    @property
    def views(self) -> Mapping[float, Picture]:
        """The spectrogram area of each window, by its length in seconds."""
        return dict(zip(DURATIONS, map(spectrogram, self.energies), strict=True))

    @property
    def loudest(self) -> Loudest:
        """The loudest place of the shortest window, in which the plane was chosen.

        Of a signal in noise the energy is 1 + SNR² / 2 times the mean of noise on average
        (Chatterji's thesis, MIT 2005, section 5.3), which is the median by ln 2.
        """
        window = self.energies[0]
        row, column = np.unravel_index(window.argmax(), window.shape)
        energy = float(window[row, column])
        snr = (2 * max(energy * np.log(2) - 1, 0)) ** 0.5
        after = DURATIONS[0] * ((column + 1.5) / AXES_WIDTH - 0.5)
        frequency = pixel_frequencies(*FREQUENCIES)[row]
        return Loudest(energy, float(snr), float(frequency), float(self.gps + after))


def scan(
    strain: Strain | Series, time: float | str | datetime, detector: str | None = None
) -> Scan:
    """Returns the scan of an event at a time, with 8 seconds or more without gaps around it.

    The time is in GPS seconds or UTC, see `to_gps`.

    Strain can be a `TimeSeries` of GWpy's too, with its detector, such as H1, unless its channel
    or name tells.

    Raises:
        StrainError: if the strain doesn't hold the event or enough around it.
        ValueError: if the time is none.
    """
    gps = to_gps(time)
    strain = strain_of(strain, gps, detector)
    return scan_block(strain, gps, *block(strain, gps))


def scan_block(strain: Strain, gps: float, samples: Samples, event: float) -> Scan:
    """Returns the scan of an event in a block of the strain, so many seconds after its start."""
    energies, q = q_scan(samples, event)
    told = strain.channel, strain.flagged(gps)
    return Scan(strain.detector, gps, float(q), np.asarray(energies), *told)


def indices(energies: Float[np.ndarray, "row column"]) -> UInt8[np.ndarray, "row column"]:
    """Returns the number in `VIRIDIS` of each pixel's colour."""
    return (energies.clip(0, MOST) * (256 / MOST)).clip(0, 255).astype(np.uint8)


def spectrogram(energies: Float[np.ndarray, "row column"]) -> Picture:
    """Returns an energy map in Gravity Spy's colours: the area inside a picture's frame."""
    return np.take(VIRIDIS, indices(energies), axis=0)


def colour_distance(picture: Picture) -> float:
    """Returns how far a picture's colours lie from viridis, 0 to 255, over pixels and channels.

    Each pixel is compared with the colour of its green, which rises all along viridis. A picture
    of one colour, whichever it is, shows no noise and so no spectrogram: it counts as farthest.
    """
    if picture[..., 1].std() < EVEN:
        return 255.0
    place = np.searchsorted(VIRIDIS[:, 1], picture[..., 1]).clip(max=len(VIRIDIS) - 1)
    return float(np.abs(picture - VIRIDIS[place].astype(int)).mean())


def full_picture(
    energies: Float[np.ndarray, "478 568"], duration: float, detector: str, channel: str = ""
) -> Picture:
    """Returns the picture for people, 800 by 600 pixels, with axes, title and colour bar.

    Its spectrogram is where Gravity Spy's is; the last five columns, which are cut off everywhere,
    repeat the one before.
    """
    picture = _axes(duration, detector, channel).copy()
    area = picture[TOP + 1 : TOP + AXES_HEIGHT - 1, LEFT + 1 : LEFT + AXES_WIDTH]
    area[:] = spectrogram(np.pad(energies, ((0, 0), (0, 5)), mode="edge"))
    return picture


def png(picture: Picture) -> bytes:
    """Returns a picture as the content of a PNG file.

    Pillow filters the rows, which takes three times as long and of few colours saves nothing.
    """
    height, width, _ = picture.shape
    rows = np.pad(picture.reshape(height, -1), ((0, 0), (1, 0)))  # each begins with 0: no filter
    header = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)  # 8 bits, RGB
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    """Returns a part of a PNG file (RFC 2083, section 3.2)."""
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


@lru_cache(maxsize=16)  # a channel can have any name
def _axes(duration: float, detector: str, channel: str) -> Picture:
    """Returns a full picture without its spectrogram."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # here: few draw, and it takes long
    from matplotlib.cm import ScalarMappable
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((LEFT / 800, 1 - (TOP + AXES_HEIGHT) / 600, AXES_WIDTH / 800, 0.8))
    axes.set_title(SITES.get(detector, detector), fontsize=20, pad=24)
    axes.set_xlabel("Time (s)", fontsize=20)
    axes.set_ylabel("Frequency (Hz)", fontsize=20)
    axes.set_xlim(-duration / 2, duration / 2)
    axes.set_xticks([share * duration for share in (-0.5, -0.25, 0, 0.25, 0.5)])
    axes.set_yscale("log", base=2)
    axes.set_ylim(*FREQUENCIES)
    axes.set_yticks(ticks := [2**power for power in range(4, 12)], [str(tick) for tick in ticks])
    axes.tick_params(labelsize=15)
    scale = ScalarMappable(cmap="viridis")
    scale.set_clim(0, MOST)
    bar = Colorbar(figure.add_axes((691 / 800, 0.1, 29 / 800, 0.8)), scale)
    bar.set_label("Normalized energy", fontsize=15)
    bar.ax.tick_params(labelsize=12)
    figure.text(0.99, 0.01, channel[:60], fontsize=8, ha="right", parse_math=False)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
