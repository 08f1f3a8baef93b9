"""What a comparison leaves behind to read: Markdown, JSON, a bar chart and each run's figures."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flax_glitch.classes import readable
from flax_glitch.evaluation.compare import KINDS, RATES, System, compare
from flax_glitch.evaluation.plots import accuracy_bars
from flax_glitch.evaluation.report import markdown_table, save_figure, with_interval
from flax_glitch.files import write_whole

FIGURES = {
    "confusion_per_glitch": "verdicts for each true class, windows of a glitch fused",
    "mistakes": "pictures that were most confidently taken for something else",
}
"""What is shown of each run's own evaluation, by the name of its file."""

ACCURACIES = """\
Training and validation: at the epoch whose model was kept, each picture by itself (gravityspy-cnn:
each glitch); in training the weights were still changing and units were dropped, as in what Keras
reports. Test: with the 95 % interval that bootstrap draws of whole glitches give."""

BINARY = """\
Keras' *binary accuracy* takes each class's output as a yes or no of its own (is it above 0.5?).
Whoever answers "none of them" to everything already gets {right}: it makes figures
look alike and high, explains the report's for training and validation, and ranks nothing."""

AVERAGES = """\
Weighted: each class counts by its number; micro: each sample counts the same, which is the
accuracy again; macro: each class counts the same, so that rare ones are heard."""

PAIRS = """\
McNemar's exact test looks at the glitches that one of two systems alone has right: p is the chance
of a split at least as uneven if both erred equally often. Holm's p allows for the number of pairs
tested; below 0.05 (bold) the difference is more than luck with these glitches. The differences,
first minus second, are in points of per cent with the 95 % interval of paired bootstrap draws of
glitches: one that spans zero leaves open which is better, and none of this tells how much another
seed of training would change."""

RECALLS = """\
The share of each class's glitches that was recognised, in per cent; the best of a row in bold. Of
few glitches each is many points: with 4, one more is 25."""

DASH = "-"


def write_comparison(folder: Path, systems: Sequence[System]) -> dict[str, Any]:
    """Writes comparison.md, .json and the figures that it shows, and returns the comparison.

    Args:
        folder: made if it isn't there; it can be moved, since it holds all that it shows.
        systems: one or more that `check_comparable` passed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    comparison = compare(systems)
    title, source = _subject(comparison), comparison["published"]["source"]
    save_figure(accuracy_bars(comparison["systems"], title, source), folder / "accuracy.png")
    figures = {system.name: _copy_figures(system, folder) for system in systems}
    text = json.dumps(comparison, indent=2, allow_nan=False)
    write_whole(folder / "comparison.json", f"{text}\n")
    write_whole(folder / "comparison.md", as_markdown(comparison, figures))
    return comparison


def as_text(comparison: Mapping[str, Any]) -> str:
    """Returns the main figures as a short table for the terminal, in per cent."""
    lines = [f"{'accuracy (95 % interval)':<24}{'per picture':>23}{'per glitch':>24}{'F1':>8}"]
    for system in comparison["systems"]:
        alone, fused = (with_interval(system[kind], "accuracy") for kind in KINDS)
        f1 = _percent(system["per_glitch"], "f1_macro")
        lines.append(f"{system['name']:<24}{alone:>23}{fused:>24}{f1:>8}")
        if system["published"]:
            lines.append(f"{'  theirs':<24}{_percent(system['published'], 'accuracy'):>23}")
    lines.append("Per cent. F1: macro, per glitch.")
    return "\n".join(lines) + "\nTheirs: {source}, on {on}.".format(**comparison["published"])


def as_markdown(comparison: Mapping[str, Any], figures: Mapping[str, Sequence[str]]) -> str:
    """Returns the comparison as a document.

    Args:
        comparison: what `compare` returns.
        figures: of each system, the names of its own figures beside the document.
    """
    systems, pairs = comparison["systems"], _pairs(comparison["pairs"])
    sections = {
        "Accuracy": (_accuracies(systems), ACCURACIES, _notes(comparison)),
        "Beside Keras' binary accuracy": _binary(systems),
        "Test, each picture by itself": (_rates(systems, "per_image"),),
        "Test, windows of a glitch fused": (_rates(systems, "per_glitch"), AVERAGES),
        "Which differences are more than luck": (pairs, PAIRS) if pairs else (),
        "Recall of each class, windows of a glitch fused": (_recalls(systems), RECALLS),
        "What each takes for what": tuple(_shown(figures)),
    }
    parts = [f"# Systems compared\n\n{_subject(comparison)}.", "![Accuracies](accuracy.png)"]
    for title, content in sections.items():
        parts += [f"## {title}", *filter(None, content)] if content else []
    return "\n\n".join(parts) + "\n"


def _subject(comparison: Mapping[str, Any]) -> str:
    data = comparison["data"]
    return (
        f"{data['glitches']:,} glitches in {data['pictures']:,} pictures: {data['split']} split of "
        f"{data['source']} ({data['layout']} layout)"
    )


def _copy_figures(system: System, folder: Path) -> list[str]:
    """Copies a run's own figures beside the document and returns their names."""
    names = []
    for figure in FIGURES:
        source = system.folder / "evaluation" / f"{figure}.png"
        target = folder / f"{system.name}_{figure}.png"
        target.unlink(missing_ok=True)
        if source.is_file():
            shutil.copyfile(source, target)
            names.append(target.name)
    return names


