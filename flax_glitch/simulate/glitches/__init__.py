"""One small function a class that makes that class's glitch, and the noise around it."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import jax
import numpy as np

from flax_glitch.simulate.glitches import bursts, lines, loud, others, resonances, tracks, trains
from flax_glitch.simulate.noise import background
from flax_glitch.simulate.shapes import SECONDS, Wave
from flax_glitch.strain.picture import Scan
from flax_glitch.strain.qtransform import scan_whitened

__all__ = ["GLITCHES", "H1_SHARE", "simulate"]

GLITCHES: Mapping[str, Callable[[np.random.Generator], Wave]] = MappingProxyType(
    {
        "1080Lines": resonances.lines_1080,
        "1400Ripples": resonances.ripples_1400,
        "Air_Compressor": lines.air_compressor,
        "Blip": bursts.blip,
        "Chirp": bursts.chirp,
        "Extremely_Loud": loud.extremely_loud,
        "Helix": trains.helix,
        "Koi_Fish": loud.koi_fish,
        "Light_Modulation": trains.light_modulation,
        "Low_Frequency_Burst": loud.low_frequency_burst,
        "Low_Frequency_Lines": lines.low_frequency_lines,
        "No_Glitch": bursts.no_glitch,
        "None_of_the_Above": others.none_of_the_above,
        "Paired_Doves": tracks.paired_doves,
        "Power_Line": lines.power_line,
        "Repeating_Blips": bursts.repeating_blips,
        "Scattered_Light": tracks.scattered_light,
        "Scratchy": tracks.scratchy,
        "Tomte": bursts.tomte,
        "Violin_Mode": resonances.violin_mode,
        "Wandering_Line": lines.wandering_line,
        "Whistle": tracks.whistle,
    }
)
"""For each class the function that draws a whitened waveform."""


def simulate(label: str, rng: np.random.Generator) -> Scan:
    """Returns what Gravity Spy's pictures would show of a simulated glitch.

    Computed in double precision, so that a seed gives the same pictures on any machine.
    """
    detector = "H1" if rng.random() < 0.6 else "L1"
    gps = round(rng.uniform(1126051217, 1187733618), 3)  # O1 and O2
    strain = GLITCHES[label](rng) + background(rng, detector)
    with jax.enable_x64(True):
        energies, q = scan_whitened(strain, np.float64(SECONDS / 2))
        return Scan(detector, gps, float(q), np.asarray(energies))
