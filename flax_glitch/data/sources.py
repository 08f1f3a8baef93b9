"""Every picture of a source, gathered by glitch and split by glitch."""

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import h5py

from flax_glitch.classes import CLASSES, INDEX
from flax_glitch.data.layouts import (
    SPLITS,
    WITHOUT_SPLIT,
    FoundPicture,
    Layout,
    PictureRef,
    SourceError,
    SplitName,
    find_layout,
    list_pictures,
    metadata_file,
    parse_name,
    some,
)
from flax_glitch.data.metadata import join_metadata
from flax_glitch.data.pictures import LoadedPicture, PictureError, load_picture

__all__ = [
    "Glitch",
    "Layout",
    "PictureRef",
    "Source",
    "SourceError",
    "SplitName",
    "open_source",
    "parse_name",
    "read_picture",
]

HELD_OUT = 0.15
"""Share of a class's glitches in validation, and the same again in test (Gravity Spy's own)."""


@dataclasses.dataclass(frozen=True)
class Glitch:
    """One event in one detector and its pictures by window in seconds (None: window unknown)."""

    id: str
    ifo: str
    label: str
    views: Mapping[float | None, PictureRef]


@dataclasses.dataclass(frozen=True)
class Source:
    """The glitches of a data set by split, and notices: what a user should know about it."""

    path: Path
    layout: Layout
    splits: Mapping[SplitName, tuple[Glitch, ...]]
    notices: tuple[str, ...]

    @property
    def glitches(self) -> tuple[Glitch, ...]:
        """The glitches of all splits."""
        return tuple(glitch for split in SPLITS for glitch in self.splits[split])


def open_source(path: Path, seed: int = 0) -> Source:
    """Returns the glitches of a source; no picture is decoded.

    Args:
        path: The Kaggle or Zenodo edition's folder, the v1d0 HDF5 file, or a folder of
            `<Class>/<picture>`.
        seed: Of the split by glitch, where the source has none of its own.

    Raises:
        SourceError: if nothing is there, a folder is no class, a glitch has two labels or lies
            in two splits, or there is no picture.
    """
    layout = find_layout(path)
    found, notices = list_pictures(path, layout)
    metadata = metadata_file(path) if layout == "zenodo" else None
    if metadata is not None:
        found, missing = join_metadata(found, metadata)
        notices += missing
    if not found:
        raise SourceError(
            "; ".join(
                (
                    f"{path}: no pictures in class folders (such as {CLASSES[3]}/<name>.png)",
                    *notices,
                )
            )
        )
    groups, repeats = _gather(found)
    if layout in WITHOUT_SPLIT:
        groups, thin = _split_by_glitch(groups, seed)
        repeats += thin
    return Source(path, layout, _sorted_splits(groups), (*notices, *repeats))


def read_picture(ref: PictureRef) -> LoadedPicture:
    """Returns the decoded picture.

    Raises:
        PictureError: if it can't be read.
    """
    if ref.key is None:
        return load_picture(ref.path, ref.name)
    try:
        with h5py.File(ref.path, "r") as file:
            pixels = file[ref.key][0]
    except (OSError, KeyError, ValueError) as error:
        raise PictureError(f"{ref.name}: can't be read from the HDF5 file ({error})") from error
    return load_picture(pixels, ref.name)


Group = tuple[Glitch, SplitName | None]


def _gather(found: Iterable[FoundPicture]) -> tuple[list[Group], list[str]]:
    """Returns each glitch with its split, and a notice of pictures that repeat a window."""
    gathered: dict[tuple[str, str], list[FoundPicture]] = {}
    for picture in found:
        gathered.setdefault((picture.ifo, picture.id), []).append(picture)
    _refuse_conflicts(gathered.values())
    groups: list[Group] = []
    repeats = []
    for (ifo, id), pictures in gathered.items():
        views: dict[float | None, PictureRef] = {}
        for picture in sorted(pictures, key=lambda picture: picture.duration or 0.0):
            if views.setdefault(picture.duration, picture.ref) != picture.ref:
                repeats.append(picture.ref.name)
        groups.append((Glitch(id, ifo, pictures[0].label, views), pictures[0].split))
    notice = f"pictures that repeat a window of their glitch, left out: {some(repeats)}"
    return groups, [notice] if repeats else []


def _refuse_conflicts(groups: Iterable[list[FoundPicture]]) -> None:
    """Refuses glitches in two splits or under two labels, which would leak or mislead."""
    faults = []
    for first, *others in groups:
        for other in others:
            if (other.label, other.split) != (first.label, first.split):
                what = "under two labels" if other.label != first.label else "in two splits"
                faults.append(
                    f"{first.ifo}_{first.id} is {what}: {first.ref.name} and {other.ref.name}"
                )
                break
    if faults:
        more = f" (and {len(faults) - 1} more such glitches)" if len(faults) > 1 else ""
        raise SourceError(f"glitch {faults[0]}{more}; keep each in one place")


def _split_by_glitch(groups: list[Group], seed: int) -> tuple[list[Group], list[str]]:
    """Draws a split within each class, 70/15/15, by rank so that new files move few glitches."""
    drawn: list[Group] = []
    single, pairs = [], []
    for label in CLASSES:
        glitches = [glitch for glitch, _ in groups if glitch.label == label]
        single += [label] if len(glitches) == 1 else []
        pairs += [label] if len(glitches) == 2 else []
        ranked = sorted(glitches, key=lambda glitch: _rank(glitch, seed))
        drawn += zip(ranked, _shares(len(ranked)), strict=True)
    notices = []
    if single:
        notices.append(f"one glitch only, put into training: {', '.join(single)}")
    if pairs:
        notices.append(f"two glitches only, none in validation: {', '.join(pairs)}")
    return drawn, notices


def _rank(glitch: Glitch, seed: int) -> str:
    return hashlib.sha256(f"{seed} {glitch.ifo} {glitch.id}".encode()).hexdigest()


def _shares(count: int) -> list[SplitName]:
    """Returns the split of each of a class's ranked glitches; a single one is for training."""
    held_out = max(1, round(HELD_OUT * count))
    shares: list[SplitName] = ["train"] * count
    shares[1 : 1 + held_out] = ["test"] * min(held_out, count - 1)
    shares[1 + held_out : 1 + 2 * held_out] = ["validation"] * min(held_out, count - 1 - held_out)
    return shares


def _sorted_splits(groups: list[Group]) -> dict[SplitName, tuple[Glitch, ...]]:
    ordered = sorted(groups, key=lambda group: (INDEX[group[0].label], group[0].ifo, group[0].id))
    return {name: tuple(glitch for glitch, split in ordered if split == name) for name in SPLITS}
