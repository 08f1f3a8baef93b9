"""Strain instead of pictures, as `classify` and `draw` are asked for it."""

from typing import NoReturn

from tqdm import tqdm

from flax_glitch.events.find import Found, find
from flax_glitch.events.question import Question
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
