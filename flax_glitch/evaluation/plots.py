"""Figures about answers, about training and about systems side by side.

Drawn without any global plotting state, which rules out scikit-learn's displays. Colours are
viridis throughout, which reads in print and to colour-blind people.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score
from sklearn.metrics import confusion_matrix as count_pairs
from sklearn.metrics import roc_curve as roc_points

from flax_glitch.arrays import Labels, Picture, Probabilities
from flax_glitch.classes import readable
from flax_glitch.evaluation.metrics import calibration_error, reliability

NAMED_CURVES = 5
"""The weakest classes, which the curves name; the others are drawn in grey."""

LONGEST_NAME = 40
"""Letters of a class's name that a figure shows."""

PANELS = {
    "loss": "Loss",
    "accuracy": "Accuracy",
    "precision_macro": "Precision (macro)",
    "recall_macro": "Recall (macro)",
    "pr_auc": "PR-AUC (macro)",
    "roc_auc": "ROC-AUC (macro)",
}
"""Metrics of the learning curves, with their titles."""

SETTINGS = {"learning_rate": "Learning rate", "pictures_per_second": "Pictures per second"}
"""What is drawn beside them."""

COLUMNS = 6
"""Pictures in a row of a gallery."""

_VIRIDIS = matplotlib.colormaps["viridis"]
_DASHES = ((0, ()), (0, (5, 1.5)), (0, (2, 1)), (0, (5, 1, 1, 1)), (0, (1, 1)))
_MARKERS = ("s--", "o-", "^-.")
_COLOURS = _VIRIDIS(np.linspace(0, 0.8, NAMED_CURVES))
_LINES = {
    "training": {"color": _VIRIDIS(0.75), "marker": "o"},
    "validation": {"color": _VIRIDIS(0.15), "marker": "s"},
}
_BAR = 0.38
"""Height of a bar; two share a system's place, which is 1 high."""
_BARS = {
    "per_image": ("each picture by itself", _VIRIDIS(0.72)),
    "per_glitch": ("windows of a glitch fused", _VIRIDIS(0.3)),
}

_Answers = tuple[Probabilities, Labels, Sequence[str]]
"""Probabilities, true classes, and the names of the classes."""

_Curve = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(outcomes, scores, grid) to the height of one class's curve over the grid."""


