"""How like real glitches simulated ones are: by numbers, class by class.

    flax-glitch simulate --out simulated/ --per-class 20 --seed 77
    python benchmarks/likeness.py simulated/ --cache cache/ --out likeness.md \
        --real DATA/{gravityspy,golden,figures,community,o3,notebooks,o3_new,later}

Only *tune* glitches are looked at (see `protocol.py`, which needs all collections at once). Every
picture is brought to one coarse size and described by a few numbers and by the embedding of the
model in the box. A forest of random trees is taught to tell real from simulated, and judged by
folds over glitches: its AUROC is 0.5 where it can't and 1 where it always can. Classes of fewer
than five real glitches have none. Each class and window counts alike on both sides, and energies
are told from the picture's median (0) to the brightest colour (1), which undoes that some were
coloured again. The noise alone is judged by the backgrounds of whole pictures, with their level.
Killed, the same command goes on: descriptions are kept in the cache.
"""

import argparse
import hashlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from common import kept, of_the_22, read_tables
from flax import nnx
from jaxtyping import Float
from protocol import collections, tune
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from flax_glitch.checkpoint import load_model
from flax_glitch.classes import CLASSES
from flax_glitch.data.pictures import resize
from flax_glitch.models.classifier import inference_mode
from flax_glitch.models.preprocess import standardise
from flax_glitch.strain.picture import MOST, VIRIDIS, spectrogram
from flax_glitch.strain.tiling import FREQUENCIES

SHAPE = (64, 76)
OCTAVES = np.log2(FREQUENCIES[1] / FREQUENCIES[0]) / SHAPE[0]
"""Rows and columns of all pictures, fewer than the smallest real ones have; octaves of a row."""

LOUD = ("greatest", "99 %", "frequency", "bandwidth", "duration", "area", "aside")
NOISE = ("level", "spread", "grain", "grain up", "10-30 Hz", "30-150 Hz", "150-700 Hz", "over 700")
"""The numbers of a picture. Of the loudest tile its energy, Hz, octaves and share of the window to
half its energy, and windows from the middle; the 99 % quantile of energy; the share of the picture
over `BRIGHT`. Of the background the median energy, the quartiles' distance, the median difference
of neighbours in time and in frequency over it, and the median of each of `BANDS` over it."""

BANDS, BRIGHT = (10, 30, 150, 700, 2048), 0.15
"""Hz, and a little more than noise reaches."""

SHARP = ("gravityspy", "golden")
"""Collections of whole pictures in their own colours."""

CELL, LATE = ["label", "duration", "late"], 1.15
"""What both sides must have in common: class, window, and whether it is drawn as O3's pictures are,
that is the median energy from which a simulated picture without much in it is."""

LEAST, FOLDS, REPEATS, ROUNDS = 5, 5, 2, 200
"""Real glitches that an AUROC needs; folds; their shufflings; rounds of the bootstrap."""


