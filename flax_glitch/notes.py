"""What is said while work goes on: notes, through Python's logging, and bars on a terminal."""

import logging
from typing import Any

from tqdm import tqdm

LOG = logging.getLogger("flax_glitch")
"""Notes are warnings; how training gets on is info; what is loaded and done is debug."""


def bar(*given: Any, hidden: bool = False, **named: Any) -> "tqdm[Any]":
    """Returns tqdm's bar, which shows on a terminal alone, and only where notes are said too."""
    named["disable"] = hidden or not LOG.isEnabledFor(logging.WARNING) or None
    return tqdm(*given, **named)
