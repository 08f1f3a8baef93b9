"""The table of Zenodo's training set (1476551), which says to which split each glitch belongs."""

import csv
import dataclasses
from pathlib import Path

from flax_glitch.classes import class_name
from flax_glitch.data.layouts import (
    MISLABELLED,
    SPLITS,
    FoundPicture,
    SourceError,
    SplitName,
    some,
)


def join_metadata(
    found: list[FoundPicture], file: Path
) -> tuple[list[FoundPicture], tuple[str, ...]]:
    """Returns the pictures that have a row, with its split, and what there is to say.

    Raises:
        SourceError: if the table is faulty or disagrees with the folders about a label.
    """
    rows = _read(file)
    known = [picture for picture in found if picture.id in rows]
    for picture in known:
        if rows[picture.id][0] != picture.label:
            raise SourceError(
                f"glitch {picture.id} is under two labels: {picture.label} in {picture.ref.name}, "
                f"{rows[picture.id][0]} in {file}; correct one of them"
            )
    joined = [dataclasses.replace(picture, split=rows[picture.id][1]) for picture in known]
    return joined, _missing(found, rows, file)


def _missing(
    found: list[FoundPicture], rows: dict[str, tuple[str, SplitName]], file: Path
) -> tuple[str, ...]:
    seen = {picture.id for picture in found} | {id for _, id in MISLABELLED}
    notices = []
    if without_row := [picture.ref.name for picture in found if picture.id not in rows]:
        notices.append(f"pictures without a row in {file.name}, left out: {some(without_row)}")
    if without_picture := [id for id in rows if id not in seen]:
        notices.append(f"glitches in {file.name} without pictures: {some(without_picture)}")
    return tuple(notices)


def _read(file: Path) -> dict[str, tuple[str, SplitName]]:
    """Returns label and split of each Gravity Spy id."""
    rows: dict[str, tuple[str, SplitName]] = {}
    with file.open(newline="", encoding="utf-8-sig", errors="replace") as lines:
        reader = csv.DictReader(lines, restval="")
        needed = {"gravityspy_id", "label", "sample_type"}
        if missing := sorted(needed - set(reader.fieldnames or ())):
            raise SourceError(f"{file}: has no column {', '.join(missing)}; is it the right table?")
        for row in reader:
            where = f"{file}, line {reader.line_num}"
            said = (_label(row["label"], where), _split(row["sample_type"], where))
            if rows.setdefault(row["gravityspy_id"], said) != said:
                raise SourceError(
                    f"{where}: glitch {row['gravityspy_id']} has two labels or two splits; "
                    "keep one row"
                )
    return rows


def _label(name: str, where: str) -> str:
    label = class_name(name)
    if label is None:
        raise SourceError(f"{where}: label {name!r} is no class of Gravity Spy; correct it")
    return label


def _split(name: str, where: str) -> SplitName:
    split = next((split for split in SPLITS if split == name.strip().lower()), None)
    if split is None:
        raise SourceError(f"{where}: sample_type {name!r} is none of {', '.join(SPLITS)}")
    return split
