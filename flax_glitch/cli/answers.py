"""How `classify` answers: verdicts written as they come, gone on with where a call was stopped."""

import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from flax_glitch.cli.classify import Events
from flax_glitch.cli.events import CURES, find_events, progress
from flax_glitch.cli.terminal import ODD_NAMES, screen
from flax_glitch.data.layouts import pictures_below
from flax_glitch.events.find import Found
from flax_glitch.events.scans import picture_paths, scan_triggers, write_scans
from flax_glitch.files import printable, write_whole
from flax_glitch.predict.predictor import SIZES, Predictor
from flax_glitch.predict.verdicts import COLUMNS, NO_CALIBRATION, Failure, Prediction, render
from flax_glitch.strain.picture import Scan

Results = Generator[Prediction | Failure, None, None]


def answer(
    predictor: Predictor,
    inputs: Sequence[Path],
    one_glitch: bool,
    events: Events,
    form: Literal["table", "csv", "json"],
    top_k: int,
    coverage: float | None,
    out: Path | None,
) -> None:
    """Writes the verdicts on pictures, or on events if there are none; see `classify_inputs`."""
    if coverage and not predictor.calibration:
        raise ValueError(f"--coverage: {predictor.folder}: {NO_CALIBRATION}")
    done: set[tuple[str, str]] = set()
    if inputs:
        results = _of_pictures(predictor, *find_pictures(inputs), one_glitch)
    else:
        found = find_events(events)
        if out and events.triggers:
            done = continue_rows(out, form, predictor.sha256, predictor.prior.name)
        results = _of_strain(predictor, found, done, events.pictures)
    tally: Counter[str] = Counter()
    model = predictor.identity, predictor.classes
    told = _told(results) if form == "table" else results
    pieces = render(_counted(told, tally), form, *model, top_k, not done, coverage)
    mode = "a" if done else "w"
    target = out.open(mode, encoding="utf-8", errors=ODD_NAMES) if out else screen()
    with closing(results), target as file:
        for text in pieces:
            file.write(text)
            file.flush()
    if tally["failed"]:
        sys.exit(f"error: {tally['failed']} of {tally['tried']} inputs failed")


def _told(results: Results) -> Results:
    """Says on stderr what failed: a table has no row for it."""
    for result in results:
        if isinstance(result, Failure):
            tqdm.write(f"failed: {printable(f'{result.input}: {result.error}')}", sys.stderr)
        yield result


def _counted(results: Results, tally: Counter[str]) -> Results:
    for result in results:
        tally["tried"] += 1 if isinstance(result, Failure) else len(result.inputs)
        tally["failed"] += isinstance(result, Failure)
        yield result


def _of_pictures(
    predictor: Predictor, paths: list[Path], missing: list[Failure], one_glitch: bool
) -> Results:
    yield from missing
    few = len(paths) < SIZES[-1]
    with tqdm(total=len(paths), unit="picture", disable=few or None) as bar:
        for result in predictor.classify(paths, one_glitch=one_glitch):
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
    empty = [path for path, inside in found.items() if not inside]
    missing = [Failure(str(path), "no pictures in this folder") for path in empty]
    return list(dict.fromkeys(chain.from_iterable(found.values()))), missing


def continue_rows(path: Path, form: str, model: str, prior: str) -> set[tuple[str, str]]:
    """Leaves only whole rows with verdicts in a file; returns the detector and id of each.

    Rows of failures fall away, to be tried again, and a last line that was half written. All must
    come from the model with this sha256, under this prior; there may be no file yet.

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
        priors = {row["prior"] for row, _ in kept}
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
    if other := priors - {prior}:
        raise ValueError(
            f"{path}: was begun with another prior ({other.pop()}, now {prior}); give that "
            "--prior, or name another --out"
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