def confusion_matrix(truth: Labels, verdicts: Labels, classes: Sequence[str], title: str) -> Figure:
    """Returns counts of verdicts for each true class, coloured by their share of that class.

    Only the classes that are true or given somewhere are shown.
    """
    shown = np.union1d(truth, verdicts)
    counts = count_pairs(truth, verdicts, labels=range(len(classes)))[np.ix_(shown, shown)]
    totals = counts.sum(axis=1)
    shares = counts / np.maximum(totals[:, None], 1)
    side, ticks = max(4.6, 2.6 + 0.27 * len(shown)), range(len(shown))
    figure = Figure(figsize=(side + 1.1, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap=_VIRIDIS, vmin=0, vmax=1)
    names = [shown_name(classes[number]) for number in shown]
    true = [f"{name} ({n:,})" for name, n in zip(names, totals, strict=True)]
    axes.set_xticks(ticks, names, rotation=90, fontsize=9)
    axes.set_yticks(ticks, true, fontsize=9)
    axes.set_xlabel("Verdict", fontsize=11, labelpad=8)
    axes.set_ylabel("Truth (number)", fontsize=11, labelpad=8)
    axes.set_title(title, fontsize=12)
    for lines in (axes.hlines, axes.vlines):
        borders = np.arange(len(shown) - 1) + 0.5
        lines(borders, -0.5, len(shown) - 0.5, color="white", linewidth=0.4, alpha=0.4)
    for row, column in np.argwhere(counts):
        ink = "black" if shares[row, column] > 0.6 else "white"
        axes.text(column, row, counts[row, column], ha="center", va="center", color=ink, size=7.5)
    bar = figure.colorbar(image, shrink=0.8, pad=0.02, format=PercentFormatter(1))
    bar.set_label("Share of the true class", fontsize=11)
    return figure


def shown_name(name: str) -> str:
    """Returns a class's name as figures show it: never as mathematics, and not too long."""
    name = readable(name)
    short = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
    return short.replace("$", r"\$")


def precision_recall_curves(
    probabilities: Probabilities, labels: Labels, classes: Sequence[str], title: str
) -> Figure:
    """Returns precision against recall, each class against the rest, and their macro mean."""
    figure, axes = _square(title, "Recall", "Precision")
    grid = np.linspace(0, 1, 1001)[1:]
    answers = (probabilities, labels, classes)
    _draw_curves(axes, answers, grid, precision_at, average_precision_score)
    _legend(axes, "lower left", "Average precision")
    axes.set(xlim=(0, 1.005), ylim=(0, 1.01))
    return figure


def roc_curves(
    probabilities: Probabilities, labels: Labels, classes: Sequence[str], title: str
) -> Figure:
    """Returns the true against the false positive rate, each class against the rest.

    The false positive rate is logarithmic: good classifiers differ only at its low end.
    """
    figure, axes = _square(title, "False positive rate", "True positive rate")
    grid = np.logspace(-max(1, round(math.log10(len(probabilities)))), 0, 1001)
    answers = (probabilities, labels, classes)
    _draw_curves(axes, answers, grid, recall_at, roc_auc_score)
    axes.plot(grid, grid, color="0.4", linestyle=":", linewidth=1, label="chance 0.5")
    _legend(axes, "lower right", "Area under the curve")
    axes.set(xscale="log", xlim=(grid[0], 1), ylim=(0, 1.01))
    return figure


def reliability_diagram(answers: Mapping[str, Probabilities], labels: Labels, title: str) -> Figure:
    """Returns the share of right answers against confidence; honest ones lie on the diagonal.

    Args:
        answers: the same answers by the name of how they are calibrated, at most three ways.
        labels: true classes.
        title: what was judged.
    """
    figure, axes = _square(title, "Confidence", "Right answers")
    axes.plot((0, 1), (0, 1), color="0.4", linestyle=":", linewidth=1)
    for place, (name, probabilities) in enumerate(answers.items()):
        measured = reliability(probabilities, labels)
        ece = f"{name}: ECE {calibration_error(probabilities, labels):.2%}"
        colour = _VIRIDIS(0.75 - 0.35 * place)
        points, areas = (measured["confidence"], measured["right"]), measured["n"] / len(labels)
        axes.plot(*points, _MARKERS[place], color=colour, linewidth=1.3, label=ece)
        axes.scatter(*points, 20 + 280 * areas, color=colour, alpha=0.4)
    axes.legend(loc="lower right", fontsize=9, title="Area: number of answers")
    axes.set(xlim=(0, 1.02), ylim=(-0.02, 1.02))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1))
    return figure


def precision_at(outcomes: np.ndarray, scores: np.ndarray, recall: np.ndarray) -> np.ndarray:
    """Returns the precision of one class at each recall, in the steps of average precision."""
    precision, reached, _ = precision_recall_curve(outcomes, scores, drop_intermediate=True)
    return precision[::-1][np.searchsorted(reached[::-1], recall)]


def recall_at(outcomes: np.ndarray, scores: np.ndarray, false_positives: np.ndarray) -> np.ndarray:
    """Returns the true positive rate of one class at each false positive rate."""
    return np.interp(false_positives, *roc_points(outcomes, scores)[:2])


def learning_curves(history: Sequence[Mapping[str, Any]]) -> Figure:
    """Returns how the metrics, the learning rate and the speed went from epoch to epoch.

    Args:
        history: one record an epoch, as training writes them: epoch, learning_rate,
            pictures_per_second, and the metrics of training and validation (or None).
    """
    figure = Figure(figsize=(14, 6.4), layout="constrained")
    log = pd.json_normalize(list(history)).set_index("epoch")
    parts = {part for part in ("training", "validation") if f"{part}.loss" in log}
    panels = dict(zip([*PANELS, *SETTINGS], figure.subplots(2, 4).ravel(), strict=True))
    for metric, title in PANELS.items():
        for part in sorted(parts):
            values = log[f"{part}.{metric}"].astype(float)  # a metric that is None leaves a gap
            panels[metric].plot(values, **_LINES[part], markersize=3.5, label=part)
        if "validation" in parts:
            best = log["validation.loss"].idxmin()
            panels[metric].axvline(best, color="0.5", ls=":", label="lowest validation loss")
        panels[metric].set_title(title, fontsize=12)
    for setting, title in SETTINGS.items():
        panels[setting].plot(log[setting], "o-", color=_VIRIDIS(0.45), markersize=3.5)
        panels[setting].set_title(title, fontsize=12)
    panels["loss"].legend(fontsize=10)
    panels["learning_rate"].set_yscale("log")
    panels["pictures_per_second"].set_ylim(0, 1.15 * log["pictures_per_second"].max())
    for axes in panels.values():
        axes.set_xlim(log.index.min() - 0.5, log.index.max() + 0.5)
        axes.set_xlabel("Epoch", fontsize=10)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(color="0.92")
    return figure


