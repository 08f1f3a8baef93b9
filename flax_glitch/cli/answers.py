"""How `classify` answers: verdicts written as they come, gone on with where a call was stopped."""

import csv
import dataclasses
import json
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from tqdm import tqdm

from flax_glitch.classes import class_name, ordered
from flax_glitch.cli.classify import Events, Goal
from flax_glitch.cli.events import CURES, find_events, progress
from flax_glitch.cli.evidence import explained
from flax_glitch.cli.terminal import screen
from flax_glitch.data.layouts import pictures_below
from flax_glitch.events.find import Found
from flax_glitch.events.scans import picture_paths, scan_triggers, write_scans
from flax_glitch.events.triggers import Trigger
from flax_glitch.files import ODD_NAMES, harmless, printable, restored, shown, write_whole
from flax_glitch.notes import LOG, bar
from flax_glitch.predict.predictor import SIZES, Predictor
from flax_glitch.predict.verdicts import (
    COLUMNS,
    NO_CALIBRATION,
    Failure,
    Prediction,
    csv_header,
    render,
)
from flax_glitch.strain.picture import Scan

Results = Generator[Prediction | Failure, None, None]

Named = dict[tuple[str, str], str]
"""The class of each detector and id."""


def answer(
    predictor: Predictor,
    inputs: Sequence[Path],
    one_glitch: bool,
    events: Events,
    goal: Goal,
    top_k: int,
    coverage: float | None,
) -> None:
    """Writes the verdicts on pictures, or on events if there are none; see `classify_inputs`."""
    if coverage and not predictor.calibration:
        raise ValueError(f"--coverage: {predictor.folder}: {NO_CALIBRATION}")
    file, form = rows_of(goal)
    done: Named = {}
    found = None if inputs else find_events(events)
    columns = found.columns if found else []
    if found is None:
        results = _of_pictures(predictor, *find_pictures(inputs), one_glitch, bool(goal.explain))
    else:
        if file and events.triggers and not goal.overwrite:
            header = csv_header(predictor.classes, columns)
            done = continue_rows(file, form, predictor.sha256, predictor.prior.name, header)
        results = _of_strain(predictor, found, done, events.pictures, bool(goal.explain))
    if goal.explain:
        results = explained(results, predictor, goal.explain)
    tally: Counter[str] = Counter()
    named = dict(done)
    model = predictor.identity, predictor.classes
    told = _told(results) if form == "table" else results
    counted = _counted(told, tally, named)
    pieces = render(counted, form, *model, top_k, not done, coverage, columns)
    mode = "a" if done else "w"
    target = file.open(mode, encoding="utf-8", errors=ODD_NAMES) if file else screen()
    with closing(results), target as open_file:
        for text in pieces:
            open_file.write(text if file else shown(text))
            open_file.flush()
    LOG.debug("all is answered")
    _conclude(goal, file, found, named, tally["tried"], len(done))
    if tally["failed"]:
        sys.exit(f"error: {tally['failed']} of {tally['tried']} inputs failed")


def _told(results: Results) -> Results:
    """Says on stderr what failed: a table has no row for it."""
    for result in results:
        if isinstance(result, Failure):
            tqdm.write(f"failed: {printable(f'{result.input}: {result.error}')}", sys.stderr)
        yield result


def _conclude(
    goal: Goal, file: Path | None, found: Found | None, named: Named, rows: int, before: int
) -> None:
    """Finishes a file of rows, and says what was written and how often a table's labels agree."""
    if file and goal.out and file != goal.out:
        to_parquet(file, goal.out)
    lines = agreement(found.triggers, named) if found else []
    if goal.out:
        more = f", after {before} that were there" if before else ""
        lines.append(f"wrote {rows} rows to {goal.out}{more}")
    # The screen's CSV and JSON are for programs.
    stream = sys.stdout if goal.out or goal.form == "table" else sys.stderr
    stream.write(shown("".join(f"{line}\n" for line in lines)))


