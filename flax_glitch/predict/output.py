"""Verdicts as JSON objects, CSV rows and a table, the same for the terminal and the browser."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from flax_glitch.classes import CLASSES
from flax_glitch.predict.prediction import Failure, Prediction, ranked

CSV_COLUMNS = (
    "input",
    "gravityspy_id",
    "ifo",
    "gps",
    "q",
    "view",
    "views",
    "class",
    "confidence",
    "view_class",
    "view_confidence",
    "ood_score",
    "unlike_training",
    "set",
    "model",
    "error",
    *(f"p({name})" for name in CLASSES),
)
"""Columns of the CSV: class and confidence are the glitch's, over all its views; the model is the
hash of its arrays. Of strain there is a row a glitch, with GPS time and Q; of pictures a row each.
A set has the classes that hold the truth with the coverage asked for.
"""

UNLIKE = "unlike anything in training"


def window_name(duration: float | None) -> str:
    """Returns a window as it is written: "0.5", or "unknown"."""
    return "unknown" if duration is None else str(duration)


def as_objects(
    result: Prediction | Failure, model: Mapping[str, str], coverage: float | None = None
) -> list[dict[str, Any]]:
    """Returns one object a picture, ready for JSON; all pictures of a glitch carry its verdict.

    Where strain was given, there is one object a glitch, with its GPS time and Q.

    Args:
        result: the verdict on a glitch, or a failed picture.
        model: name and sha256 of the model.
        coverage: chance that the set shall have to hold the true class; None: no set.
    """
    if isinstance(result, Failure):
        return [{"input": result.input, "error": result.error}]
    windows = [window_name(duration) for duration in result.durations]
    verdict = {
        "gravityspy_id": result.gravityspy_id,
        "ifo": result.ifo,
        "views": windows,
        "class": result.label,
        "confidence": result.confidence,
        "probabilities": _by_class(result.probabilities),
        "per_view": {
            window: dict(zip(("class", "confidence"), ranked(row)[0], strict=True))
            for window, row in zip(windows, result.per_view, strict=True)
        },
        "ood_score": result.ood_score,
        "unlike_training": result.unlike,
        "logits": None if result.raw is None else _by_class(result.raw),
        **({"set": result.classes(coverage)} if coverage else {}),
        "model": dict(model),
    }
    if result.gps is not None:
        return [{"input": result.inputs[0], "gps": result.gps, "q": result.q, **verdict}]
    return [
        {"input": name, "view": window, **verdict}
        for name, window in zip(result.inputs, windows, strict=True)
    ]


def render(
    results: Iterable[Prediction | Failure],
    form: Literal["table", "csv", "json"],
    model: Mapping[str, str],
    top_k: int = 5,
    header: bool = True,
    coverage: float | None = None,
) -> Iterator[str]:
    """Yields the text of results piece by piece: JSON and CSV as they come, a table at the end.

    Args:
        results: verdicts and failures.
        form: json: one object a line, one a picture; csv: one row a picture; table: a row a glitch.
            Of strain there is one object or row a glitch.
        model: name and sha256 of the model.
        top_k: classes shown in a row of the table.
        header: begin a CSV with its header.
        coverage: chance that a set of classes shall have to hold the true one; None: no sets.
    """
    if form == "table":
        yield as_table(list(results), top_k, coverage)
        return
    if form == "csv" and header:
        yield csv_line(dict(zip(CSV_COLUMNS, CSV_COLUMNS, strict=True)))
    for result in results:
        if form == "json":
            yield "".join(json.dumps(item) + "\n" for item in as_objects(result, model, coverage))
        else:
            yield "".join(csv_line(row) for row in _csv_rows(result, model, coverage))


def as_table(
    results: Sequence[Prediction | Failure], top_k: int = 5, coverage: float | None = None
) -> str:
    """Returns a text table with one row a glitch, failed pictures last."""
    verdicts = [result for result in results if isinstance(result, Prediction)]
    sets = [f"{100 * coverage:g}% set"] if coverage else []
    rows: list[tuple[str, ...]] = [("glitch", "windows", "class", "confidence", *sets, "next")]
    rows += [_table_row(result, top_k, coverage) for result in verdicts]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    lines += [f"* {UNLIKE}"] * any(result.unlike for result in verdicts)
    failures = [result for result in results if isinstance(result, Failure)]
    lines += [f"failed: {failure.input}: {failure.error}" for failure in failures]
    return "".join(line + "\n" for line in lines if verdicts or failures)


def csv_line(row: Mapping[str, Any]) -> str:
    """Returns a row of the CSV, with the end of its line."""
    text = io.StringIO()
    csv.DictWriter(text, CSV_COLUMNS, restval="", lineterminator="\n").writerow(row)
    return text.getvalue()


def _by_class(values: np.ndarray) -> dict[str, float]:
    return dict(zip(CLASSES, map(float, values), strict=True))


def _csv_rows(
    result: Prediction | Failure, model: Mapping[str, str], coverage: float | None
) -> list[dict[str, Any]]:
    if isinstance(result, Failure):
        return as_objects(result, model)
    rows = []
    for item, own in zip(as_objects(result, model, coverage), result.per_view, strict=False):
        kept = {name: value for name, value in item.items() if name in CSV_COLUMNS}
        kept |= {"views": " ".join(item["views"]), "model": model["sha256"]}
        kept["set"] = " ".join(item.get("set", ()))
        if "view" in item:
            kept["view_class"], kept["view_confidence"] = ranked(own)[0]
        rows.append(kept | {f"p({name})": p for name, p in item["probabilities"].items()})
    return rows


def _table_row(result: Prediction, top_k: int, coverage: float | None) -> tuple[str, ...]:
    others = ", ".join(f"{name} {p:.3f}" for name, p in result.top(top_k)[1:])
    name = result.inputs[0]
    if result.gravityspy_id is not None and result.gps is None:
        name = result.gravityspy_id
    windows = " ".join(window_name(duration) for duration in result.durations)
    label = result.label + " *" * bool(result.unlike)
    sets = [" ".join(result.classes(coverage))] if coverage else []
    return name, windows, label, f"{result.confidence:.3f}", *sets, others
