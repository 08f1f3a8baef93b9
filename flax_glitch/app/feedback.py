"""Disagreements with a verdict, kept in the user's own folder as a source to train on."""

import csv
import glob
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from flax_glitch.data.layouts import UNKNOWN_DETECTOR
from flax_glitch.files import harmless
from flax_glitch.predict.verdicts import Prediction

_DATA = Path(os.environ.get("XDG_DATA_HOME", ""))
FOLDER = (
    _DATA if _DATA.is_absolute() else Path.home() / ".local" / "share"
) / "flax_glitch/disagreements"
"""Where disagreements are kept."""

TABLE = "disagreements.csv"

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")

UNKNOWN_WINDOW = 90
"""Stands in a file's name, with those after it, for a window that isn't known."""


def save(
    folder: Path,
    prediction: Prediction,
    paths: Sequence[Path],
    label: str,
    note: str,
    model: str,
) -> Path:
    """Writes a disagreement and returns the table that it is a row of.

    The pictures go into the folder of their class, `<folder>/<label>/`, under names by which
    `data.table.open_source` takes the folder. A glitch that is there already is of its new class;
    the table keeps both rows.

    Args:
        folder: of all disagreements.
        prediction: the verdict.
        paths: files of its pictures, in the order of its windows.
        label: what it is.
        note: why.
        model: hash of the model's arrays.

    Raises:
        ValueError: if the class can't be a folder's name.
        OSError: if the pictures are gone, or the folder can't be written.
    """
    if not label or label.startswith(".") or set(label) & set('/\\:*?"<>|'):
        raise ValueError(f"{label}: can't be the name of a folder; rename the class")
    copies = _copies(folder / label, prediction, paths)
    glitch = copies[0].name.rpartition("_spectrogram_")[0]
    (folder / label).mkdir(parents=True, exist_ok=True)
    contents = [path.read_bytes() for path in paths]
    for old in folder.glob(f"*/{glob.escape(glitch)}_spectrogram_*"):
        old.unlink()
    for copy, content in zip(copies, contents, strict=True):
        copy.write_bytes(content)
    row = _row(prediction, label, note, model)
    row["pictures"] = "; ".join(copy.relative_to(folder).as_posix() for copy in copies)
    return _append(folder / TABLE, row)


def _copies(folder: Path, prediction: Prediction, paths: Sequence[Path]) -> list[Path]:
    """Where the pictures go; a glitch without an id has one made of its pictures."""
    made = sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:10]
    glitch = f"{prediction.ifo or UNKNOWN_DETECTOR}_{prediction.gravityspy_id or made}"
    copies = []
    for number, (path, window) in enumerate(zip(paths, prediction.durations, strict=True)):
        suffix = path.suffix.lower() if path.suffix.lower() in SUFFIXES else ".png"
        length = UNKNOWN_WINDOW + number if window is None else window
        copies.append(folder / f"{glitch}_spectrogram_{length}{suffix}")
    return copies


def _row(
    prediction: Prediction, label: str, note: str, model: str
) -> dict[str, str | float | None]:
    return {
        "saved": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "input": harmless(prediction.inputs[0]),
        "gravityspy_id": harmless(prediction.gravityspy_id or ""),
        "ifo": prediction.ifo,
        "gps": prediction.gps,
        "verdict": harmless(prediction.label),
        "confidence": prediction.confidence,
        "class": harmless(label),
        "note": harmless(note),
        "prior": harmless(prediction.prior),
        "model": model,
        "pictures": "",
    }


def _append(table: Path, row: Mapping[str, str | float | None]) -> Path:
    fresh = not table.exists()
    with table.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        if fresh:
            writer.writeheader()
        writer.writerow(row)
    return table