def _accuracies(systems: Sequence[Mapping[str, Any]]) -> str:
    header = ("Per cent", "Network", "Parameters", "Training", "Validation", "Test, per picture")
    rows = []
    for system in systems:
        parameters = f"{system['parameters']:,}"
        logged = (_percent(system[part], "accuracy") for part in ("training", "validation"))
        tested = (with_interval(system[kind], "accuracy") for kind in KINDS)
        rows.append((system["name"], system["network"], parameters, *logged, *tested))
        if theirs := system["published"]:
            accuracies = (_percent(theirs, name) for name in ("training", "validation", "accuracy"))
            rows.append(_italic(("theirs", system["network"], DASH, *accuracies, DASH)))
    return markdown_table((*header, "Test, per glitch"), rows)


def _notes(comparison: Mapping[str, Any]) -> str:
    """What to bear in mind: whose figures are theirs, and who was trained on what it was asked."""
    published, systems = comparison["published"], comparison["systems"]
    notes = []
    if any(system["published"] for system in systems):
        theirs = {"layout": "kaggle", "split": "test", "pictures": 4720}
        warning = ". **The pictures above are others**, so theirs is no yardstick for ours here"
        other = "" if theirs.items() <= comparison["data"].items() else warning
        notes.append(
            f"*Theirs*: figures of {published['source']}, as its authors measured them on "
            f"{published['on']}{other}."
        )
    notes += [
        f"**{system['name']} was trained on {system['trained_on']} of these glitches**: "
        "its figures say nothing about new ones."
        for system in systems
        if system["trained_on"]
    ]
    return "\n\n".join(notes)


def _binary(systems: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Accuracy and binary accuracy of each part, nothing if no system has the latter."""
    kinds, parts = ("accuracy", "binary_accuracy"), ("training", "validation", "per_image")
    if not any("binary_accuracy" in (system[part] or ()) for system in systems for part in parts):
        return ()
    header = ("Per cent", "Training", "binary", "Validation", "binary", "Test", "binary")
    rows = [
        (system["name"], *(_percent(system[part], kind) for part in parts for kind in kinds))
        for system in systems
    ]
    classes = len(systems[0]["per_image"]["per_class"])
    right = f"{classes - 1} of {classes} right, {100 - 100 / classes:.2f} %"
    return markdown_table(header, rows), BINARY.format(right=right)


def _rates(systems: Sequence[Mapping[str, Any]], kind: str) -> str:
    rows = []
    for system in systems:
        rows.append((system["name"], *(_percent(system[kind], rate) for rate in RATES)))
        if kind == "per_image" and (theirs := system["published"]):
            rows.append(_italic(("theirs", *(_percent(theirs, rate) for rate in RATES))))
    return markdown_table(("Per cent", *RATES.values()), rows)


def _pairs(pairs: Sequence[Mapping[str, Any]]) -> str:
    header = ("First", "Second", "Only first right", "Only second right", "McNemar's p", "Holm's p")
    rows = [
        (
            pair["first"],
            pair["second"],
            f"{pair['only_first']:,}",
            f"{pair['only_second']:,}",
            f"{pair['p']:.2g}",
            f"**{pair['p_holm']:.2g}**" if pair["p_holm"] < 0.05 else f"{pair['p_holm']:.2g}",
            *(_difference(pair[metric]) for metric in ("accuracy", "recall_macro")),
        )
        for pair in pairs
    ]
    return markdown_table((*header, "Δ accuracy", "Δ macro recall"), rows) if pairs else ""


def _difference(measured: Mapping[str, Any]) -> str:
    low, high = measured["interval"]
    return f"{100 * measured['difference']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def _recalls(systems: Sequence[Mapping[str, Any]]) -> str:
    tables = [system["per_glitch"]["per_class"] for system in systems]
    rows = []
    for label, first in tables[0].items():
        values = [table[label]["recall"] for table in tables]
        if first["n"]:
            best = max(values) if len(set(values)) > 1 else None
            cells = (f"**{100 * v:.1f}**" if v == best else f"{100 * v:.1f}" for v in values)
            rows.append((readable(label), f"{first['n']:,}", *cells))
    return markdown_table(("Class", "n", *(system["name"] for system in systems)), rows)


def _shown(figures: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for name, files in figures.items():
        yield f"### {name}"
        for file in files:
            what = next(text for figure, text in FIGURES.items() if file.endswith(f"{figure}.png"))
            yield f"![{name}: {what}]({quote(file)})"


def _percent(metrics: Mapping[str, Any] | None, name: str) -> str:
    value = (metrics or {}).get(name)
    return DASH if value is None else f"{100 * value:.2f}"


def _italic(cells: Sequence[str]) -> tuple[str, ...]:
    return tuple(cell if cell == DASH else f"*{cell}*" for cell in cells)
