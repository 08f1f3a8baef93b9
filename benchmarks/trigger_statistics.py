"""Loudness and frequency of simulated glitches beside those of real triggers, class by class.

    python benchmarks/trigger_statistics.py class_quantiles.csv --out docs/triggers.png

Draws glitches, reads off their loudest tile within 0.25 s of the event, and draws its
signal-to-noise ratio and frequency (median, 25 to 75 % and 5 to 95 %) beside the real ones'. A
tile's energy, in units of the noise's median, is the square of its ratio over 2 ln 2.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tqdm import tqdm

from flax_glitch.classes import CLASSES, INDEX, readable
from flax_glitch.simulate.glitches import scan_simulated
from flax_glitch.strain.qtransform import pixel_frequencies
from flax_glitch.strain.tiling import FREQUENCIES

SHARES = (5, 25, 50, 75, 95)
UNSURE = ("1080Lines", "No_Glitch", "None_of_the_Above", "Violin_Mode", "Wandering_Line", "Whistle")
"""Classes of which the table says little: few of their triggers are in it, or wrong ones."""


def main() -> None:
    """Writes the figure and prints the medians; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("quantiles", type=Path)
    parser.add_argument("--per-class", type=int, default=30)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    with given.quantiles.open(newline="") as file:
        real = {row["label"]: row for row in csv.DictReader(file)}
    figure = Figure(figsize=(11, 8), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for row, name in enumerate(tqdm(CLASSES, unit="class")):
        drawn = np.percentile([loudest(name, n) for n in range(given.per_class)], SHARES, axis=0)
        for panel, column, ours in zip(panels, ("snr", "peak_frequency"), drawn.T, strict=True):
            theirs = [float(real[name][f"{column}_q{share:02}"]) for share in SHARES]
            bars(panel, row - 0.17, theirs, "lightgrey" if name in UNSURE else "black")
            bars(panel, row + 0.17, ours, "tab:orange")
            tqdm.write(f"{name:20} {column:15} real {theirs[2]:8.1f} simulated {ours[2]:8.1f}")
    for panel, title in zip(panels, ("Signal-to-noise ratio", "Peak frequency (Hz)"), strict=True):
        panel.set(xscale="log", xlabel=title)
        panel.grid(axis="x", alpha=0.3)
    panels[0].set_yticks(range(len(CLASSES)), [readable(name) for name in CLASSES])
    panels[0].invert_yaxis()
    figure.suptitle("Triggers: real (black; grey where few are known) and simulated (orange)")
    figure.savefig(given.out, dpi=90)


def loudest(name: str, number: int) -> tuple[float, float]:
    """Returns the signal-to-noise ratio and the frequency (Hz) of a glitch's loudest tile."""
    window = scan_simulated(name, np.random.default_rng([0, INDEX[name], number])).energies[0]
    row = np.unravel_index(window.argmax(), window.shape)[0]
    frequency = pixel_frequencies(*FREQUENCIES)[row]
    return float(np.sqrt(2 * np.log(2) * window.max())), float(frequency)


def bars(panel: Axes, height: float, quantiles: np.ndarray | list[float], colour: str) -> None:
    """Draws the quantiles as a thin and a thick bar with a dot."""
    panel.plot(quantiles[::4], [height] * 2, color=colour, linewidth=1)
    panel.plot(quantiles[1:4:2], [height] * 2, color=colour, linewidth=4)
    panel.plot(quantiles[2], height, "o", color=colour, markersize=5)


if __name__ == "__main__":
    main()
