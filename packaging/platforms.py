"""Asks the package index whether the package can be installed where it can't be tried.

    python packaging/platforms.py

Resolves the dependencies for each system and Python, from wheels alone, and prints a row each;
ends with 1 if one can't be had, or if one that couldn't be had now can: then say so in README.
"""

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from uv import find_uv_bin

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]

LINUX = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu")
APPLE = "aarch64-apple-darwin"
INTEL = "x86_64-apple-darwin"
WINDOWS = "x86_64-pc-windows-msvc"
PYTHONS = ("3.11", "3.13")

# System, extra, and the package that has no wheel there, if one hasn't.
CASES = [
    *((system, "", "") for system in (*LINUX, APPLE, WINDOWS)),
    *((system, "train", "") for system in (*LINUX, APPLE)),
    (INTEL, "", "jaxlib"),
    (WINDOWS, "train", "array-record"),
]

# Pure Python, but on the index as source alone; dm-tree and others that compile must be wheels.
SOURCE_ONLY = ("promise",)

SHOWN = ("jax", "jaxlib", "gradio")


def resolve(system: str, python: str, extra: str) -> subprocess.CompletedProcess[str]:
    """Returns how uv resolved the package's dependencies, as `pip install` would, from wheels."""
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"].get(extra, [])]
    # In a folder of its own: uv would read the overrides of our lock, which pip doesn't.
    with tempfile.TemporaryDirectory() as folder:
        skipped = Path(folder, "skipped.txt")
        skipped.write_text("".join(f"{name}; python_version < '3'\n" for name in SOURCE_ONLY))
        options = f"--no-build --no-header --quiet --python-platform {system}"
        command = [find_uv_bin(), "pip", "compile", *options.split(), "--python-version", python]
        return subprocess.run(
            [*command, "--override", str(skipped), "-"],
            cwd=folder,
            input="\n".join(wanted),
            capture_output=True,
            text=True,
        )


def row(system: str, python: str, extra: str, lacking: str) -> tuple[str, bool]:
    """Returns what is said of one case, and whether it is as expected."""
    done = resolve(system, python, extra)
    said = " ".join(done.stderr.split())
    versions = dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", done.stdout, re.MULTILINE))
    if done.returncode == 0 and lacking:
        return f"UNEXPECTED: {lacking} has wheels now", False
    if done.returncode == 0:
        return "  ".join(f"{name} {versions[name]}" for name in SHOWN), True
    if lacking and re.search(rf"\b{lacking}\S* has no wheels", said):
        return f"none, as expected: {lacking} has no wheel there", True
    return f"FAILED: {said}", False


def main() -> bool:
    """Writes a row for each case and returns whether all are as expected."""
    good = True
    for system, extra, lacking in CASES:
        for python in PYTHONS:
            said, expected = row(system, python, extra, lacking)
            sys.stdout.write(f"{system:26} {python:5} {extra or 'core':6} {said}\n")
            sys.stdout.flush()
            good &= expected
    return good


if __name__ == "__main__":
    sys.exit(not main())
