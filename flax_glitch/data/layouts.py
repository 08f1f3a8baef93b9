"""Where the pictures of each edition of Gravity Spy's training set lie, and what their places say.

Editions: Zenodo 1476551 (folders and a table), Kaggle tentotheminus9 (folders already split) and
Zenodo 1476156 (v1d0, one HDF5 file).
"""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import h5py

from flax_glitch.classes import CLASSES, class_name
from flax_glitch.simulate.catalogue import MARK

SplitName = Literal["train", "validation", "test"]
Layout = Literal["kaggle", "zenodo", "v1d0", "folder", "simulated"]

SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
"""The three parts of a data set."""

WITHOUT_SPLIT: frozenset[Layout] = frozenset({"folder", "simulated"})
"""The layouts that say nothing of which glitch is for training."""

UNKNOWN_DETECTOR = "XX"
"""Stands for the detector where a file's name doesn't tell."""

MISLABELLED = frozenset({("Paired_Doves", "VXw4KBWl5g")})
"""Labels and ids that are wrong in the public training set."""

_PICTURE_FOLDERS = ("TrainingSetImages", "TrainingSet")
_TABLE = "trainingset_*metadata*.csv"
# Formats that load_picture refuses are listed too, so that it can say so.
_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
_NAME = re.compile(
    r"(?P<ifo>[A-Z][A-Z0-9])_(?P<id>.+)_spectrogram_(?P<duration>\d+(?:\.\d+)?)"
    r"\.(?i:png|jpe?g|webp)"
)


class SourceError(ValueError):
    """Says in one line which source of pictures can't be used, why, and what would help."""


@dataclasses.dataclass(frozen=True)
class PictureRef:
    """Where one picture is: a file, or a place inside an HDF5 file."""

    path: Path
    key: str | None = None

    @property
    def name(self) -> str:
        """What messages call the picture."""
        return str(self.path) if self.key is None else f"{self.path}:{self.key}"


@dataclasses.dataclass(frozen=True)
class FoundPicture:
    """One picture and what its place says about it; a split of None is not decided yet."""

    ref: PictureRef
    id: str
    ifo: str
    duration: float | None
    label: str
    split: SplitName | None


Listing = tuple[list[FoundPicture], list[str]]
"""Pictures in a fixed order, and what a user should know about them."""


def parse_name(filename: str) -> tuple[str, str, float] | None:
    """Returns detector, Gravity Spy id and window in seconds, or None for a name of another kind.

    The form is `<detector>_<id>_spectrogram_<seconds>.<png|jpg|jpeg|webp>`; ids may hold dots and
    underscores.
    """
    match = _NAME.fullmatch(filename)
    return None if match is None else (match["ifo"], match["id"], float(match["duration"]))


def find_layout(path: Path) -> Layout:
    """Returns which edition a file or folder is.

    Raises:
        SourceError: if there is nothing, or a file that is no HDF5 file.
    """
    if path.is_file():
        if h5py.is_hdf5(path):
            return "v1d0"
        raise SourceError(f"{path}: is no HDF5 file; give a folder of pictures or the v1d0 file")
    if not path.is_dir():
        raise SourceError(f"{path}: no such file or folder; give the folder of the pictures")
    if (path / MARK).is_file():
        return "simulated"
    if any((path / split).is_dir() for split in SPLITS):
        return "kaggle"
    return "folder" if metadata_file(path) is None else "zenodo"


def metadata_file(path: Path) -> Path | None:
    """Returns the table of Zenodo's edition, or None where there is none."""
    return min(path.glob(_TABLE), default=None)


def list_pictures(path: Path, layout: Layout) -> Listing:
    """Returns the pictures of a source without those that are known to be mislabelled.

    Raises:
        SourceError: naming every folder that is none of the classes, or a file out of order.
    """
    found, notices = {"kaggle": _kaggle, "v1d0": _v1d0}.get(layout, _folder)(path)
    wrong = [picture for picture in found if (picture.label, picture.id) in MISLABELLED]
    if wrong:
        names = [picture.ref.name for picture in wrong]
        notices.append(f"mislabelled in the public training set, left out: {some(names)}")
    return [picture for picture in found if picture not in wrong], notices