def main() -> None:
    """Writes and prints the tables; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("simulated", type=Path)
    parser.add_argument("--real", type=Path, nargs="+", required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/default"))
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    real = read_tables(given.real)
    real = of_the_22(real[tune(real)])
    real = real[real["duration"].notna()].assign(collection=collections)
    simulated = read_tables([given.simulated]).assign(collection="simulated")
    tables = [table.reset_index(drop=True) for table in (real, simulated)]
    table = pd.concat(tables, ignore_index=True)
    table["real"] = table["collection"] != "simulated"
    describe = descriptions(given.checkpoint)
    rows = [kept(cached(given.cache, one), one, SHAPE, describe, 64) for one in tables]
    described = np.concatenate(rows)
    table["late"] = late(table, described[:, len(LOUD)])
    text = f"{likeness(table, described)}\n\n{medians(table, described)}\n"
    given.out.write_text(text)
    print(text)


def cached(folder: Path, table: pd.DataFrame) -> Path:
    """Returns the file for the descriptions of just these pictures."""
    files = [f"{path} {Path(path).stat().st_mtime_ns}" for path in table["path"]]
    return folder / f"{hashlib.sha256(' '.join(files).encode()).hexdigest()[:16]}.npy"


def descriptions(checkpoint: Path):  # noqa: ANN201
    """Returns the function from pictures to their numbers, followed by their embeddings."""
    model, said = load_model(checkpoint)
    model = inference_mode(model)

    @nnx.jit
    def embed(model, batch):  # noqa: ANN001, ANN202
        views = standardise(batch, said.preprocessing)[:, None]
        return model.embed(model.features(views, np.ones(views.shape[:2], bool)))[:, 0]

    def describe(batch: np.ndarray) -> np.ndarray:
        maps = [energy(one) for one in batch]
        level = [spectrogram(1 + (MOST - 1) * levelled(one)) for one in maps]
        seen = np.stack([resize(one, *said.preprocessing.shape) for one in level])
        numbers = np.stack([measured(one) for one in maps])
        return np.concatenate([numbers, np.asarray(embed(model, seen))], axis=1)

    return describe


def energy(picture: np.ndarray) -> Float[np.ndarray, "row column"]:
    """Returns the normalised energy that the colours of a picture stand for."""
    place = np.searchsorted(VIRIDIS[:, 1], picture[..., 1]).clip(max=len(VIRIDIS) - 1)
    return (place + 0.5) * (MOST / 256)


def levelled(energies: Float[np.ndarray, "row column"]) -> Float[np.ndarray, "row column"]:
    """Returns energies from 0, the median, to 1, the brightest colour."""
    return (energies - np.median(energies)) / max(MOST - np.median(energies), 1.0)


def measured(energies: Float[np.ndarray, "row column"]) -> Float[np.ndarray, " number"]:
    """Returns the numbers `LOUD` and `NOISE` of an energy map."""
    over = levelled(energies)
    row, column = np.unravel_index(over.argmax(), over.shape)
    half = over.max() / 2
    glitch = (
        over.max(),
        np.percentile(over, 99),
        FREQUENCIES[1] * 2 ** (-(row + 0.5) * OCTAVES),
        OCTAVES * run(over[:, column] > half, row),
        run(over[row] > half, column) / SHAPE[1],
        np.mean(over > BRIGHT),
        abs((column + 0.5) / SHAPE[1] - 0.5),
    )
    low, high = np.percentile(over, (25, 75))
    scale = max(high - low, 1e-3)
    grains = [np.median(np.abs(np.diff(over, axis=axis))) / scale for axis in (1, 0)]
    places = (SHAPE[0] - np.log2(np.array(BANDS) / FREQUENCIES[0]) / OCTAVES).round().astype(int)
    bands = [np.median(over[b:a]) / scale for a, b in pairwise(places)]
    return np.array([*glitch, np.median(energies), scale, *grains, *bands])


def run(above: np.ndarray, place: int) -> int:
    """Returns the length of the unbroken run of trues around a place."""
    falses = np.flatnonzero(~np.r_[False, above, False])
    after = np.searchsorted(falses, place + 1)
    return int(falses[after] - falses[after - 1] - 1)


def late(table: pd.DataFrame, level: np.ndarray) -> pd.Series:
    """Returns which pictures are drawn as those of O3, among those that O3 has the like of."""
    found = table["collection"].str.startswith("o3")
    there = table[found].set_index(["label", "duration"]).index
    like = pd.MultiIndex.from_frame(table[["label", "duration"]]).isin(there)
    return found | (~table["real"] & like & (level > LATE))


def likeness(table: pd.DataFrame, rows: np.ndarray) -> str:
    """Returns the table of AUROCs: all together, the noise, each collection and each class."""
    loud, noise, embeddings = np.split(rows, np.cumsum((len(LOUD), len(NOISE))), axis=1)
    alike = np.concatenate([loud, noise[:, 2:]], axis=1)  # without level and spread
    simulated = ~table["real"]
    lines = ["| what | real glitches | AUROC | by the numbers alone |", "|---|---|---|---|"]

    def add(name: str, chosen: pd.Series, features: np.ndarray, embedded: np.ndarray) -> None:
        chosen = chosen & in_common(table, chosen)
        if table[chosen & table["real"]]["id"].nunique() >= LEAST:
            lines.append(judged(name, table[chosen], features[chosen], embedded[chosen]))

    whole, source = simulated | True, table["collection"]
    sharp = source.isin((*SHARP, "simulated"))
    add("all", whole, alike, embeddings)
    add("all, sharp", sharp, alike, embeddings)
    add("noise, sharp", sharp, noise, noise)
    for name in sorted(set(source) - {"simulated"}):
        add(name, source.isin((name, "simulated")), alike, embeddings)
    for name in CLASSES:
        add(name, table["label"] == name, alike, embeddings)
    return "\n".join(lines)


def in_common(table: pd.DataFrame, chosen: pd.Series) -> pd.Series:
    """Returns which pictures are of a class and window that both sides have among the chosen."""
    sides = table[chosen].groupby(CELL)["real"].nunique()
    both = pd.MultiIndex.from_frame(table[CELL]).map(sides.to_dict())
    return pd.Series(both == 2, table.index)


def judged(name: str, table: pd.DataFrame, features: np.ndarray, embedded: np.ndarray) -> str:
    """Returns the line of what these pictures' two sides give away."""
    real, glitch = table["real"].to_numpy(), table["id"].to_numpy()
    cell = table.groupby(CELL).ngroup().to_numpy()
    ours, theirs = (np.bincount(cell[real == side], minlength=cell.max() + 1) for side in (0, 1))
    weight = np.where(real, 1.0, theirs[cell] / ours[cell])
    weight[~real] *= weight[real].sum() / weight[~real].sum()
    reduced = PCA(8, svd_solver="covariance_eigh").fit_transform(embedded)
    cells = []
    for known in (np.concatenate([features, reduced], axis=1), features):
        scores = np.mean([told(known, real, glitch, weight, n) for n in range(REPEATS)], axis=0)
        found = roc_auc_score(real, scores, sample_weight=weight)
        low, high = interval(real, scores, glitch, weight)
        cells.append(f"{found:.2f} ({low:.2f} to {high:.2f})")
    return f"| {name} | {len(set(glitch[real]))} | {' | '.join(cells)} |"


