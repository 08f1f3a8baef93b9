"""`flax-glitch classify`: pictures or strain in, verdicts out."""

import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import tyro
from tqdm import tqdm

from flax_glitch.cli.events import CURES, Events, check_arguments, find_events, progress
from flax_glitch.cli.terminal import ODD_NAMES, open_predictor, screen
from flax_glitch.config import UsageError
from flax_glitch.data.layouts import pictures_below
from flax_glitch.events.find import Found
from flax_glitch.events.scans import picture_paths, scan_triggers, write_scans
from flax_glitch.files import write_whole
from flax_glitch.predict.predictor import SIZES, Predictor
from flax_glitch.predict.verdicts import (
    COLUMNS,
    NO_CALIBRATION,
    Failure,
    Prediction,
    render,
)
from flax_glitch.strain.picture import Scan

Inputs = tyro.conf.Positional[tuple[Path, ...]]
Form = Literal["table", "csv", "json"]
Results = Generator[Prediction | Failure, None, None]

NO_EVENTS = Events()

FORMS: Mapping[str, Form] = {".csv": "csv", ".json": "json", ".jsonl": "json"}
"""What is written to a file, by its suffix; a table to any other."""


def classify_inputs(
    inputs: Inputs,
    events: tyro.conf.OmitArgPrefixes[Events] = NO_EVENTS,
    checkpoint: Path | None = None,
    top_k: int = 5,
    coverage: float | None = None,
    format: Form | None = None,
    out: Path | None = None,
) -> None:
    """Classify glitches by their pictures, or by strain.

    Pictures whose names share detector and id are windows of one glitch. Exit code 1 if an input
    failed; the others are answered all the same. With --triggers and --out, a call that was
    stopped goes on where it stood, and tries again what failed. For example:

    `flax-glitch classify H1_abc_spectrogram_1.0.png`

    `flax-glitch classify pictures/ --out verdicts.csv`

    `flax-glitch classify --event GW150914 --detector H1`

    `flax-glitch classify --gps 1126259462.4 --strain H-H1_LOSC_4_V2-1126259446-32.hdf5`

    `flax-glitch classify --triggers table.csv --strain folder/ --out verdicts.csv`

    Args:
        inputs: Picture files (PNG, JPEG, WebP), or folders that are searched for them.
        events: Strain instead of pictures.
        checkpoint: Folder of the model; the one that comes with the project if not given.
        top_k: Classes shown for each glitch in the table.
        coverage: Between 0 and 1: give each glitch the fewest classes that hold the true one with
            this chance, as it was with the glitches of validation.
        format: table: a row a glitch; csv: a row a picture; json: an object a picture and line;
            of strain a row or object a glitch. By the suffix of --out, or a table, if not given.
        out: File to write to, instead of the screen.
    """
    check_arguments(events, bool(inputs))
    if coverage is not None and not 0 < coverage < 1:
        raise UsageError(f"--coverage {coverage:g}: give a share between 0 and 1, such as 0.9")
    form = format or FORMS.get(out.suffix.lower() if out else "", "table")
    resumed = out if events.triggers else None
    if resumed and form == "table":
        raise UsageError(f"--out {out}: give --format csv or json, which can be gone on with")
    predictor = open_predictor(checkpoint, events.cache)
    classes = predictor.classes
    if top_k < 1:
        raise UsageError(f"--top-k {top_k}: give 1 or more")
    if coverage and not predictor.calibration:
        raise ValueError(f"--coverage: {predictor.folder}: {NO_CALIBRATION}")
    model = {"name": predictor.name, "sha256": predictor.sha256}
    done: set[tuple[str, str]] = set()
    if inputs:
        results = _of_pictures(predictor, *find_pictures(inputs))
    else:
        found = find_events(events)
        done = continue_rows(resumed, form, predictor.sha256) if resumed else set()
        results = _of_strain(predictor, found, done, events.pictures)
    tally: Counter[str] = Counter()
    pieces = render(_counted(results, tally), form, model, classes, top_k, not done, coverage)
    mode = "a" if done else "w"
    target = out.open(mode, encoding="utf-8", errors=ODD_NAMES) if out else screen()
    with closing(results), target as file:
        for text in pieces:
            file.write(text)
            file.flush()
    if tally["failed"]:
        sys.exit(f"error: {tally['failed']} of {tally['tried']} inputs failed")