def source_files(path: Path) -> list[Path]:
    """Returns every file that a source is read from: pictures and table."""
    if path.is_file():
        return [path]
    return sorted(pictures_below(path)) + sorted(path.glob(_TABLE))


def some(names: Sequence[str], most: int = 3) -> str:
    """Returns how many names there are and the first of them, for a message of one line."""
    return f"{len(names)} ({', '.join(names[:most])}{', …' if len(names) > most else ''})"


def _kaggle(path: Path) -> Listing:
    roots: dict[Path, SplitName] = {}
    for split in SPLITS:
        doubled = path / split / split
        if (path / split).is_dir():
            roots[doubled if doubled.is_dir() else path / split] = split
    found = [
        picture
        for folder, label in _class_folders(roots)
        for picture in _in_class_folder(folder, label, roots[folder.parent], path)
    ]
    absent = [f"{path}: has no {split} folder" for split in SPLITS if split not in roots.values()]
    return found, absent + _loose_pictures(roots)


def _folder(path: Path) -> Listing:
    root = next((path / name for name in _PICTURE_FOLDERS if (path / name).is_dir()), path)
    found = [
        picture
        for folder, label in _class_folders([root])
        for picture in _in_class_folder(folder, label, None, path)
    ]
    notices = _loose_pictures([root])
    if root != path and metadata_file(path) is None:
        notices.append(f"{path}: has no {_TABLE}, so the official split is not known")
    return found, notices


def _class_folders(roots: Iterable[Path]) -> list[tuple[Path, str]]:
    """Returns the folders right below the roots that hold pictures, each with its class."""
    folders = [
        folder
        for root in roots
        for folder in sorted(root.iterdir())
        if not _is_hidden(folder.name) and any(pictures_below(folder))
    ]
    labels = [class_name(folder.name) for folder in folders]
    _refuse_unknown(
        [str(folder) for folder, label in zip(folders, labels, strict=True) if label is None]
    )
    return [(folder, label) for folder, label in zip(folders, labels, strict=True) if label]


def _refuse_unknown(names: list[str]) -> None:
    if names:
        raise SourceError(
            f"not among Gravity Spy's 22 classes: {', '.join(names)}; move them elsewhere or "
            f"rename each to one of {', '.join(CLASSES)}"
        )


def _in_class_folder(
    folder: Path, label: str, split: SplitName | None, root: Path
) -> Iterator[FoundPicture]:
    for path in sorted(pictures_below(folder)):
        own_id = path.relative_to(root).with_suffix("").as_posix()
        ifo, id, duration = parse_name(path.name) or (UNKNOWN_DETECTOR, own_id, None)
        yield FoundPicture(PictureRef(path), id, ifo, duration, label, split)


def pictures_below(folder: Path) -> Iterator[Path]:
    """Finds every file of a folder and its folders that is named as a picture."""
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        if path.suffix.lower() in _SUFFIXES and not any(map(_is_hidden, parts)):
            yield path


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
    found = []
    try:
        with h5py.File(path, "r") as file:
            _refuse_unknown([f"{path}:{name}" for name in file if class_name(name) is None])
            for folder, splits in file.items():
                for split, glitches in splits.items():
                    for id, views in glitches.items():
                        found += _in_group(path, views, (folder, split, id))
    except (OSError, AttributeError, RuntimeError) as error:
        raise SourceError(
            f"{path}: is not as the v1d0 file should be ({error}); download it again"
        ) from error
    return found, []


def _in_group(path: Path, views: Any, place: tuple[str, str, str]) -> list[FoundPicture]:
    folder, split, id = place
    if split not in SPLITS:
        raise SourceError(f"{path}:{folder}/{split}: is none of {', '.join(SPLITS)}; rename it")
    label, ifo = class_name(folder) or folder, UNKNOWN_DETECTOR
    return [
        FoundPicture(
            PictureRef(path, "/".join((*place, view))), id, ifo, _seconds(view), label, split
        )
        for view in views
    ]


def _seconds(view: str) -> float | None:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\.png", view)
    return None if match is None else float(match[1])