def told(
    features: np.ndarray, real: np.ndarray, glitch: np.ndarray, weight: np.ndarray, seed: int
) -> Float[np.ndarray, " sample"]:
    """Returns how real each picture looks to a forest that has not seen its glitch."""
    scores = np.zeros(len(real))
    for train, test in StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(
        features, real, glitch
    ):
        forest = ExtraTreesClassifier(100, min_samples_leaf=2, random_state=seed)
        forest.fit(features[train], real[train], weight[train])
        scores[test] = forest.predict_proba(features[test])[:, 1]
    return scores


def interval(
    real: np.ndarray, scores: np.ndarray, glitch: np.ndarray, weight: np.ndarray
) -> Float[np.ndarray, "2"]:
    """Returns the 95 % interval of the AUROC by drawing glitches anew."""
    rng = np.random.default_rng(0)
    numbers = np.unique(glitch, return_inverse=True)[1]
    sides = [np.unique(numbers[real == side]) for side in (False, True)]
    found = []
    for _ in range(ROUNDS):
        drawn = np.concatenate([rng.choice(side, len(side)) for side in sides])
        times = np.bincount(drawn, minlength=numbers.max() + 1)[numbers]
        found.append(roc_auc_score(real, scores, sample_weight=weight * times))
    return np.percentile(found, (2.5, 97.5))


def medians(table: pd.DataFrame, rows: np.ndarray) -> str:
    """Returns the table of each class's medians, real and simulated, quartiles in brackets."""
    names = LOUD + NOISE
    lines = [f"| class | side | n | {' | '.join(names)} |", f"|{'---|' * (len(names) + 3)}"]
    for label in CLASSES:
        chosen = table["label"] == label
        chosen &= in_common(table, chosen)
        for side, mask in (("real", chosen & table["real"]), ("sim", chosen & ~table["real"])):
            quartiles = np.percentile(rows[mask][:, : len(names)], (25, 50, 75), axis=0).T
            cells = [f"{b:.3g} ({a:.2g} to {c:.2g})" for a, b, c in quartiles]
            lines.append(f"| {label} | {side} | {mask.sum()} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
