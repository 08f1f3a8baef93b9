"""What an evaluation leaves behind to read: metrics, predictions, tables and figures."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from flax_glitch.classes import CLASSES, readable
from flax_glitch.data.records import Split

Entry = Any
from flax_glitch.evaluation import plots
from flax_glitch.evaluation.compare_plots import gallery
from flax_glitch.evaluation.evaluate import Outputs
from flax_glitch.files import write_whole

DOTS_PER_INCH = 150
"""Resolution of the figures."""

MISTAKES = 24
"""Pictures in mistakes.png at most."""

COLUMNS = (
    "path",
    "gravityspy_id",
    "ifo",
    "duration",
    "truth",
    "verdict",
    "confidence",
    "glitch_verdict",
    "glitch_confidence",
)
"""The columns of predictions.csv, before one probability a class."""

CARD_FIGURES = {
    "confusion_per_glitch.png": (
        "Confusion matrix",
        "how many glitches of each true class were taken for which class, windows fused",
    ),
    "reliability_per_glitch.png": (
        "Reliability diagram",
        "the share of right verdicts on glitches at each confidence; honest ones lie on the "
        "diagonal",
    ),
    "learning_curves.png": (
        "Learning curves",
        "how loss, accuracy, other metrics, learning rate and speed went from epoch to epoch",
    ),
}
"""The figures that go with a model card: title, and what each shows."""

TABLE = {
    "accuracy": "accuracy",
    "precision_macro": "precision, macro",
    "recall_macro": "recall, macro",
    "f1_macro": "F1, macro",
    "precision_weighted": "precision, weighted",
    "recall_weighted": "recall, weighted",
    "top_2": "right class among the first two",
    "pr_auc": "PR-AUC, macro",
    "roc_auc": "ROC-AUC, macro",
    "ece": "calibration error (ECE)",
    "ece_uncalibrated": "the same, of bare softmax",
}
"""The metrics that `as_text` shows, with their names."""


def write_report(
    folder: Path,
    outputs: Outputs,
    summary: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> None:
    """Writes an evaluation's metrics, predictions, per-class tables and figures into a folder.

    Each file is written whole or not at all; files of an earlier report are replaced.

    Args:
        folder: made if it isn't there.
        outputs: the scores of every picture.
        summary: their metrics, `per_image` and `per_glitch`.
        provenance: what was evaluated on what; kept under that name in `metrics.json`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    metrics = {**summary, "provenance": dict(provenance)}
    write_whole(folder / "metrics.json", json.dumps(metrics, indent=2, allow_nan=False) + "\n")
    write_whole(folder / "predictions.csv", _predictions(outputs))
    write_whole(folder / "per_class.md", _per_class(summary))
    images = (outputs.probabilities, outputs.labels)
    glitches = (outputs.glitch_probabilities, outputs.glitch_labels)
    _draw(folder, "per_image", f"Each picture by itself (n = {len(images[1]):,})", *images)
    _draw(folder, "per_glitch", f"Views of a glitch fused (n = {len(glitches[1]):,})", *glitches)
    _draw_reliability(folder, outputs)


def write_mistakes(folder: Path, outputs: Outputs, splits: Sequence[Split]) -> None:
    """Writes mistakes.png, the pictures most confidently taken for another class, if there are any.

    Args:
        folder: that of the evaluation; an earlier file there goes.
        outputs: the scores of every picture.
        splits: the pictures themselves, one split after the other.
    """
    confidences, verdicts = outputs.probabilities.max(axis=1), outputs.probabilities.argmax(axis=1)
    wrong = np.flatnonzero(verdicts != outputs.labels)
    shown = wrong[np.argsort(-confidences[wrong], kind="stable")][:MISTAKES]
    path = folder / "mistakes.png"
    if not len(shown):
        path.unlink(missing_ok=True)
        return
    places = [(split, number) for split in splits for number in range(len(split))]
    pictures = [split[number] for split, number in (places[one] for one in shown)]
    captions = [
        _caption(outputs.entries[one], CLASSES[verdicts[one]], confidences[one]) for one in shown
    ]
    which = f", the {len(shown)} surest" if len(shown) < len(wrong) else ""
    title = f"{len(wrong):,} of {len(verdicts):,} pictures taken for another class{which}"
    save_figure(gallery(pictures, captions, title), path)


