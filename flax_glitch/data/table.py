"""The one table of a data set, a row a picture: from files to predictions it stays the same."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from flax_glitch.arrays import Units
from flax_glitch.classes import CLASSES, DURATIONS, class_name, named, ordered, with_suggestion
from flax_glitch.data.layouts import (
    SPLITS,
    WITHOUT_SPLIT,
    Layout,
    SourceError,
    find_layout,
    list_pictures,
    metadata_file,
    some,
)

COLUMNS = ("path", "key", "ifo", "id", "duration", "label", "split")
"""Path below the source (with `/`), place inside an HDF5 file or empty, detector, Gravity Spy id,
window in seconds or NaN if unknown, class, and split."""

GLITCH = ["ifo", "id"]
"""The columns that name a glitch; its pictures have them in common."""

HELD_OUT = 0.15
"""Share of a class's glitches in validation, and the same again in test (Gravity Spy's own)."""

MISLABELLED = ("Paired_Doves", "VXw4KBWl5g")
"""Label and id that are wrong in the public training set."""


class Source(NamedTuple):
    """The pictures of a data set, those of a glitch together, and what a user should know of it."""

    path: Path
    layout: Layout
    table: pd.DataFrame
    notices: tuple[str, ...]

    @property
    def root(self) -> Path:
        """The folder that paths in the table start from."""
        return self.path if self.path.is_dir() else self.path.parent


def open_source(path: Path, seed: int = 0) -> Source:
    """Returns the pictures of a source; none is decoded.

    Args:
        path: The Kaggle or Zenodo edition's folder, the v1d0 HDF5 file, or a folder of
            `<Class>/<picture>`. Classes may be any; known names are understood in other spellings;
            `Outlier` holds pictures of no class, see `classes.OUTLIER`.
        seed: Of the split by glitch, where the source has none of its own.

    Raises:
        SourceError: if nothing is there, a glitch has two labels or lies in two splits or has more
            than four views, or there is no picture.
    """
    layout = find_layout(path)
    rows, notices = list_pictures(path, layout)
    table = as_table(rows)
    wrong = (table["label"] == MISLABELLED[0]) & (table["id"] == MISLABELLED[1])
    table = _without(table, wrong, "mislabelled in the public training set", notices)
    if layout == "zenodo" and (metadata := metadata_file(path)):
        table = _joined(table, metadata, notices)
    if table.empty:
        what = f"{path}: no pictures in class folders (such as {CLASSES[3]}/<name>.png)"
        raise SourceError("; ".join((what, *notices)))
    _refuse_conflicts(table)
    repeats = table.duplicated([*GLITCH, "duration"]) & table["duration"].notna()
    table = _without(table, repeats, "pictures that repeat a window of their glitch", notices)
    _refuse_many_views(table)
    if layout in WITHOUT_SPLIT:
        table = _split_by_glitch(table, seed, notices)
    return Source(path, layout, _sorted(table), tuple(notices))


def as_table(rows: Any) -> pd.DataFrame:
    """Returns a table of rows, or of columns by name; text is kept as it is, valid or not."""
    table = pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)
    return table.astype({"duration": float})


def picture_name(row: Any) -> str:
    """Returns what messages call the picture of a row of the table."""
    return f"{row['path']}:{row['key']}" if row["key"] else str(row["path"])


def glitch_numbers(table: pd.DataFrame) -> Int[np.ndarray, " sample"]:
    """Returns the glitch that each picture shows, numbered in order of appearance."""
    return table.groupby(GLITCH, sort=False).ngroup().to_numpy()


def count_glitches(table: pd.DataFrame) -> int:
    """Returns how many glitches the pictures show."""
    return len(table[GLITCH].drop_duplicates())


def places(
    glitches: Int[np.ndarray, " sample"], durations: Float[np.ndarray, " sample"]
) -> Int[np.ndarray, " sample"]:
    """Returns the place of each picture among the four windows of its glitch.

    Windows that aren't known (NaN) take the first places that are free. Glitches are numbered from
    0 and have at most four pictures.
    """
    found = durations[:, None] == np.array(DURATIONS)
    known, place = found.any(axis=1), found.argmax(axis=1)
    taken = np.zeros((glitches.max(initial=-1) + 1, len(DURATIONS)), bool)
    taken[glitches[known], place[known]] = True
    free = np.argsort(taken, axis=1, kind="stable")
    unknown = pd.Series(glitches[~known])
    place[~known] = free[unknown, unknown.groupby(unknown).cumcount()]
    return place


def in_places(
    glitches: Int[np.ndarray, " sample"], durations: Float[np.ndarray, " sample"]
) -> Units:
    """Returns for each glitch the pictures in its four places, -1 where there is none."""
    units = np.full((glitches.max(initial=-1) + 1, len(DURATIONS)), -1)
    units[glitches, places(glitches, durations)] = np.arange(len(glitches))
    return units


def chosen_classes(table: pd.DataFrame, classes: Sequence[str] = ()) -> tuple[str, ...]:
    """Returns the classes to train on: all of a table, or those asked for by any known name.

    Raises:
        SourceError: naming every class that the table doesn't have, or if there is only one.
    """
    there = ordered(table["label"])
    asked_for = {name: name if name in there else class_name(name) for name in classes}
    if absent := [name for name, meant in asked_for.items() if meant not in there]:
        asked = ", ".join(map(with_suggestion, absent))
        raise SourceError(f"no pictures of class {asked}; choose from {', '.join(there)}")
    chosen = ordered(meant for meant in asked_for.values() if meant) or there
    names = named(chosen)
    if len(names) < 2:
        only = names[0] if names else chosen[0]
        raise SourceError(f"{only} is the only class: there is nothing to tell apart; add others")
    return chosen


def _without(table: pd.DataFrame, wrong: pd.Series, why: str, notices: list[str]) -> pd.DataFrame:
    """Returns the table without the wrong pictures; a notice lists them."""
    if names := table["path"][wrong].tolist():
        notices.append(f"{why}, left out: {some(names)}")
    return table[~wrong]


def _refuse_conflicts(table: pd.DataFrame) -> None:
    """Refuses glitches in two splits or under two labels, which would leak or mislead."""
    grouped = table.groupby(GLITCH, sort=False)
    counted = grouped[["label", "split"]].nunique(dropna=False)
    if (faulty := counted[(counted > 1).any(axis=1)]).empty:
        return
    ifo, id = faulty.index[0]
    pictures = grouped.get_group((ifo, id))
    two_labels = faulty["label"].iloc[0] > 1
    column, what = ("label", "under two labels") if two_labels else ("split", "in two splits")
    first = pictures.iloc[0]
    other = pictures[pictures[column] != first[column]].iloc[0]
    more = f" (and {len(faulty) - 1} more such glitches)" if len(faulty) > 1 else ""
    raise SourceError(
        f"glitch {ifo}_{id} is {what}: {picture_name(first)} and {picture_name(other)}{more}; "
        "keep each in one place"
    )


def _refuse_many_views(table: pd.DataFrame) -> None:
    for (ifo, id), paths in table.groupby(GLITCH, sort=False)["path"]:
        if len(paths) > len(DURATIONS):
            raise SourceError(
                f"glitch {ifo}_{id} has {len(paths)} views, not one to {len(DURATIONS)}: "
                f"{', '.join(paths)}; remove those that aren't of 0.5, 1, 2 or 4 s"
            )


def _split_by_glitch(table: pd.DataFrame, seed: int, notices: list[str]) -> pd.DataFrame:
    """Draws a split within each class, 70/15/15, by rank so that new files move few glitches."""
    glitches = table[[*GLITCH, "label"]].drop_duplicates()
    ranks = [f"{seed} {ifo} {id}" for ifo, id in zip(glitches["ifo"], glitches["id"], strict=True)]
    glitches["rank"] = [
        hashlib.sha256(rank.encode(errors="surrogateescape")).hexdigest() for rank in ranks
    ]
    glitches = glitches.sort_values("rank")
    sizes = glitches.groupby("label").size()
    for label, count in sizes.items():
        glitches.loc[glitches["label"] == label, "split"] = _shares(count)
    if single := ordered(sizes.index[sizes == 1]):
        notices.append(f"one glitch only, put into training: {', '.join(single)}")
    if pairs := ordered(sizes.index[sizes == 2]):
        notices.append(f"two glitches only, none in validation: {', '.join(pairs)}")
    return table.drop(columns="split").merge(glitches[[*GLITCH, "split"]], on=GLITCH)


def _shares(count: int) -> list[str]:
    """Returns the split of each of a class's ranked glitches; a single one is for training."""
    held_out = max(1, round(HELD_OUT * count))
    names, sizes = ["train", "test", "validation", "train"], [1, held_out, held_out, count]
    return np.repeat(names, sizes)[:count].tolist()


