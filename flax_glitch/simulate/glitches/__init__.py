"""One small function a class that makes that class's glitch, and the noise around it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import jax
import numpy as np

from flax_glitch.simulate.glitches import bursts, lines, others, tracks
from flax_glitch.simulate.noise import background
from flax_glitch.simulate.shapes import SECONDS, Wave
from flax_glitch.strain.picture import Scan
from flax_glitch.strain.qtransform import AXES_HEIGHT, ROWS, pixel_frequencies, scan_whitened
from flax_glitch.strain.tiling import FREQUENCIES, frequencies

__all__ = ["GLITCHES", "scan_simulated", "simulate"]

GLITCHES: Mapping[str, Callable[[np.random.Generator], Wave]] = MappingProxyType(
    {
        "1080Lines": lines.lines_1080,
        "1400Ripples": lines.ripples_1400,
        "Air_Compressor": lines.air_compressor,
        "Blip": bursts.blip,
        "Chirp": bursts.chirp,
        "Extremely_Loud": bursts.extremely_loud,
        "Helix": tracks.helix,
        "Koi_Fish": bursts.koi_fish,
        "Light_Modulation": tracks.light_modulation,
        "Low_Frequency_Burst": bursts.low_frequency_burst,
        "Low_Frequency_Lines": lines.low_frequency_lines,
        "No_Glitch": bursts.no_glitch,
        "None_of_the_Above": others.none_of_the_above,
        "Paired_Doves": tracks.paired_doves,
        "Power_Line": lines.power_line,
        "Repeating_Blips": bursts.repeating_blips,
        "Scattered_Light": tracks.scattered_light,
        "Scratchy": tracks.scratchy,
        "Tomte": bursts.tomte,
        "Violin_Mode": lines.violin_mode,
        "Wandering_Line": lines.wandering_line,
        "Whistle": tracks.whistle,
    }
)
"""For each class the function that draws a whitened waveform."""

DARK = MappingProxyType({"Helix": (20.0, 180.0), "Paired_Doves": (0.0, 80.0)})
"""Band (Hz) of classes that come many times within the block whose median is taken."""

H1_SHARE = 0.6
"""Share of glitches that are said to be from H1, whatever their class: no class tells it."""

O1_O2 = (1126051217, 1187733618)
"""GPS seconds of the first two observing runs."""

EARLY_LEVEL, EARLY_AXIS = 0.7, 0.86
"""Share of pictures drawn as most of the training set is (measured on real pictures): noise with a
mean energy of 1 in place of a median of 1; and the share of these whose frequency axis ends where
the plane does. O3's pictures, which are the later ones, have neither."""


def simulate(label: str, rng: np.random.Generator) -> Scan:
    """Returns what Gravity Spy's pictures would show of a simulated glitch.

    Most are drawn as the training set is, the others as later pictures are.
    """
    found = scan_simulated(label, rng)
    energies = found.energies
    if rng.random() < EARLY_LEVEL:
        energies = energies * np.log(2)
        if rng.random() < EARLY_AXIS:
            energies = _on_early_axis(energies, found.q)
    return replace(found, energies=energies)


def scan_simulated(label: str, rng: np.random.Generator) -> Scan:
    """Returns the scan of a simulated glitch.

    Computed in double precision, so that a seed gives the same pictures on any machine.
    """
    detector = "H1" if rng.random() < H1_SHARE else "L1"
    gps = round(rng.uniform(*O1_O2), 3)
    strain = GLITCHES[label](rng) + background(rng, detector, DARK.get(label))
    with jax.enable_x64(True):
        energies, q = scan_whitened(strain, np.float64(SECONDS / 2))
        return Scan(detector, gps, float(q), np.asarray(energies))


def _on_early_axis(energies: np.ndarray, q: float) -> np.ndarray:
    """Returns energies moved to where they lie between the plane's own first and last row."""
    low, high = FREQUENCIES
    known = frequencies(q, 64)
    wanted = pixel_frequencies(known[0], known[-1])
    places = (1 - np.log(wanted / low) / np.log(high / low)) * AXES_HEIGHT - 1.5
    before = places.astype(int).clip(0, ROWS - 2)
    share = (places - before)[:, None]
    return energies[:, before] * (1 - share) + energies[:, before + 1] * share
