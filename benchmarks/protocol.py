"""Which real glitches may be looked at, and which tell how well it is done.

    python benchmarks/protocol.py \
        --real DATA/{gravityspy,golden,figures,community,o3,notebooks,o3_new,later}

Three glitches of five are *tune*: looked at, chosen by, folded over. The others are *report*: never
looked at one by one, never chosen by, and judged once for each release. The hash of a glitch's name
decides, within its collection and class; pictures that nearly are copies of each other are on one
side. Prints how many there are of each, by collection.

`LOOKED_AT` are the collections that were seen by those who drew the simulator before there was this
rule, so that figures of them flatter, in *report* too.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
from common import pictures, read_tables
from jaxtyping import Bool
from scipy.sparse.csgraph import connected_components

from flax_glitch.data.table import glitch_numbers

LOOKED_AT = ("gravityspy", "golden", "figures", "community", "o3")

TUNE = 0.6
"""Share of the glitches that may be looked at."""

ALIKE = 0.93
"""Correlation of two pictures, in grey and 48 by 48 pixels, from which they are near copies. The
same glitch redrawn has 0.98, the greatest of two O3 Koi Fish 0.924."""

SIZE = 48


def main() -> None:
    """Prints how the glitches are parted; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, nargs="+", required=True)
    table = read_tables(parser.parse_args().real)
    parted = table.assign(
        collection=collections(table),
        part=np.where(tune(table), "tune", "report"),
        glitch=glitch_numbers(table),
    )
    counts = parted.groupby(["collection", "part"])["glitch"].nunique().unstack(fill_value=0)
    print(counts.to_string())


def collections(table: pd.DataFrame) -> list[str]:
    """Returns the collection of each picture: the folder of its class's folder."""
    return [Path(path).parts[-3] for path in table["path"]]


def tune(table: pd.DataFrame) -> Bool[np.ndarray, " sample"]:
    """Returns which pictures are *tune*; the others are *report*.

    The rule hangs on all collections together: give all of them at once, in whatever order.
    """
    table = table.assign(collection=collections(table), group=near_copies(table))
    table["glitch"] = [f"{row.collection}/{row.id}" for row in table.itertuples()]
    first = table.sort_values("glitch").drop_duplicates("group").set_index("group")
    sizes = table.groupby("group")["glitch"].nunique()
    chosen: dict[int, bool] = {}
    for stratum, groups in first.groupby(["collection", "label"]):
        wanted = TUNE * sizes[groups.index].sum() + share("/".join(stratum)) - 0.5
        so_far = 0
        for number in groups["glitch"].map(share).sort_values().index:
            chosen[number] = so_far + sizes[number] / 2 <= wanted
            so_far += sizes[number]
    return table["group"].map(chosen).to_numpy(bool)


def share(name: str) -> float:
    """Returns a number from 0 to 1 that a name has by chance, and always."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big") / 2**48


def near_copies(table: pd.DataFrame) -> np.ndarray:
    """Returns a number for each picture, the same for those of a glitch and of its near copies."""
    grey = np.stack(list(pictures(table, (SIZE, SIZE)))).mean(-1).reshape(len(table), -1)
    grey -= grey.mean(1, keepdims=True)
    grey /= np.maximum(np.linalg.norm(grey, axis=1, keepdims=True), 1e-9)
    glitch = glitch_numbers(table)
    together = (grey @ grey.T > ALIKE) | (glitch[:, None] == glitch)
    return connected_components(together, directed=False)[1]


if __name__ == "__main__":
    main()