def plot_learning_curves(history: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Writes the figure of how training went.

    Args:
        history: one record an epoch: epoch, learning_rate, pictures_per_second, and the metrics
            of training and of validation (or None).
        path: the PNG file to write.
    """
    save_figure(plots.learning_curves(history), path)


def card_figures(*folders: Path) -> dict[str, Path]:
    """Returns the figures that go with a model card, by name, as far as these folders have them."""
    places = ((name, folder / name) for name in CARD_FIGURES for folder in folders)
    return {name: path for name, path in places if path.is_file()}


def as_text(summary: Mapping[str, Any]) -> str:
    """Returns the main metrics as a short table for the terminal, in per cent."""
    kinds = (summary["per_image"], summary["per_glitch"])
    lines = [
        ("per cent (95 % interval)", "per image", "per glitch"),
        ("number", *(f"{kind['n']:,}" for kind in kinds)),
        *(
            (name, *(with_interval(kind, metric) for kind in kinds))
            for metric, name in TABLE.items()
        ),
    ]
    present = len(kinds[0]["classes_present"])
    note = f"Macro: over the {present} of {len(CLASSES)} classes that the truth holds."
    table = (f"{name:<32}{image:>23}{glitch:>24}" for name, image, glitch in lines)
    return "\n".join((*table, note))


def with_interval(metrics: Mapping[str, Any], metric: str) -> str:
    """Returns a metric and its 95 % interval in per cent."""
    if metrics[metric] is None:
        return "not defined"
    limits = metrics["intervals"].get(metric)
    interval = f" ({100 * limits[0]:.1f} to {100 * limits[1]:.1f})" if limits else ""
    return f"{100 * metrics[metric]:.2f}{interval}"


def _predictions(outputs: Outputs) -> str:
    """One row a picture: what it is, the answer, its glitch's answer, all probabilities."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow((*COLUMNS, *(f"p({name})" for name in CLASSES)))
    fused = outputs.glitch_probabilities[outputs.glitches]
    for entry, alone, glitch in zip(outputs.entries, outputs.probabilities, fused, strict=True):
        picture = (entry.path, entry.gravityspy_id, entry.ifo, entry.duration, entry.label)
        answers = (*_verdict(alone), *_verdict(glitch))
        table.writerow((*picture, *answers, *(f"{value:.6g}" for value in alone)))
    return text.getvalue()


def _verdict(probabilities: np.ndarray) -> tuple[str, str]:
    return CLASSES[probabilities.argmax()], f"{probabilities.max():.6g}"


def _per_class(summary: Mapping[str, Any]) -> str:
    columns = ("n", "precision", "recall", "f1", "average_precision")
    lines = ["# Per class", "", "A dash: not defined, since no such glitch is in the truth.", ""]
    for kind, title in (("per_image", "Per image"), ("per_glitch", "Per glitch")):
        lines += [f"## {title}", "", "| Class | n | Precision | Recall | F1 | Average precision |"]
        lines += ["|---|---:|---:|---:|---:|---:|"]
        for name, row in summary[kind]["per_class"].items():
            cells = (_rounded(row[column]) for column in columns)
            lines += [f"| {readable(name)} | {' | '.join(cells)} |"]
        lines += [""]
    return "\n".join(lines)


def _caption(entry: Entry, verdict: str, confidence: float) -> str:
    window = f", {entry.duration:g} s" if entry.duration else ""
    return f"{readable(entry.label)}{window}\n→ {readable(verdict)}, {confidence:.0%}"


def _rounded(value: int | float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _draw(
    folder: Path, kind: str, title: str, probabilities: np.ndarray, labels: np.ndarray
) -> None:
    verdicts = probabilities.argmax(axis=1)
    share = f"{title}: {np.mean(verdicts == labels):.2%} right"
    save_figure(plots.confusion_matrix(labels, verdicts, share), folder / f"confusion_{kind}.png")
    curves = plots.precision_recall_curves(probabilities, labels, title)
    save_figure(curves, folder / f"precision_recall_{kind}.png")
    save_figure(plots.roc_curves(probabilities, labels, title), folder / f"roc_{kind}.png")


def _draw_reliability(folder: Path, outputs: Outputs) -> None:
    """Draws how honest the probabilities are, before calibration and after it."""
    ways = {"bare softmax": outputs.uncalibrated}
    if outputs.calibration:
        ways["calibrated"] = outputs
    images = {name: way.probabilities for name, way in ways.items()}
    glitches = {name: way.glitch_probabilities for name, way in ways.items()}
    for kind, title, answers, labels in (
        ("per_image", "Each picture by itself", images, outputs.labels),
        ("per_glitch", "Views of a glitch fused", glitches, outputs.glitch_labels),
    ):
        figure = plots.reliability_diagram(answers, labels, f"{title} (n = {len(labels):,})")
        save_figure(figure, folder / f"reliability_{kind}.png")


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG, whole or not at all."""
    content = io.BytesIO()
    figure.savefig(content, dpi=DOTS_PER_INCH, format="png")
    write_whole(path, content.getvalue())
