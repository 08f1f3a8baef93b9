"""Strain instead of pictures, as `classify` and `draw` are asked for it."""

import dataclasses
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from flax_glitch.config import UsageError
from flax_glitch.events.find import Found, Question, find
from flax_glitch.strain.formats import StrainError

OPTIONS = {"start": "--gps-start", "sample rate": "--sample-rate", "detector": "--detector"}
"""What a strain file may not say, and the options to say it."""

CURES = {
    **{f"give {what}": f"; give {name}" for what, name in OPTIONS.items()},
    **{f"correct {what}": f"; correct {name} or leave it out" for what, name in OPTIONS.items()},
    "strain": ", or give the strain file with --strain",
    "table": ", or get it in another way and give it with --triggers",
}
"""What the command line says of each cure that an error may have."""


@dataclasses.dataclass(frozen=True)
class Events(Question):
    """Strain instead of pictures: one event, or a table of triggers."""

    pictures: Path | None = None
    """Folder to keep the four pictures of each event in, as Gravity Spy draws and names them."""


def check_arguments(events: Events, pictures_given: bool) -> None:
    """Refuses arguments that are missing or contradict each other.

    Raises:
        UsageError: naming them.
    """
    given = {f"--{name.replace('_', '-')}" for name, value in vars(events).items() if value}
    kinds = sorted({"--event", "--gps", "--triggers"} & given) + ["pictures"] * pictures_given
    if not kinds:
        raise UsageError(
            "no input: name pictures or folders, or give --event, --gps or --triggers "
            "(see flax-glitch classify --help)"
        )
    if len(kinds) > 1:
        raise UsageError(f"{' and '.join(kinds)}: give one of them")
    (kind,) = kinds
    idle = given - {kind, "--cache"} - _companions(kind, bool(events.local))
    if idle:
        raise UsageError(f"{' and '.join(sorted(idle))}: no use with {kind}, leave out")
    if kind == "--triggers" and not events.strain:
        raise UsageError("--triggers: give --strain FOLDER or --strain gwosc too")
    if kind in ("--event", "--gps") and not (events.detector or events.local):
        raise UsageError(f"{kind}: give --detector too (H1, L1 or V1), or a --strain file")


def _companions(kind: str, local: bool) -> set[str]:
    """Returns the options that go with a kind of input."""
    if kind == "pictures":
        return set()
    if kind == "--triggers":
        return {"--strain", "--pictures"}
    of_a_file = {"--gps-start", "--sample-rate"} if local else set()
    return {"--detector", "--strain", "--pictures"} | of_a_file


def find_events(question: Question) -> Found:
    """Returns the events of a question.

    Raises:
        ValueError: in one line, if a table can't be used or there is no strain.
    """
    try:
        return find(question, progress=True)
    except StrainError as error:
        raise ValueError(error.worded(CURES)) from None


def progress(found: Found, waiting: int) -> "tqdm[NoReturn]":
    """Returns a bar of the events, those that are not waiting done."""
    total = len(found.triggers)
    return tqdm(total=total, initial=total - waiting, unit="glitch", disable=total == 1)