def _counted(results: Results, tally: Counter[str]) -> Results:
    for result in results:
        tally["tried"] += 1 if isinstance(result, Failure) else len(result.inputs)
        tally["failed"] += isinstance(result, Failure)
        yield result


def _of_pictures(
    predictor: Predictor, paths: Sequence[Path], missing: Sequence[Failure]
) -> Results:
    yield from missing
    with tqdm(total=len(paths), unit="picture", disable=len(paths) < SIZES[-1]) as bar:
        for result in predictor.classify(paths):
            bar.update(1 if isinstance(result, Failure) else len(result.inputs))
            yield result


def _of_strain(
    predictor: Predictor, found: Found, done: set[tuple[str, str]], folder: Path | None
) -> Results:
    """Yields the verdicts on events that are not done, and keeps their pictures if asked to."""
    yield from (Failure(row.name, row.reason) for row in found.faulty)
    waiting = [one for one in found.triggers if (one.detector, one.id) not in done]
    outcomes = scan_triggers(waiting, found.read)
    if folder:
        outcomes = write_scans(outcomes, lambda trigger: picture_paths(trigger, folder))
    scans = (
        scan if isinstance(scan, Scan) else Failure(trigger.name, scan.worded(CURES))
        for trigger, scan in outcomes
    )
    with closing(outcomes), progress(found, len(waiting)) as bar:
        for result in predictor.classify_scans(scans, (trigger.id for trigger in waiting)):
            bar.update()
            yield result


def find_pictures(inputs: Sequence[Path]) -> tuple[list[Path], list[Failure]]:
    """Returns the pictures that inputs name, folders searched, and the inputs that name none."""
    found = {path: sorted(pictures_below(path)) if path.is_dir() else [path] for path in inputs}
    missing = [
        Failure(str(path), "no pictures in this folder")
        for path, inside in found.items()
        if not inside
    ]
    return list(dict.fromkeys(chain.from_iterable(found.values()))), missing


def continue_rows(path: Path, form: str, model: str) -> set[tuple[str, str]]:
    """Leaves only whole rows with verdicts in a file; returns the detector and id of each.

    Rows of failures fall away, to be tried again, and a last line that was half written.

    Args:
        path: what `render` wrote of strain, whole or in part; there may be none yet.
        form: its format, csv or json.
        model: sha256 of the model that it must come from.

    Raises:
        ValueError: if the file holds anything else; it is then left as it is.
    """
    if not path.exists():
        return set()
    try:
        header, rows = _whole_rows(path.read_bytes().decode(errors="replace"), form)
        kept = [(row, line) for row, line in rows if not row.get("error")]
        keys = {(row["ifo"], row["gravityspy_id"]) for row, _ in kept if float(row["gps"])}
        models = {row["model"] if form == "csv" else row["model"]["sha256"] for row, _ in kept}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path}: holds something else than {form.upper()} verdicts on triggers, and is left "
            "as it is; name another --out"
        ) from error
    if other := models - {model}:
        raise ValueError(
            f"{path}: was begun with another model ({other.pop()[:12]}…, now {model[:12]}…); give "
            "that --checkpoint, or name another --out"
        )
    write_whole(path, "".join([header, *(line for _, line in kept)]) if kept else "")
    return keys


def _whole_rows(text: str, form: str) -> tuple[str, list[tuple[dict[str, Any], str]]]:
    """Returns the header and each whole row with its text, which may have several lines."""
    start = ",".join(COLUMNS) if form == "csv" else '{"input": '
    if not text.startswith(start[: len(text)]):
        raise ValueError("begins otherwise")
    lines = list(io.StringIO(text[: text.rfind("\n") + 1]))
    if form == "json":
        return "", [(json.loads(line), line) for line in lines]
    reader, rows, end = csv.DictReader(lines), [], 1
    for row in reader:
        rows.append((row, "".join(lines[end : reader.line_num])))
        end = reader.line_num
    return "".join(lines[:1]), rows
