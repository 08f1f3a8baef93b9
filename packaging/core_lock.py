"""Prints the part of requirements.lock that the package needs, or that the packages named need.

    python packaging/core_lock.py                 without what trains, tests and documents
    python packaging/core_lock.py setuptools      that one and what it needs

The Dockerfile installs this part, versions and hashes as locked.
"""

import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]


def core(project: str) -> set[str]:
    """Returns the names of the dependencies in the text of a pyproject.toml, extras left out."""
    dependencies = tomllib.loads(project)["project"]["dependencies"]
    return {re.split(r"[<>=!~;\[ ]", line)[0].lower() for line in dependencies}


def part_of(lock: str, names: Iterable[str]) -> str:
    """Returns the pins of these packages and of all that came into the lock by them.

    Raises:
        ValueError: if a package isn't in the lock.
    """
    pins = re.split(r"^(?=[a-z0-9][a-z0-9._-]*==)", lock, flags=re.MULTILINE)[1:]
    named = [(pin.partition("==")[0], pin) for pin in pins]
    wanted = set(names)
    if missing := wanted - {name for name, _ in named}:
        raise ValueError(f"not in requirements.lock: {', '.join(sorted(missing))}; run make lock")
    while more := {name for name, pin in named if wanted & _needed_by(pin)} - wanted:
        wanted |= more
    return "".join(pin for name, pin in named if name in wanted)


def _needed_by(pin: str) -> set[str]:
    return set(re.findall(r"^ +#(?: via)? +([a-z0-9._-]+)", pin, flags=re.MULTILINE))


if __name__ == "__main__":
    wanted = sys.argv[1:] or core((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    sys.stdout.write(part_of((ROOT / "requirements.lock").read_text(encoding="utf-8"), wanted))
