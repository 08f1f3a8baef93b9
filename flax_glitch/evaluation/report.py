"""What an evaluation leaves behind to read: metrics, predictions, tables and figures."""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from flax_glitch.arrays import Picture
from flax_glitch.classes import readable
from flax_glitch.evaluation import plots
from flax_glitch.files import write_whole

if TYPE_CHECKING:  # the model cards of the app need no data sets
    import flax_glitch.data.records
    import flax_glitch.evaluation.evaluate

DOTS_PER_INCH = 150
"""Resolution of the figures."""

MISTAKES = 24
"""Pictures in mistakes.png at most."""

TITLES = {"per_image": "Each picture by itself", "per_glitch": "Views of a glitch fused"}
"""What is judged, as figures say it."""

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
    outputs: "flax_glitch.evaluation.evaluate.Outputs",
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
    metrics = {"classes": outputs.classes, **summary, "provenance": dict(provenance)}
    write_whole(folder / "metrics.json", json.dumps(metrics, indent=2, allow_nan=False) + "\n")
    table = predictions(outputs).to_csv(index=False, float_format="%.6g", lineterminator="\n")
    write_whole(folder / "predictions.csv", table)
    write_whole(folder / "per_class.md", _per_class(summary))
    bare = outputs.uncalibrated
    ways = {"bare softmax": bare} | ({"calibrated": outputs} if outputs.calibration else {})
    for kind in TITLES:
        _draw_answers(folder, kind, outputs)
        draw_reliability(folder, kind, ways)


def predictions(outputs: "flax_glitch.evaluation.evaluate.Outputs") -> pd.DataFrame:
    """Returns the table with the answer on each picture and on its glitch, and probabilities."""
    alone, fused = outputs.probabilities, outputs.glitch_probabilities[outputs.glitches]
    names = np.array(outputs.classes)
    answers = outputs.table.assign(
        verdict=names[alone.argmax(axis=1)],
        confidence=alone.max(axis=1),
        glitch_verdict=names[fused.argmax(axis=1)],
        glitch_confidence=fused.max(axis=1),
    )
    columns = [f"p({name})" for name in names]
    return answers.join(pd.DataFrame(alone, answers.index, columns))


def write_mistakes(
    folder: Path,
    outputs: "flax_glitch.evaluation.evaluate.Outputs",
    splits: Sequence["flax_glitch.data.records.Split"],
) -> None:
    """Writes mistakes.png, the pictures most confidently taken for another class, if there are any.

    Args:
        folder: that of the evaluation; an earlier file there goes.
        outputs: the scores of every picture.
        splits: the pictures themselves, one split after the other.
    """
    answers, path = predictions(outputs), folder / "mistakes.png"
    wrong = answers[answers["verdict"] != answers["label"]]
    shown = wrong.sort_values("confidence", ascending=False, kind="stable")[:MISTAKES]
    if shown.empty:
        path.unlink(missing_ok=True)
        return
    pictures = [_picture(splits, number) for number in shown.index]
    captions = [_caption(row) for row in shown.to_dict("records")]
    which = f", the {len(shown)} surest" if len(shown) < len(wrong) else ""
    title = f"{len(wrong):,} of {len(answers):,} pictures taken for another class{which}"
    save_figure(plots.gallery(pictures, captions, title), path)


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
    present, known = len(kinds[0]["classes_present"]), len(kinds[0]["per_class"])
    note = f"Macro: over the {present} of {known} classes that the truth holds."
    table = (f"{name:<32}{image:>23}{glitch:>24}" for name, image, glitch in lines)
    return "\n".join((*table, note))


def with_interval(metrics: Mapping[str, Any], metric: str) -> str:
    """Returns a metric and its 95 % interval in per cent."""
    if metrics[metric] is None:
        return "not defined"
    limits = metrics["intervals"].get(metric)
    interval = f" ({100 * limits[0]:.1f} to {100 * limits[1]:.1f})" if limits else ""
    return f"{100 * metrics[metric]:.2f}{interval}"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table whose first column is text and whose others are numbers."""
    rule = ("---", *["---:"] * (len(header) - 1))
    whole = [[cell.replace("|", r"\|") for cell in row] for row in (header, rule, *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in whole)


def draw_reliability(
    folder: Path, kind: str, ways: Mapping[str, "flax_glitch.evaluation.evaluate.Outputs"]
) -> None:
    """Writes how honest the probabilities are, `per_image` or `per_glitch`.

    Args:
        folder: the figure's.
        kind: which.
        ways: the same outputs by the name of how they are calibrated.
    """
    answers = {name: way.answers[kind].probabilities for name, way in ways.items()}
    labels = next(iter(ways.values())).answers[kind].labels
    figure = plots.reliability_diagram(answers, labels, f"{TITLES[kind]} (n = {len(labels):,})")
    save_figure(figure, folder / f"reliability_{kind}.png")


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG, whole or not at all."""
    content = io.BytesIO()
    figure.savefig(content, dpi=DOTS_PER_INCH, format="png")
    write_whole(path, content.getvalue())


def _per_class(summary: Mapping[str, Any]) -> str:
    header = ("Class", "n", "Precision", "Recall", "F1", "Average precision")
    parts = ["# Per class", "A dash: not defined, since no such glitch is in the truth."]
    for kind, title in (("per_image", "Per image"), ("per_glitch", "Per glitch")):
        rows = [
            (readable(name), *map(_rounded, row.values()))
            for name, row in summary[kind]["per_class"].items()
        ]
        parts += [f"## {title}", markdown_table(header, rows)]
    return "\n\n".join(parts) + "\n"


def _rounded(value: int | float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _picture(splits: Sequence["flax_glitch.data.records.Split"], number: int) -> Picture:
    for split in splits:
        if number < len(split):
            return split[number]
        number -= len(split)
    raise IndexError(number)


def _caption(row: Mapping[Any, Any]) -> str:
    window = f", {row['duration']:g} s" if row["duration"] > 0 else ""
    truth, verdict = (plots.shown_name(row[column]) for column in ("label", "verdict"))
    return f"{truth}{window}\n→ {verdict}, {row['confidence']:.0%}"


def _draw_answers(
    folder: Path, kind: str, outputs: "flax_glitch.evaluation.evaluate.Outputs"
) -> None:
    probabilities, labels, _ = outputs.answers[kind]
    verdicts = probabilities.argmax(axis=1)
    title = f"{TITLES[kind]} (n = {len(labels):,})"
    right = f"{title}: {np.mean(verdicts == labels):.2%} right"
    figures = {
        "confusion": plots.confusion_matrix(labels, verdicts, outputs.classes, right),
        "precision_recall": plots.precision_recall_curves(
            probabilities, labels, outputs.classes, title
        ),
        "roc": plots.roc_curves(probabilities, labels, outputs.classes, title),
    }
    for name, figure in figures.items():
        save_figure(figure, folder / f"{name}_{kind}.png")
