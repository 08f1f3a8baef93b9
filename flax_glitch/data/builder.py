"""Writes the pictures of a source, at the model's size, as a TFDS data set with an index.

TFDS runs without TensorFlow here: array_record files, read by `as_data_source`. A
`ShardBasedBuilder` writes them, because `GeneratorBasedBuilder` sorts a split in memory and from
1 GB on (all of Gravity Spy at 224 pixels) through TensorFlow's files.
"""

import errno
import io
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import tensorflow_datasets as tfds
from PIL import Image

from flax_glitch.classes import ordered
from flax_glitch.data.layouts import SourceError, some
from flax_glitch.data.pictures import LoadedPicture, PictureError, load_picture, resize
from flax_glitch.data.table import Source, picture_name
from flax_glitch.files import write_whole
from flax_glitch.notes import bar

VERSION = "1.1.0"
"""Of the data sets' content: raised whenever the same files give other pixels, rows or splits."""

INDEX = "index.json"
"""The file beside the data set that has all but the pictures, so that labels need no decoding."""

_RECORDS_A_SHARD = 4096
# Level 1 is written three times as fast as level 6, a fifth larger, and read nearly as fast.
_PNG_COMPRESSION = 1


def write_source(source: Source, shape: tuple[int, int], folder: Path, progress: bool) -> None:
    """Writes a source as a data set with its index; a call that was killed is gone on with.

    The folder gets the TFDS folder and `index.json`; finished pictures, of this height and width,
    are kept in its `work`.

    Raises:
        SourceError: if no picture can be read.
        OSError: if the folder can't be written.
    """
    work = folder / "work"
    _draw_pictures(source, shape, work, progress)
    reasons = {int(reason.stem): reason.read_text() for reason in sorted(work.glob("*.txt"))}
    unreadable = tuple(reasons.values())
    if len(unreadable) == len(source.table):
        raise SourceError(f"{source.path}: no picture can be read, such as {unreadable[0]}")
    kept = source.table.drop(index=list(reasons))
    notices = [f"unreadable pictures, left out: {some(unreadable)}"] if unreadable else []
    index = {
        "layout": source.layout,
        "notices": [*source.notices, *notices],
        "unreadable": unreadable,
        "table": kept.to_dict("list"),
    }
    write_whole(folder / INDEX, json.dumps(index))
    for rubbish in folder.glob("incomplete.*"):
        shutil.rmtree(rubbish)
    quieten()
    pictures = [str(work / f"{number:06d}.png") for number in kept.index]
    try:
        builder = GravitySpy(kept.assign(picture=pictures), shape, folder, progress)
        builder.download_and_prepare(download_dir=work)
    except RuntimeError as error:  # how array_record tells of a failed write
        raise OSError(errno.ENOSPC, str(error).partition(";")[0], str(folder)) from error


def _draw_pictures(source: Source, shape: tuple[int, int], work: Path, progress: bool) -> None:
    """Writes every picture that an earlier call has not written, the one of row 7 to 000007.png.

    If it can't be read, 000007.txt says why.
    """
    work.mkdir(exist_ok=True)
    rows = source.table.to_dict("records")
    targets = [work / f"{number:06d}" for number in range(len(rows))]
    # Threads do: Pillow lets others run while it decodes, resizes and encodes.
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        drawn = pool.map(_draw_one, repeat(source.root), rows, repeat(shape), targets)
        for _ in bar(drawn, "Preparing", len(rows), unit="picture", hidden=not progress):
            pass
    finally:
        pool.shutdown(cancel_futures=True)


def _draw_one(root: Path, row: Mapping[Any, Any], shape: tuple[int, int], target: Path) -> None:
    picture, reason = target.with_suffix(".png"), target.with_suffix(".txt")
    if picture.exists():
        return
    reason.unlink(missing_ok=True)
    try:
        pixels = resize(read_picture(root, row).pixels, *shape)
    except PictureError as error:
        write_whole(reason, str(error))
        return
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG", compress_level=_PNG_COMPRESSION)
    write_whole(picture, encoded.getvalue())


def read_picture(root: Path, row: Mapping[Any, Any]) -> LoadedPicture:
    """Returns the decoded picture of a row of the table, whose path starts from the root.

    Raises:
        PictureError: if it can't be read.
    """
    name = str(root / picture_name(row))
    if not row["key"]:
        return load_picture(root / row["path"], name)
    try:
        with h5py.File(root / row["path"], "r") as file:
            pixels = file[row["key"]][0]
    except (OSError, KeyError, ValueError) as error:
        raise PictureError(f"{name}: can't be read from the HDF5 file ({error})") from error
    return load_picture(pixels, name)


def quieten() -> None:
    """Keeps TFDS from warning of what is meant."""
    logging.getLogger("absl").setLevel(logging.ERROR)


class GravitySpy(tfds.core.ShardBasedBuilder):
    """Pictures of glitches at one size in the order of a table, whose `picture` are PNG files."""

    VERSION = tfds.core.Version(VERSION)
    # Where TFDS looks for checksums of downloads, through a package that it doesn't require.
    code_path = None

    def __init__(self, table: pd.DataFrame, shape: tuple[int, int], folder: Path, progress: bool):
        self._table, self._shape, self._progress = table, shape, progress
        config = tfds.core.BuilderConfig(name=folder.name)
        root = folder.parent.parent
        super().__init__(data_dir=root, file_format="array_record", config=config)

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(*self._shape, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=ordered(self._table["label"])),
            "gravityspy_id": tfds.features.Text(),
            "ifo": tfds.features.Text(),
            "duration": tfds.features.Scalar(np.float32, doc="Window in seconds; 0: unknown"),
        }
        return _LocalInfo(
            builder=self,
            description="Pictures of glitches in gravitational-wave detectors, by class.",
            features=tfds.features.FeaturesDict(features),
        )

    def _shard_iterators_per_split(self, dl_manager: Any) -> dict[str, list[Any]]:
        return {
            name: [
                partial(self._shard, name, rows, start)
                for start in range(0, len(rows), _RECORDS_A_SHARD)
            ]
            for name, rows in self._table.groupby("split", sort=False)
        }

    def _shard(self, split: str, rows: pd.DataFrame, start: int) -> Iterator[tuple[int, Any]]:
        shard = rows[start : start + _RECORDS_A_SHARD].to_dict("records")
        shown = bar(shard, f"Writing {split}", leave=False, hidden=not self._progress)
        for place, row in enumerate(shown, start):
            record = {
                "image": row["picture"],
                "label": row["label"],
                "gravityspy_id": row["id"],
                "ifo": row["ifo"],
                "duration": np.nan_to_num(row["duration"]),
            }
            yield place, record

    def _log_download_bytes(self) -> None:
        """Says nothing: nothing is downloaded."""

    def _log_download_done(self) -> None:
        """Says nothing: nothing was downloaded."""


class _LocalInfo(tfds.core.DatasetInfo):
    """A description that is never looked up in TFDS' bucket on the network."""

    def initialize_from_bucket(self) -> None:
        """Does nothing."""