def accuracy_bars(systems: Sequence[Mapping[str, Any]], title: str, report: str) -> Figure:
    """Returns the accuracy of systems with 95 % intervals, and the report's as hollow marks.

    Args:
        systems: name, metrics `per_image` and `per_glitch`, and the figures `published` (or None).
        title: what was judged.
        report: source of the published figures.
    """
    figure = Figure(figsize=(9, 1.7 + 0.62 * len(systems)), layout="constrained")
    axes = figure.add_subplot()
    starts = [_draw_bars(axes, systems, kind) for kind in _BARS]
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


def _square(title: str, across: str, up: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7, 5.8), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=12)
    axes.set_xlabel(across, fontsize=11)
    axes.set_ylabel(up, fontsize=11)
    axes.grid(color="0.92")
    return figure, axes


def _draw_curves(axes: Axes, answers: _Answers, grid: np.ndarray, curve: _Curve, area: Any) -> None:
    """Draws one thin line a class, the weakest classes named, and the macro mean."""
    probabilities, labels, classes = answers
    present = np.unique(labels)
    if len(present) < 2:
        note = "Not defined: the truth holds one class only"
        axes.text(0.5, 0.5, note, ha="center", transform=axes.transAxes, fontsize=11)
        return
    pairs = [(np.asarray(labels) == number, probabilities[:, number]) for number in present]
    heights = [curve(*pair, grid) for pair in pairs]
    areas = [float(area(*pair)) for pair in pairs]
    mean = f"mean of {len(present)} classes {np.mean(areas):.4f}"
    axes.plot(grid, np.mean(heights, axis=0), color="black", linewidth=2.4, zorder=3, label=mean)
    weakest, others = np.split(np.argsort(areas), [NAMED_CURVES])
    for place, dashes, colour in zip(weakest, _DASHES, _COLOURS, strict=False):
        name = f"{shown_name(classes[present[place]])} {areas[place]:.4f}"
        axes.plot(grid, heights[place], color=colour, linestyle=dashes, linewidth=1.3, label=name)
    for order, place in enumerate(others):
        label = None if order else f"each of the other {len(others)}"
        axes.plot(grid, heights[place], color="0.8", linewidth=0.8, zorder=1, label=label)


def _legend(axes: Axes, place: Literal["lower left", "lower right"], title: str) -> None:
    if lines := axes.get_legend_handles_labels()[0]:
        axes.legend(handles=lines, loc=place, fontsize=9, title=title)


def _draw_bars(axes: Axes, systems: Sequence[Mapping[str, Any]], kind: str) -> float:
    """Draws a bar a system, those per picture above, and returns their intervals' lowest end."""
    values = np.array([system[kind]["accuracy"] for system in systems])
    intervals = [system[kind]["intervals"]["accuracy"] for system in systems]
    limits = [span or [value, value] for span, value in zip(intervals, values, strict=True)]
    lengths = np.abs(np.transpose(limits) - values)
    places = np.arange(len(values)) + (-_BAR / 2 if kind == "per_image" else _BAR / 2)
    name, colour = _BARS[kind]
    axes.barh(places, values, 0.95 * _BAR, xerr=lengths, capsize=3, color=colour, label=name)
    for place, value in zip(places, values, strict=True):
        beside = axes.get_yaxis_transform()
        axes.text(1.01, place, f"{value:.1%}", va="center", transform=beside)
    return float(np.min(limits))
