"""Writes the pictures of a source once, at the model's size, as a TFDS data set that grain reads.

TFDS runs without TensorFlow here: array_record files, read by `as_data_source`. A
`ShardBasedBuilder` writes them, because `GeneratorBasedBuilder` sorts a split in memory and from
1 GB on (all of Gravity Spy at 224 pixels) through TensorFlow's files.
"""

import contextlib
import errno
import fcntl
import functools
import hashlib
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from flax_glitch.classes import CLASSES
from flax_glitch.config import CACHE
from flax_glitch.data.drawing import draw_pictures
from flax_glitch.data.layouts import SPLITS, WITHOUT_SPLIT, find_layout, some, source_files
from flax_glitch.data.pictures import MIN_SIDE
from flax_glitch.data.prepared import (
    VERSION,
    Entry,
    Prepared,
    Split,
    is_ready,
    quiet,
    read_index,
    write_index,
)
from flax_glitch.data.sources import (
    PictureRef,
    Source,
    SourceError,
    SplitName,
    open_source,
)
from flax_glitch.simulate import catalogue

__all__ = ["SIMULATED", "Entry", "GravitySpy", "Prepared", "Split", "prepare"]

SIMULATED = "simulated"
"""The source that needs no files: glitches that the project simulates."""

# A minute or two to simulate and 390 MB, of which the network sees 2,400 pictures in training.
_GLITCHES_A_CLASS = 40
_RECORDS_A_SHARD = 4096


def prepare(
    source: Path | str,
    size: int,
    width: int = 0,
    *,
    seed: int = 0,
    cache: Path = CACHE,
    progress: bool = True,
) -> Prepared:
    """Returns a source at one size, writing it on the first call.

    A call that was killed is continued by the next one; of several at once one writes and the
    others wait for it. A source whose files change is written anew.

    Args:
        source: A folder or file for `open_source`, or "simulated".
        size: Height, pixels.
        width: Width, pixels; 0: as wide as high.
        seed: Of the split by glitch, where the source has none of its own.
        cache: Folder to write below.
        progress: Show a progress bar on stderr.

    Raises:
        SourceError: if the source can't be used or the cache can't be written.
    """
    shape = size, width or size
    if min(shape) < MIN_SIDE:
        raise SourceError(f"size {min(shape)}: pictures need at least {MIN_SIDE} pixels a side")
    try:
        path = _simulated(cache, progress) if source == SIMULATED else Path(source).expanduser()
        folder = cache / GravitySpy.name / _config_name(path, shape, seed)
        if not (is_ready(folder) and not (folder / "work").exists()):
            opened = open_source(path, seed)
            with _locked(folder / "lock", progress):
                if not is_ready(folder):
                    _write(opened, shape, folder, progress)
                shutil.rmtree(folder / "work", ignore_errors=True)
        return read_index(folder)
    except OSError as error:
        raise SourceError(_explain(error, source, cache)) from error


class GravitySpy(tfds.core.ShardBasedBuilder):
    """Pictures of glitches at one size, in the order in which they are handed over."""

    VERSION = tfds.core.Version(VERSION)
    # Where TFDS looks for checksums of downloads, through a package that it doesn't require.
    code_path = None

    def __init__(
        self,
        examples: Mapping[str, Sequence[Mapping[str, Any]]],
        shape: tuple[int, int],
        folder: Path,
        progress: bool,
    ):
        self._examples = examples
        self._progress = progress
        self._shape = shape
        super().__init__(
            data_dir=folder.parent.parent,
            file_format="array_record",
            config=tfds.core.BuilderConfig(name=folder.name),
        )

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(*self._shape, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=CLASSES),
            "gravityspy_id": tfds.features.Text(),
            "ifo": tfds.features.Text(),
            "duration": tfds.features.Scalar(np.float32, doc="Window in seconds; 0: unknown"),
        }
        return _LocalInfo(
            builder=self,
            description="Pictures of LIGO's glitches in Gravity Spy's 22 classes.",
            features=tfds.features.FeaturesDict(features),
        )

    def _shard_iterators_per_split(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, list[Callable[[], Iterator[tuple[int, Mapping[str, Any]]]]]]:
        del dl_manager
        return {
            split: [
                functools.partial(self._numbered, split, start)
                for start in range(0, len(examples), _RECORDS_A_SHARD)
            ]
            for split, examples in self._examples.items()
            if examples
        }

    def _numbered(self, split: str, start: int) -> Iterator[tuple[int, Mapping[str, Any]]]:
        examples = self._examples[split][start : start + _RECORDS_A_SHARD]
        bar = tqdm(examples, f"Writing {split}", leave=False, disable=not self._progress)
        yield from enumerate(bar, start)

    def _log_download_bytes(self) -> None:
        """Says nothing: nothing is downloaded."""

    def _log_download_done(self) -> None:
        """Says nothing: nothing was downloaded."""


