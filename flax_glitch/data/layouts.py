"""Where the pictures of each edition of Gravity Spy's training set lie, and what their places say.

Editions: Zenodo 1476551 (folders and a table), Kaggle tentotheminus9 (folders already split) and
Zenodo 1476156 (v1d0, one HDF5 file).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import h5py

from flax_glitch.classes import DURATIONS, class_name, named, with_suggestion
from flax_glitch.files import SIMULATED_MARK

SplitName = Literal["train", "validation", "test"]
Layout = Literal["kaggle", "zenodo", "v1d0", "folder", "simulated"]

SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")

WITHOUT_SPLIT: frozenset[Layout] = frozenset({"folder", "simulated"})
"""The layouts that say nothing of which glitch is for training."""

UNKNOWN_DETECTOR = "XX"
"""Stands for the detector where a file's name doesn't tell."""

Row = tuple[str, str, str, str, float | None, str, SplitName | None]
"""A picture as in `table.COLUMNS`; a split of None is not decided yet."""

Listing = tuple[list[Row], list[str]]
"""Pictures in a fixed order, and what a user should know about them."""

_PICTURE_FOLDERS = ("TrainingSetImages", "TrainingSet")
_TABLE = "trainingset_*metadata*.csv"
# Formats that load_picture refuses are listed too, so that it can say so.
_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
_NAME = re.compile(
    r"(?P<ifo>[A-Za-z][A-Za-z0-9])_(?P<id>.+)_spectrogram_(?P<duration>\d+(?:\.\d+)?)"
    r"(?: ?\(\d+\))?\.(?i:png|jpe?g|webp)"
)


class SourceError(ValueError):
    """Says in one line which source of pictures can't be used, why, and what would help."""


def parse_name(filename: str) -> tuple[str, str, float | None] | None:
    """Returns detector, Gravity Spy id and window in seconds, or None for a name of another kind.

    The form is `<detector>_<id>_spectrogram_<seconds>.<png|jpg|jpeg|webp>`; ids may hold dots and
    underscores. A number in brackets, as browsers add one to a second copy, doesn't count, nor do
    small letters of a detector. A window that is none of the four is None: it isn't known what it
    shows.
    """
    match = _NAME.fullmatch(filename)
    return None if match is None else (match["ifo"].upper(), match["id"], _known(match["duration"]))


def find_layout(path: Path) -> Layout:
    """Returns which edition a file or folder is, or refuses one that is none."""
    if path.is_file():
        if h5py.is_hdf5(path):
            return "v1d0"
        raise SourceError(f"{path}: is no HDF5 file; give a folder of pictures or the v1d0 file")
    if not path.is_dir():
        raise SourceError(f"{path}: no such file or folder; give the folder of the pictures")
    if (path / SIMULATED_MARK).is_file():
        return "simulated"
    if any((path / split).is_dir() for split in SPLITS):
        return "kaggle"
    return "folder" if metadata_file(path) is None else "zenodo"


def metadata_file(path: Path) -> Path | None:
    """Returns the table of Zenodo's edition, or None where there is none."""
    return min(path.glob(_TABLE), default=None)


def list_pictures(path: Path, layout: Layout) -> Listing:
    """Returns the pictures of a source, or refuses one that is out of order."""
    return {"kaggle": _kaggle, "v1d0": _v1d0}.get(layout, _folder)(path)


def source_files(path: Path) -> list[Path]:
    """Returns every file that a source is read from: pictures and table."""
    if path.is_file():
        return [path]
    return sorted(pictures_below(path)) + sorted(path.glob(_TABLE))


def pictures_below(folder: Path) -> Iterator[Path]:
    """Finds every file of a folder and its folders that is named as a picture."""
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        if path.suffix.lower() in _SUFFIXES and not any(map(_is_hidden, parts)):
            yield path


def some(names: Sequence[str]) -> str:
    """Returns how many names there are and the first three, for a message of one line."""
    return f"{len(names)} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"


def _kaggle(path: Path) -> Listing:
    roots: dict[Path, SplitName] = {}
    for split in SPLITS:
        doubled = path / split / split
        if (path / split).is_dir():
            roots[doubled if doubled.is_dir() else path / split] = split
    rows, notices = _in_class_folders(roots, path)
    absent = [f"{path}: has no {split} folder" for split in SPLITS if split not in roots.values()]
    return rows, absent + notices


