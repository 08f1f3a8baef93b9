"""What the benchmarks share: tables of glitches, folds over them, and what is told of answers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold
from tqdm import tqdm

from flax_glitch.arrays import Picture
from flax_glitch.classes import CLASSES
from flax_glitch.data.builder import read_picture
from flax_glitch.data.pictures import resize
from flax_glitch.data.records import class_numbers
from flax_glitch.data.table import GLITCH, open_source
from flax_glitch.evaluation.evaluate import Outputs, summary
from flax_glitch.evaluation.report import as_text, write_report


def read_tables(folders: Sequence[Path], seed: int = 0) -> pd.DataFrame:
    """Returns the tables of some sources one below the other, with whole paths."""
    tables = []
    for folder in folders:
        source = open_source(folder, seed)
        whole = [str((source.root / path).absolute()) for path in source.table["path"]]
        tables.append(source.table.assign(path=whole))
    return pd.concat(tables, ignore_index=True)


def of_the_22(table: pd.DataFrame) -> pd.DataFrame:
    """Returns the pictures of Gravity Spy's 22 classes, those of later classes left out."""
    return table[table["label"].isin(CLASSES)].reset_index(drop=True)


def labels_of(table: pd.DataFrame) -> np.ndarray:
    """Returns the class of each picture, as a number of the 22."""
    return class_numbers(table, CLASSES)


def glitch_labels(table: pd.DataFrame) -> np.ndarray:
    """Returns the class of each glitch, in order of appearance."""
    return labels_of(table.drop_duplicates(GLITCH))


def few_of_each(table: pd.DataFrame, share: int) -> pd.DataFrame:
    """Returns the pictures of the first glitches of each class."""
    glitches = table.drop_duplicates(GLITCH)
    few = glitches[glitches.groupby("label").cumcount() < share]
    return table.merge(few[GLITCH], on=GLITCH)


def folds(table: pd.DataFrame, count: int) -> Iterator[np.ndarray]:
    """Yields which glitches each fold judges; classes are spread over the folds evenly."""
    labels = glitch_labels(table)
    splitter = StratifiedKFold(count, shuffle=True, random_state=0)
    for _, judged in splitter.split(labels, labels):
        yield np.isin(np.arange(len(labels)), judged)


def pictures(table: pd.DataFrame, shape: tuple[int, int]) -> Iterator[Picture]:
    """Yields each picture of a table at a size, height and width."""
    for row in table.to_dict("records"):
        yield resize(read_picture(Path(), row).pixels, *shape)


def kept(
    path: Path, table: pd.DataFrame, shape: tuple[int, int], function: Callable, batch: int
) -> np.ndarray:
    """Returns what a function makes of all pictures, computed on the first call.

    Args:
        path: the file to keep it in.
        table: the pictures, one or more.
        shape: their height and width to the function.
        function: from a batch of pictures to a row each.
        batch: pictures at once; the last ones are filled up, so that jit compiles once.
    """
    if not path.exists():
        found = []
        for start in tqdm(range(0, len(table), batch), path.stem, unit="batch"):
            some = list(pictures(table[start : start + batch], shape))
            filled = np.stack(some + some[-1:] * (batch - len(some)))
            found.append(np.asarray(function(filled))[: len(some)])
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.concatenate(found))
    return np.load(path)


def told(outputs: Outputs, folder: Path, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Writes and prints what is measured of answers, and returns it."""
    measured = summary(outputs)
    write_report(folder, outputs, measured, provenance)
    print(f"{as_text(measured)}\n{hardest(outputs)}")
    return measured


def hardest(outputs: Outputs) -> str:
    """Returns what each class is taken for, glitch by glitch."""
    verdicts, names = outputs.glitch_probabilities.argmax(1), outputs.classes
    lines = []
    for number, name in enumerate(names):
        taken = verdicts[outputs.glitch_labels == number]
        wrong = [f"{names[v]} {np.sum(taken == v)}" for v in np.unique(taken) if v != number]
        lines.append(f"{name:20} {np.sum(taken == number):3} of {len(taken):3}  {', '.join(wrong)}")
    return "\n".join(lines)