def agreement(triggers: Sequence[Trigger], named: Named) -> list[str]:
    """Returns lines that say of how many labelled triggers the verdict is the label, by class.

    Labels count under any name that Gravity Spy has used.
    """
    labelled = [
        (class_name(one.label) or one.label, named[one.detector, one.id])
        for one in triggers
        if one.label and (one.detector, one.id) in named
    ]
    if not labelled:
        return []
    total = Counter(label for label, _ in labelled)
    agreed = Counter(label for label, verdict in labelled if label == verdict)
    share = agreed.total() / len(labelled)
    lines = [f"the table's labels agree: {agreed.total()} of {len(labelled)} ({share:.1%})"]
    return lines + [f"  {label}: {agreed[label]} of {total[label]}" for label in ordered(total)]


def _counted(results: Results, tally: Counter[str], named: Named) -> Results:
    for result in results:
        tally["tried"] += 1 if isinstance(result, Failure) else len(result.inputs)
        tally["failed"] += isinstance(result, Failure)
        if isinstance(result, Prediction) and result.gravityspy_id:
            named[str(result.ifo), result.gravityspy_id] = result.label
        yield result


def _of_pictures(
    predictor: Predictor,
    paths: list[Path],
    missing: list[Failure],
    one_glitch: bool,
    keep_pixels: bool,
) -> Results:
    yield from missing
    LOG.debug(f"pictures to look at: {len(paths)}")
    few = len(paths) < SIZES[-1]
    with bar(total=len(paths), unit="picture", hidden=few) as read:
        for result in predictor.classify(paths, one_glitch=one_glitch, keep_pixels=keep_pixels):
            read.update(1 if isinstance(result, Failure) else len(result.inputs))
            yield result


def _of_strain(
    predictor: Predictor, found: Found, done: Named, folder: Path | None, keep_pixels: bool
) -> Results:
    """Yields the verdicts on events that are not done, and keeps their pictures if asked to."""
    yield from (Failure(row.name, row.reason, row.row) for row in found.faulty)
    waiting = [one for one in found.triggers if (one.detector, one.id) not in done]
    rows = {(one.detector, one.id): one.row for one in waiting}
    outcomes = scan_triggers(waiting, found.read)
    if folder:
        outcomes = write_scans(outcomes, lambda trigger: picture_paths(trigger, folder))
    scans = (
        scan if isinstance(scan, Scan) else Failure(trigger.name, scan.worded(CURES), trigger.row)
        for trigger, scan in outcomes
    )
    with closing(outcomes), progress(found, len(waiting)) as read:
        ids = (trigger.id for trigger in waiting)
        for result in predictor.classify_scans(scans, ids, keep_pixels=keep_pixels):
            read.update()
            if isinstance(result, Prediction):
                row = rows[str(result.ifo), str(result.gravityspy_id)]
                result = dataclasses.replace(result, row=row)
            yield result


def find_pictures(inputs: Sequence[Path]) -> tuple[list[Path], list[Failure]]:
    """Returns the pictures that inputs name, folders searched, and the inputs that name none."""
    found = {path: sorted(pictures_below(path)) if path.is_dir() else [path] for path in inputs}
    empty = [path for path, inside in found.items() if not inside]
    missing = [Failure(str(path), "no pictures in this folder") for path in empty]
    return list(dict.fromkeys(chain.from_iterable(found.values()))), missing


def continue_rows(path: Path, form: str, model: str, prior: str, header: str) -> Named:
    """Leaves only whole rows with verdicts in a file; returns the class of each detector and id.

    Rows of failures fall away, to be tried again, and a last line that was half written. All must
    come from the model with this sha256, under this prior, and CSV must have this header; there may
    be no file yet.

    Raises:
        ValueError: if the file holds anything else; it is then left as it is.
    """
    done: Named = {}
    try:
        if path.exists():
            # Line by line: a large table's rows are gigabytes.
            write_whole(
                path, _kept_lines(path, form, {"model": model, "prior": prior}, header, done)
            )
    except _OtherRowsError as error:
        raise ValueError(f"{path}: was begun with {error}, or name another --out") from None
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise ValueError(
            f"{path}: holds something else than {form.upper()} verdicts on triggers, and is left "
            "as it is; name another --out or give --overwrite"
        ) from error
    return done


