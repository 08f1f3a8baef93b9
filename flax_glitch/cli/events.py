"""Strain instead of pictures, as `classify` and `draw` are asked for it, and `flax-glitch draw`."""

import csv
import shutil
import sys
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from flax_glitch.config import CACHE, keep_compiled
from flax_glitch.data.layouts import unknown_classes
from flax_glitch.events.find import Found, find
from flax_glitch.events.question import GRAVITYSPY, Question
from flax_glitch.events.scans import labelled_paths, scan_triggers, write_scans
from flax_glitch.events.triggers import Trigger, TriggerError
from flax_glitch.files import harmless
from flax_glitch.notes import LOG, bar
from flax_glitch.strain.channels import StrainError
from flax_glitch.strain.picture import Scan

OPTIONS = {
    "start": "--gps-start",
    "sample rate": "--sample-rate",
    "detector": "--detector",
    "channel": "--channel",
}
"""What a strain file may not say, and the options to say it."""

CURES = {
    **{f"give {what}": f"; give {name}" for what, name in OPTIONS.items()},
    **{f"correct {what}": f"; correct {name} or leave it out" for what, name in OPTIONS.items()},
    "strain": ", or give the strain file with --strain",
    "table": ", or get it in another way and give it with --triggers",
}
"""What the command line says of each cure that an error may have."""

FAILURES = "failures.csv"
COLUMNS = ("input", "detector", "gps", "id", "label", "error")
"""Of the table of failures, which is a table of triggers itself."""

Row = tuple[str | float | None, ...]


def draw_triggers(
    triggers: str,
    strain: str,
    out: Path,
    detector: str | None = None,
    channel: str | None = None,
    cache: Path = CACHE,
) -> None:
    """Draw the pictures of a table of triggers, as Gravity Spy does, four windows a glitch.

    They lie in a folder a class where the table has labels, so that `flax-glitch train --source`
    takes them. A call that was stopped goes on where it stood. Triggers that failed are in
    failures.csv with the reason; the next call tries them again. For example:

    `flax-glitch draw --triggers table.csv --strain folder/ --out pictures`

    `flax-glitch draw --triggers gravityspy --strain gwosc --out training-set`

    Args:
        triggers: A table with a time (gps, event_time, peak_time, time, end_time, …), a detector
            (detector, ifo or channel), and perhaps an id (id or gravityspy_id) and a label (label
            or ml_label) a row: CSV, other text, ECSV, LIGO_LW XML, Omicron's or PyCBC's HDF5,
            gzipped too; or gravityspy: that of its training set, fetched from Zenodo.
        strain: A folder of strain files, or gwosc: fetched from GWOSC.
        out: Folder to write to.
        detector: H1, L1 or V1, where the table doesn't tell.
        channel: The channel that is the strain, where files have several that may be.
        cache: Folder for what is fetched.
    """
    keep_compiled(cache)
    asked = Question(
        triggers=triggers, strain=strain, detector=detector, channel=channel, cache=cache
    )
    found = find_events(asked)
    for notice in unknown_classes(one.label for one in found.triggers if one.label):
        LOG.warning(notice)
    out.mkdir(parents=True, exist_ok=True)
    if triggers == GRAVITYSPY and found.table:
        shutil.copy(found.table, out)  # it says which split each glitch is in
    failed = 0
    with (out / FAILURES).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        with closing(_draw(found, out)) as failures:
            for row in failures:
                writer.writerow(harmless(cell) if isinstance(cell, str) else cell for cell in row)
                file.flush()
                failed += 1
    total = len(found.triggers) + len(found.faulty)
    if failed:
        sys.exit(f"error: {failed} of {total} triggers failed; {out / FAILURES} says why")
    (out / FAILURES).unlink(missing_ok=True)  # a second call may be at it too
    sys.stdout.write(f"{total} glitches are drawn in {out}\n")


def _draw(found: Found, out: Path) -> Generator[Row, None, None]:
    """Yields a row a trigger that failed."""
    for faulty in found.faulty:
        yield faulty.name, None, None, None, None, faulty.reason
    waiting = []
    for trigger in found.triggers:
        try:
            if not all(path.exists() for path in labelled_paths(trigger, out)):
                waiting.append(trigger)
        except TriggerError as error:
            yield _row(trigger, str(error))
    outcomes = write_scans(scan_triggers(waiting, found.read), lambda one: labelled_paths(one, out))
    with closing(outcomes), progress(found, len(waiting)) as done:
        for trigger, outcome in outcomes:
            done.update()
            if not isinstance(outcome, Scan):
                yield _row(trigger, outcome.worded(CURES))


def _row(trigger: Trigger, error: str) -> Row:
    return trigger.name, trigger.detector, trigger.gps, trigger.id, trigger.label, error


def find_events(question: Question) -> Found:
    """Returns the events of a question.

    Raises:
        ValueError: in one line, if a table can't be used or there is no strain.
    """
    try:
        found = find(question, progress=True)
    except StrainError as error:
        raise ValueError(error.worded(CURES)) from None
    if found.notice:
        LOG.warning(found.notice)
    LOG.debug(f"events to look at: {len(found.triggers)}")
    return found


def progress(found: Found, waiting: int) -> "tqdm[NoReturn]":
    """Returns a bar of the events, those that are not waiting done."""
    total = len(found.triggers)
    return bar(total=total, initial=total - waiting, unit="glitch", hidden=total == 1)
