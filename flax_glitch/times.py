"""GPS seconds and UTC, the one told from the other as people write them."""

import re
from bisect import bisect_right
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1980, 1, 6, tzinfo=UTC)
"""Where GPS seconds begin."""

LATEST = 4_000_000_000
"""GPS seconds, in 2106: more is a time in other units."""

_LEAP_YEARS = {
    1: (1988, 1990, 1991, 1996, 1999, 2006, 2009, 2017),
    7: (1981, 1982, 1983, 1985, 1992, 1993, 1994, 1997, 2012, 2015),
}
LEAPS = sorted(
    datetime(year, month, 1, tzinfo=UTC) for month, years in _LEAP_YEARS.items() for year in years
)
"""Midnights before which UTC had a leap second (IERS Bulletin C; none since 2017)."""

_LEAP_SECONDS = [
    (midnight - EPOCH).total_seconds() + number for number, midnight in enumerate(LEAPS)
]
"""GPS seconds at which each leap second begins, 23:59:60."""

_UTC = re.compile(
    r"(?P<day>\d{4}([-/])\d\d\2\d\d)(?:[T ]+(?P<time>\d\d:\d\d(?::\d\d)?)(?P<part>\.\d+)?)?"
    r"\s*(?P<zone>[+-]\d\d:?\d\d)?(?:Z|UTC)?",
    re.IGNORECASE | re.ASCII,
)


def to_gps(time: str | float | int | datetime) -> float:
    """Returns the GPS seconds of a time: of GPS seconds, or of UTC as ISO 8601 or with slashes.

    Examples: 1126259462.4, "2015-09-14 09:50:45.4", "2015-09-14T09:50:45.4Z", "2015-09-14". A
    time zone is heeded; without one it is UTC. A leap second is 23:59:60.

    Raises:
        ValueError: if it is no time, or none from 1980 to 2106; the line says what is taken.
    """
    said = time.isoformat() if isinstance(time, datetime) else str(time).strip()
    try:
        match = _UTC.fullmatch(said)
        gps = _of_utc(*match.group("day", "time", "part", "zone")) if match else float(said)
    except (ValueError, OverflowError):
        gps = float("nan")
    if not 0 <= gps < LATEST:
        raise ValueError(
            f"time {said[:40]!r}: give GPS seconds, such as 1126259462.4, or UTC, such as "
            "2015-09-14 09:50:45.4"
        )
    return gps


def to_utc(gps: float) -> str:
    """Returns the UTC of GPS seconds, to the millisecond: 2015-09-14T09:50:45.400Z."""
    whole, part = divmod(round(gps * 1000), 1000)
    passed = bisect_right(_LEAP_SECONDS, whole)
    leap = passed and whole < _LEAP_SECONDS[passed - 1] + 1
    moment = EPOCH + timedelta(seconds=whole - passed)
    text = f"{moment:%Y-%m-%dT%H:%M}:{60 if leap else moment.second:02}"
    return f"{text}.{part:03}Z"


def _of_utc(day: str, clock: str | None, part: str | None, zone: str | None) -> float:
    clock = clock or "00:00"
    leap = clock.endswith(":60")
    usual = clock[:-2] + "59" if leap else clock
    moment = datetime.fromisoformat(f"{day.replace('/', '-')}T{usual}{zone or '+00:00'}")
    passed = bisect_right(LEAPS, moment)
    if leap and moment + timedelta(seconds=1) not in LEAPS:
        raise ValueError(f"{clock}: there was no leap second")
    return (moment - EPOCH).total_seconds() + passed + leap + float(part or 0)
