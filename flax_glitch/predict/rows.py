"""The verdicts that a file already holds, so that a call that was stopped can go on."""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from flax_glitch.files import write_whole
from flax_glitch.predict.verdicts import csv_columns, csv_line

from flax_glitch.classes import CLASSES
CSV_COLUMNS = csv_columns(CLASSES)
_HEADER = csv_line(CSV_COLUMNS, dict(zip(CSV_COLUMNS, CSV_COLUMNS, strict=True)))


class RowsError(ValueError):
    """A file that can't be continued: one line that says why, and the cure."""


def continue_rows(path: Path, form: str, model: Mapping[str, str]) -> set[tuple[str, str]]:
    """Leaves only whole rows with verdicts in a file; returns the detector and id of each.

    Rows of failures fall away, to be tried again, and a last line that was half written.

    Args:
        path: what `render` wrote of strain, whole or in part; there may be none yet.
        form: its format, csv or json.
        model: name and sha256 of the model that it must come from.

    Raises:
        RowsError: if the file holds anything else; it is then left as it is.
    """
    if not path.exists():
        return set()
    try:
        rows = _rows(path.read_bytes().decode(errors="replace"), form)
        keys = {(row["ifo"], row["gravityspy_id"]) for row in rows if float(row["gps"])}
        models = {_model(row) for row in rows} - {model["sha256"]}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RowsError(
            f"{path}: holds something else than {form.upper()} verdicts on triggers, and is left "
            "as it is; name another --out"
        ) from error
    if models:
        raise RowsError(
            f"{path}: was begun with another model ({models.pop()[:12]}…, now "
            f"{model['sha256'][:12]}…); give that --checkpoint, or name another --out"
        )
    lines = [csv_line(CSV_COLUMNS, row) if form == "csv" else json.dumps(row) + "\n" for row in rows]
    write_whole(path, "".join([_HEADER] * (form == "csv" and bool(rows)) + lines).encode())
    return keys


def _rows(text: str, form: str) -> list[dict[str, Any]]:
    """Returns the whole rows that have a verdict."""
    start = _HEADER if form == "csv" else '{"input": '
    if not text.startswith(start[: len(text)]):
        raise ValueError("begins otherwise")
    whole = text[: text.rfind("\n") + 1]
    rows: Iterable[dict[str, Any]] = (
        csv.DictReader(io.StringIO(whole)) if form == "csv" else map(json.loads, whole.splitlines())
    )
    return [row for row in rows if not row.get("error")]


def _model(row: Mapping[str, Any]) -> str:
    """Returns the hash of a row's model, which JSON has beside its name."""
    model = row["model"]
    return str(model if isinstance(model, str) else model["sha256"])