def _sorted(table: pd.DataFrame) -> pd.DataFrame:
    """Puts splits one after the other, classes in order, the windows of a glitch together."""
    classes = ordered(table["label"])

    def place(row: Any) -> tuple[Any, ...]:
        first = SPLITS.index(row.split), classes.index(row.label)
        return (*first, row.ifo, row.id, np.nan_to_num(row.duration), row.path, row.key)

    return as_table(sorted(table.itertuples(index=False), key=place))


def _joined(table: pd.DataFrame, file: Path, notices: list[str]) -> pd.DataFrame:
    """Returns the pictures that have a row in Zenodo's table, with its split."""
    said = _read_metadata(file)
    missing = ~said["id"].isin([*table["id"], MISLABELLED[1]])
    without_row = ~table["id"].isin(said["id"])
    table = _without(table, without_row, f"pictures without a row in {file.name}", notices)
    if without_picture := said["id"][missing].tolist():
        notices.append(f"glitches in {file.name} without pictures: {some(without_picture)}")
    joined = table.drop(columns="split").merge(said, on="id")
    for _, row in joined[joined["label"] != joined["said"]].iterrows():
        raise SourceError(
            f"glitch {row['id']} is under two labels: {row['label']} in {row['path']}, "
            f"{row['said']} in {file}; correct one of them"
        )
    return joined[list(COLUMNS)]


def _read_metadata(file: Path) -> pd.DataFrame:
    """Returns id, label (as `said`) and split, as Zenodo's table (1476551) has them."""
    try:
        read = pd.read_csv(file, dtype=str, keep_default_na=False, encoding_errors="replace")
    except ValueError as error:
        raise SourceError(f"{file}: is no CSV table ({error}); download it again") from None
    if missing := sorted({"gravityspy_id", "label", "sample_type"} - set(read.columns)):
        raise SourceError(f"{file}: has no column {', '.join(missing)}; is it the right table?")
    read.index += 2  # now the numbers of lines
    said = read.rename(columns={"gravityspy_id": "id"}).astype(object)
    said["split"] = said["sample_type"].str.strip().str.lower()
    for line, name in said["sample_type"][~said["split"].isin(SPLITS)].items():
        raise SourceError(
            f"{file}, line {line}: sample_type {name!r} is none of {', '.join(SPLITS)}"
        )
    said["said"] = [class_name(name) or name for name in said["label"]]
    said = said[["id", "said", "split"]].drop_duplicates()
    for line, id in said["id"][said["id"].duplicated()].items():
        raise SourceError(
            f"{file}, line {line}: glitch {id} has two labels or two splits; keep one row"
        )
    return said