class _OtherRowsError(ValueError):
    """What a file of verdicts was begun with, and what to give to go on with it."""


def _kept_lines(
    path: Path, form: str, now: Mapping[str, str], header: str, done: Named
) -> Iterator[str]:
    """Yields the lines to keep, the header with the first, and fills in what is done."""
    with path.open(encoding="utf-8", errors="replace", newline="\n") as lines:
        for row, line in _whole_rows(lines, form, header):
            if row.get("error"):
                continue
            float(row["gps"])  # verdicts on pictures have none
            begun = {"model": row["model"], "prior": row["prior"]}
            if form == "json":
                begun["model"] = row["model"]["sha256"]
            for what, option in (("model", "checkpoint"), ("prior", "prior")):
                if begun[what] != now[what]:
                    raise _OtherRowsError(
                        f"another {what} ({begun[what][:12]}, now {now[what][:12]}); give that "
                        f"--{option}"
                    )
            if form == "csv" and not done:
                yield header
            done[row["ifo"], restored(row["gravityspy_id"])] = row["class"]
            yield line


def _whole_rows(
    lines: Iterable[str], form: str, header: str
) -> Iterator[tuple[dict[str, Any], str]]:
    """Yields each row that ends, with its line."""
    start = header if form == "csv" else '{"input": '
    columns = next(csv.reader([header]))
    for number, line in enumerate(lines):
        if number == 0 and line.startswith(",".join(COLUMNS)) and not header.startswith(line):
            raise _OtherRowsError("other columns of the table or classes; give that table")
        if number == 0 and not line.startswith(start[: len(line)]):
            raise ValueError("begins otherwise")
        if form == "json" and line.endswith("\n"):
            yield json.loads(line), line
        elif number and line.endswith("\n"):
            yield dict(zip(columns, next(csv.reader([line])), strict=True)), line


TEXT = frozenset(COLUMNS) - {"gps", "q", "confidence", "view_confidence", "ood_score"}
"""Columns that aren't numbers, whatever they look like."""


def rows_of(goal: Goal) -> tuple[Path | None, Literal["table", "csv", "json"]]:
    """Returns the file that rows are written to as they come, and their form.

    Parquet can't be added to: its rows are kept as CSV beside it until all are there.

    Raises:
        ValueError: if a file that is called Parquet is none.
    """
    if goal.form != "parquet" or goal.out is None:
        return goal.out, "table" if goal.form == "parquet" else goal.form
    rows = goal.out.with_name(f"{goal.out.name}.unfinished.csv")
    if goal.out.exists() and not (rows.exists() or goal.overwrite):
        try:
            table = pd.read_parquet(goal.out)
        except (ValueError, OSError) as error:
            raise ValueError(f"{goal.out}: is no Parquet; give --overwrite") from error
        write_whole(rows, _each(harmless, table).to_csv(index=False, lineterminator="\n"))
    return rows, "csv"


def to_parquet(rows: Path, out: Path) -> None:
    """Makes Parquet of a file of rows, which goes."""
    kinds = dict.fromkeys(TEXT, "str") | {"unlike_training": "boolean"}
    table = pd.read_csv(rows, dtype=kinds, keep_default_na=False, na_values=[""])
    write_whole(out, _each(restored, table).to_parquet(index=False))
    rows.unlink()


def _each(change: Callable[[str], str], table: pd.DataFrame) -> pd.DataFrame:
    """Changes the cells of text and the columns' names."""
    text = table.select_dtypes(exclude=["number", "bool", "boolean"]).columns
    table[text] = table[text].map(change, na_action="ignore")
    return table.rename(columns=change)