class _LocalInfo(tfds.core.DatasetInfo):
    """A description that is never looked up in TFDS' bucket on the network."""

    def initialize_from_bucket(self) -> None:
        """Does nothing."""


def _simulated(cache: Path, progress: bool) -> Path:
    """Returns the folder of simulated glitches, simulating them on the first call."""
    folder = cache / f"{SIMULATED}-{_GLITCHES_A_CLASS}-{catalogue.VERSION}"
    if not folder.exists():
        with _locked(cache / f"{SIMULATED}.lock", progress):
            if not folder.exists():
                unfinished = folder.with_name(f"{folder.name}.unfinished")
                catalogue.draw_glitches(unfinished, _GLITCHES_A_CLASS, seed=0, progress=progress)
                unfinished.rename(folder)
    return folder


@contextlib.contextmanager
def _locked(file: Path, progress: bool) -> Iterator[None]:
    """Holds a lock that the system frees even if the process is killed."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if progress:
                tqdm.write(f"{file}: another process prepares this; waiting for it", sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _config_name(path: Path, shape: tuple[int, int], seed: int) -> str:
    """Returns a name that changes with everything that the written data depend on."""
    layout = find_layout(path)
    split = seed if layout in WITHOUT_SPLIT else "official"
    digest = hashlib.sha256(f"{VERSION} {split}".encode())
    for file in source_files(path):
        digest.update(f"\n{file.relative_to(path).as_posix()}".encode(errors="surrogateescape"))
        with contextlib.suppress(OSError):  # a link to nowhere is reported with the unreadable
            stat = file.stat()
            # The mode, because a picture that could not be read may be opened by its owner.
            digest.update(f" {stat.st_size} {stat.st_mtime_ns} {stat.st_mode}".encode())
    size = "x".join(map(str, dict.fromkeys(shape)))
    return f"{layout}-{size}-{digest.hexdigest()[:16]}"


def _write(source: Source, shape: tuple[int, int], folder: Path, progress: bool) -> None:
    """Draws the pictures into a work folder, then writes them and their index."""
    listed = _listed(source)
    work = folder / "work"
    draw_pictures([ref for _, _, ref in listed], shape, work, progress)
    drawn = [
        (split, entry, work / f"{number:06d}.png")
        for number, (split, entry, _) in enumerate(listed)
    ]
    unreadable = tuple(reason.read_text() for reason in sorted(work.glob("*.txt")))
    if len(unreadable) == len(drawn):
        raise SourceError(f"{source.path}: no picture can be read, such as {unreadable[0]}")
    kept = [one for one in drawn if not one[2].with_suffix(".txt").exists()]
    notices = [f"unreadable pictures, left out: {some(unreadable)}"] if unreadable else []
    index = {split: tuple(entry for name, entry, _ in kept if name == split) for split in SPLITS}
    write_index(
        Prepared(folder / VERSION, source.layout, (*source.notices, *notices), index, unreadable)
    )
    examples = {
        str(split): [_example(entry, picture) for name, entry, picture in kept if name == split]
        for split in SPLITS
    }
    _write_records(examples, shape, folder, progress)


def _write_records(
    examples: Mapping[str, Sequence[Mapping[str, Any]]],
    shape: tuple[int, int],
    folder: Path,
    progress: bool,
) -> None:
    for rubbish in folder.glob("incomplete.*"):
        shutil.rmtree(rubbish)
    try:
        with quiet():
            builder = GravitySpy(examples, shape, folder, progress)
            builder.download_and_prepare(download_dir=folder / "work")
    except RuntimeError as error:  # how array_record tells of a failed write
        raise OSError(errno.ENOSPC, str(error).partition(";")[0], str(folder)) from error


def _listed(source: Source) -> list[tuple[SplitName, Entry, PictureRef]]:
    """Returns the pictures in the order of their records, those of a glitch together."""
    root = source.path if source.path.is_dir() else source.path.parent
    listed = []
    for split in SPLITS:
        for glitch in source.splits[split]:
            for duration, ref in glitch.views.items():
                name = PictureRef(ref.path.relative_to(root), ref.key).name
                entry = Entry(name, glitch.id, glitch.ifo, duration, glitch.label)
                listed.append((split, entry, ref))
    return listed


def _example(entry: Entry, picture: Path) -> dict[str, Any]:
    return {
        "image": str(picture),
        "label": entry.label,
        "gravityspy_id": entry.gravityspy_id,
        "ifo": entry.ifo,
        "duration": entry.duration or 0.0,
    }


def _explain(error: OSError, source: Path | str, cache: Path) -> str:
    where = f"{error.filename or cache}: {error.strerror or error}"
    cure = "free some space" if error.errno == errno.ENOSPC else "check it, or use another cache"
    return f"{source}: can't be prepared: {where}; {cure}; finished pictures are kept"
