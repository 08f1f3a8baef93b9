"""What GWOSC's bit masks say of the data, second by second."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer

from flax_glitch.files import printable

LASTING = ("NO_CW_HW_INJ", "NO_STOCH_HW_INJ")
"""Bits that are passed over: such injections went on all the time, and are no transients."""


BITS = 63
"""Of a mask that we write, at most."""


class Flag(NamedTuple):
    """A bit that isn't set from one GPS time to before another, seconds."""

    name: str
    start: float
    end: float


def flags_of(
    mask: Integer[np.ndarray, " second"], names: Sequence[str], start: float, spacing: float
) -> list[Flag]:
    """Returns where bits, named from the lowest on, are not set; all set means that all is well."""
    found = []
    for bit, name in enumerate(names[: 8 * mask.dtype.itemsize]):
        if name not in LASTING:
            missing = np.pad(~(mask >> bit) & 1, 1).astype(int)
            edges = start + np.flatnonzero(np.diff(missing)).reshape(-1, 2) * spacing
            found += [Flag(printable(name), *map(float, edge)) for edge in edges]
    return found


def mask_of(
    flags: Iterable[Flag], start: float, seconds: int
) -> tuple[Integer[np.ndarray, " second"], list[str]]:
    """Returns a mask of seconds, and the names of its bits: what `flags_of` takes."""
    names = sorted({flag.name for flag in flags})[:BITS]
    mask = np.full(seconds, -1)
    for flag in flags:
        if flag.name in names:
            first, last = (max(0, round(time - start)) for time in (flag.start, flag.end))
            mask[first:last] &= ~(1 << names.index(flag.name))
    return mask, names


def worded(flags: Iterable[Flag], gps: float) -> tuple[str, ...]:
    """Returns in words what is flagged at a GPS time."""
    names = dict.fromkeys(flag.name for flag in flags if flag.start <= gps < flag.end)
    return tuple(
        f"injected {name[3:]}" if name.startswith("NO_") else f"fails {name}" for name in names
    )
