"""Pictures to compare by: accuracies side by side, and what a system gets wrong."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from flax_glitch.arrays import Picture

COLUMNS = 6
"""Pictures in a row of a gallery."""

_VIRIDIS = matplotlib.colormaps["viridis"]
_BAR = 0.38
"""Height of a bar; two share a system's place, which is 1 high."""
_COLOURS = {"per_image": _VIRIDIS(0.72), "per_glitch": _VIRIDIS(0.3)}
_NAMES = {"per_image": "each picture by itself", "per_glitch": "windows of a glitch fused"}


def accuracy_bars(systems: Sequence[Mapping[str, Any]], title: str, report: str) -> Figure:
    """Returns the accuracy of systems with 95 % intervals, and the report's as hollow marks.

    Args:
        systems: name, metrics `per_image` and `per_glitch`, and the figures `published` (or None).
        title: what was judged.
        report: source of the published figures.
    """
    figure = Figure(figsize=(9, 1.7 + 0.62 * len(systems)), layout="constrained")
    axes = figure.add_subplot()
    starts = [_draw_bars(axes, systems, kind) for kind in _NAMES]
    theirs = [
        (system["published"]["accuracy"], place - _BAR / 2)
        for place, system in enumerate(systems)
        if system["published"]
    ]
    if theirs:
        label = f"theirs: {report}"
        axes.plot(*zip(*theirs, strict=True), "kD", mfc="white", markersize=7, label=label)
    lowest = min(*starts, *(accuracy for accuracy, _ in theirs))
    start = max(0, math.floor(10 * lowest - 0.5) / 10)
    axes.set(xlim=(start, 1), ylim=(len(systems) - 0.5, -0.5))
    axes.set_yticks(range(len(systems)), [system["name"] for system in systems], fontsize=11)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("Accuracy, 95 % intervals" + f" (bars start at {start:.0%})" * (start > 0))
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.set_title(title, fontsize=12)
    figure.legend(loc="outside lower center", ncols=3, fontsize=10, frameon=False)
    return figure


def gallery(pictures: Sequence[Picture], captions: Sequence[str], title: str) -> Figure:
    """Returns pictures in rows, each under its caption."""
    columns = min(COLUMNS, max(3, len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    figure = Figure(figsize=(2.1 * columns, 0.4 + 2.5 * rows), layout="constrained")
    figure.suptitle(title, fontsize=12)
    for number, axes in enumerate(figure.subplots(rows, columns, squeeze=False).ravel()):
        axes.set_axis_off()
        if number < len(pictures):
            axes.imshow(pictures[number])
            axes.set_title(captions[number], fontsize=9)
    return figure


def _draw_bars(axes: Axes, systems: Sequence[Mapping[str, Any]], kind: str) -> float:
    """Draws a bar a system, those per picture above, and returns their intervals' lowest end."""
    values = np.array([system[kind]["accuracy"] for system in systems])
    intervals = [system[kind]["intervals"]["accuracy"] for system in systems]
    limits = [span or [value, value] for span, value in zip(intervals, values, strict=True)]
    lengths = np.abs(np.transpose(limits) - values)
    places = np.arange(len(values)) + (-_BAR / 2 if kind == "per_image" else _BAR / 2)
    colour, name = _COLOURS[kind], _NAMES[kind]
    axes.barh(places, values, 0.95 * _BAR, xerr=lengths, capsize=3, color=colour, label=name)
    for place, value in zip(places, values, strict=True):
        beside = axes.get_yaxis_transform()
        axes.text(1.01, place, f"{value:.1%}", va="center", transform=beside)
    return float(np.min(limits))