def _folder(path: Path) -> Listing:
    root = next((path / name for name in _PICTURE_FOLDERS if (path / name).is_dir()), path)
    rows, notices = _in_class_folders({root: None}, path)
    if root != path and metadata_file(path) is None:
        notices.append(f"{path}: has no {_TABLE}, so the official split is not known")
    return rows, notices


def _in_class_folders(roots: dict[Path, Any], source: Path) -> Listing:
    """Lists the pictures in the folders right below the roots, each root a split or undecided."""
    folders = [
        folder
        for root in roots
        for folder in sorted(root.iterdir())
        if not _is_hidden(folder.name) and any(pictures_below(folder))
    ]
    _refuse_nested(folders)
    rows = [row for folder in folders for row in _in_folder(folder, source, roots[folder.parent])]
    return rows, unknown_classes(folder.name for folder in folders) + _loose_pictures(roots)


def _refuse_nested(folders: Iterable[Path]) -> None:
    """Refuses a folder of class folders in the place of a class folder."""
    for folder in folders:
        inside = [below.name for below in sorted(folder.iterdir()) if below.is_dir()]
        known = [name for name in inside if class_name(name)]
        if known and class_name(folder.name) is None:
            raise SourceError(
                f"{folder}: is no class, but holds folders of classes ({known[0]}); give it itself "
                "as the source, or move its class folders one level up"
            )


def unknown_classes(names: Iterable[str]) -> list[str]:
    """Returns a notice that lists the names that Gravity Spy doesn't know, if there are any."""
    unknown = sorted({_shown(name) for name in named(names) if class_name(name) is None})
    listed = ", ".join(map(with_suggestion, unknown))
    said = f"classes that Gravity Spy doesn't know, taken as they are called: {listed}"
    return [said] if unknown else []


def _label(name: str) -> str:
    # It becomes a folder's name where pictures are drawn, and groups of HDF5 may be called "..".
    return class_name(name) or (_shown(name) if name.strip(" .") else f"class{name}")


def _shown(name: str) -> str:
    """Returns a name on one line and in valid text; different ones stay different."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def _in_folder(folder: Path, source: Path, split: SplitName | None) -> Iterator[Row]:
    label = _label(folder.name)
    for path in sorted(pictures_below(folder)):
        place = path.relative_to(source)
        own_id = place.with_suffix("").as_posix().encode(errors="backslashreplace").decode()
        ifo, id, duration = parse_name(path.name) or (UNKNOWN_DETECTOR, own_id, None)
        yield place.as_posix(), "", ifo, id, duration, label, split


def _is_hidden(name: str) -> bool:
    # __MACOSX and ._names come with archives that were made on a Mac.
    return name.startswith(".") or name == "__MACOSX"


def _loose_pictures(roots: Iterable[Path]) -> list[str]:
    files = [path for root in roots for path in sorted(root.iterdir())]
    loose = [path for path in files if path.suffix.lower() in _SUFFIXES]
    names = [str(path) for path in loose if not _is_hidden(path.name)]
    return [f"pictures in no class folder, left out: {some(names)}"] if names else []


def _v1d0(path: Path) -> Listing:
    """Lists f[class][split][id]["0.5.png"]."""
    rows: list[Row] = []

    def add(key: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Group):
            return
        folder, split, id, view = key.split("/")
        if split not in SPLITS:
            where = f"{path}:{folder}/{split}"
            raise SourceError(f"{where}: is none of {', '.join(SPLITS)}; rename it")
        window = _known(view.removesuffix(".png"))
        rows.append((path.name, key, UNKNOWN_DETECTOR, id, window, _label(folder), split))

    try:
        with h5py.File(path, "r") as file:
            file.visititems(add)
            return rows, unknown_classes(file)
    except SourceError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        raise SourceError(
            f"{path}: is not as the v1d0 file should be ({error}); download it again"
        ) from error


def _known(seconds: str) -> float | None:
    """Returns the window that a number stands for, None if it is none of the four."""
    is_number = seconds.replace(".", "", 1).isdecimal()
    return float(seconds) if is_number and float(seconds) in DURATIONS else None
