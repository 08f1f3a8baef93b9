"""The model in the box: how it is made, and how well it does on real glitches that it hasn't seen.

    flax-glitch simulate --out simulated/ --per-class 200 --seed 30
    python benchmarks/cross_validation.py --simulated simulated/ --out out/ \
        --imagenet vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5 \
        --real DATA/{gravityspy,golden,figures,community,o3,notebooks,o3_new,later}

`protocol.py` parts the real glitches. Each fold over *tune* makes the networks of `recipe.py` from
the glitches of the other folds and from simulated ones. With --report networks made of all of
*tune* are judged on *report*, by collection: once for each release. With --release FOLDER the pair
and its small network are then made of all real glitches and written to FOLDER/default and
FOLDER/fast, calibrated by what the others said of glitches that they had not seen. Prints the
tables and writes them to out/. Killed, the same command goes on.
"""

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import recipe
from common import few_of_each, folds, of_the_22, read_tables
from jaxtyping import Bool, Float
from PIL import Image
from protocol import tune
from telling import NETWORKS, Judged, calibrated, confusion, tell

from flax_glitch.checkpoint import arrays_of, load_model, save_model
from flax_glitch.classes import CLASSES, OUTLIER
from flax_glitch.config import CACHE, keep_compiled
from flax_glitch.data.records import prepare
from flax_glitch.data.table import count_glitches, glitch_numbers
from flax_glitch.evaluation.evaluate import evaluate
from flax_glitch.evaluation.report import card_figures
from flax_glitch.predict.predictor import Predictor
from flax_glitch.strain.picture import colour_distance

COPIES = 2
"""Varied copies of each real picture that the layer on top of VGG16 is fitted to; of simulated
ones there is one."""

TRAINED_ON = "Trained on {real} real glitches and {simulated} simulated ones."

SHIPPED = {
    "pair": (
        "default",
        "The mean of two networks as one: ImageNet's VGG16 with a layer on top that keeps "
        "frequencies apart, and a small one that learned from what it says.",
    ),
    "compact": (
        "fast",
        "A small network that learned from what a large one says of the same pictures: "
        "ImageNet's VGG16 with a layer on top that keeps frequencies apart.",
    ),
}
"""The networks that are written by --release: the folder of each, and what it is."""

CARD = Path(__file__).with_name("card.md.in")
"""The template of the model card."""


@dataclasses.dataclass(frozen=True)
class Pictures:
    """All pictures that networks are made of, and the rows that VGG16 makes of them."""

    table: pd.DataFrame
    """With the columns `origin` (real, simulated or outlier) and `copy`, 0 for the original."""
    rows: Float[np.ndarray, "sample row"]


def main() -> None:
    """Trains, judges and prints; see the module's docstring."""
    given = arguments()
    keep_compiled()
    found = read_tables(given.real)
    in_tune = tune(found)
    simulated = read_tables([given.simulated])
    outliers = recipe.outliers(simulated, given.out / "outliers", 800)
    recipe.lay_out(given.out / "simulated", train=pd.concat([simulated, outliers]))
    recipe.trained(recipe.pretraining(given.out / "simulated"), given.out / "pretrained")
    few = few_of_each(simulated, given.share)
    shown = gathered(given, found, few, outliers[: 4 * given.share])
    parts = []
    for number, judged in enumerate(parted(found[in_tune], given.folds)):
        whole = np.zeros(len(found), bool)
        whole[np.flatnonzero(in_tune)[judged]] = True
        parts.append(part(given, f"fold-{number}", shown, in_tune & ~whole, found[whole]))
    told = [tell(given.out, "folds", parts)]
    if given.report:
        parts.append(part(given, "report", shown, in_tune, found[~in_tune]))
        told.append(tell(given.out, "report", parts[-1:]))
    if given.release:
        release(given, shown, parts, told)


def arguments() -> argparse.Namespace:
    """Returns what was given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, nargs="+", required=True)
    parser.add_argument("--simulated", type=Path, required=True)
    parser.add_argument("--imagenet", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--share", type=int, default=60, help="simulated glitches a class")
    parser.add_argument("--seeds", type=int, default=3, help="trainings whose weights are averaged")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--report", action="store_true", help="judge on report: once a release")
    parser.add_argument("--release", type=Path, help="folder for two models of all glitches")
    return parser.parse_args()


def parted(table: pd.DataFrame, count: int) -> list[Bool[np.ndarray, " sample"]]:
    """Returns which pictures each fold judges; glitches of later classes are parted as a class."""
    named = table.assign(label=table["label"].where(table["label"].isin(CLASSES), CLASSES[0]))
    return [judged[glitch_numbers(named)] for judged in folds(named, count)]


def gathered(
    given: argparse.Namespace, real: pd.DataFrame, simulated: pd.DataFrame, outliers: pd.DataFrame
) -> Pictures:
    """Returns all pictures, those of later classes as outliers, with VGG16's rows of them."""
    label = real["label"].where(real["label"].isin(CLASSES), OUTLIER)
    kinds = [
        ("real", real.assign(label=label), range(COPIES + 1)),
        ("simulated", simulated, range(2)),
        ("outlier", outliers, range(1)),
    ]
    tables, rows = [], []
    for origin, table, copies in kinds:
        for copy in copies:
            file = given.out / f"rows-{origin}-{len(table)}-{copy}.npy"
            rows.append(recipe.rows_of(table, given.imagenet, file, copy))
            tables.append(table.assign(origin=origin, copy=copy))
    return Pictures(pd.concat(tables, ignore_index=True), np.concatenate(rows))


def part(
    given: argparse.Namespace,
    name: str,
    shown: Pictures,
    learned: Bool[np.ndarray, " real"],
    judged: pd.DataFrame,
) -> Mapping[str, Judged]:
    """Returns what networks that learned from some real glitches say of others."""
    folder = given.out / name
    made = networks(given, folder, shown, learned, of_the_22(judged))
    later = judged[~judged["label"].isin(CLASSES)]
    return {network: ask(path, folder / "pictures", later) for network, path in made.items()}


def networks(
    given: argparse.Namespace,
    folder: Path,
    shown: Pictures,
    learned: Bool[np.ndarray, " real"],
    judged: pd.DataFrame,
) -> Mapping[str, Path]:
    """Returns the folders of the networks, made if they aren't there."""
    made = {name: folder / name for name in NETWORKS}
    if (made["pair"] / "model.json").exists():
        return made
    real = (shown.table["origin"] == "real").to_numpy()
    used = ~real
    used[real] = np.tile(learned, COPIES + 1)
    table, rows = shown.table[used], shown.rows[used]
    recipe.lay_out(folder / "pictures", train=table[table["copy"] == 0], test=judged)
    names = [*CLASSES, OUTLIER]
    head = recipe.fitted_head(rows, table["label"].map(names.index).to_numpy(), shares(table))
    teacher = recipe.teacher_of(head, table, rows)
    runs = [folder / f"compact-{seed}" for seed in range(given.seeds)]
    for seed, run in enumerate(runs):
        config = recipe.fine_tuning(folder / "pictures", given.out / "pretrained", seed)
        recipe.trained(config, run, teacher)
    recipe.mean_of(runs, made["compact"])
    recipe.vgg16_rows(given.imagenet, head, made["compact"], made["vgg16-rows"])
    recipe.pair_of(made["vgg16-rows"], made["compact"], made["pair"])
    return made


def shares(table: pd.DataFrame) -> Float[np.ndarray, " sample"]:
    """Returns how much each picture counts: real ones of a class as much as made-up ones."""
    groups = table.assign(real=table["origin"] == "real").groupby(["label", "real"])
    return 1 / groups["path"].transform("size").to_numpy()


def ask(model: Path, source: Path, later: pd.DataFrame) -> Judged:
    """Returns what a network says of the test pictures of a source, and of later glitches."""
    predictor = Predictor(model)
    prepared = prepare(source, *predictor.preprocessing.shape, cache=CACHE)
    test = prepared.only(predictor.classes).split("test")
    scores = [
        np.array([verdict.ood_score for verdict in predictor.classify(sorted(paths))])
        for paths in (source.glob("test/*/*/*"), map(Path, later["path"]))
    ]
    colours = np.array([colour_distance(test[number]) for number in range(len(test))])
    return Judged(evaluate(predictor, test), colours, *scores)


def release(
    given: argparse.Namespace,
    shown: Pictures,
    parts: Sequence[Mapping[str, Judged]],
    told: Sequence[Mapping[str, str]],
) -> None:
    """Makes the networks of all real glitches and writes them, calibrated, with their cards."""
    originals = shown.table[shown.table["copy"] == 0]
    real = originals[originals["origin"] == "real"]
    made = networks(given, given.out / "whole", shown, np.ones(len(real), bool), real[:0])
    counts = {name: count_glitches(few) for name, few in originals.groupby("origin")}
    trained_on = TRAINED_ON.format(**counts)
    for network, (name, what) in SHIPPED.items():
        model, described = load_model(made[network])
        judged = [part[network] for part in parts]
        calibration = calibrated(judged)
        described = dataclasses.replace(
            described,
            name=name,
            provenance={
                **described.provenance,
                "trained_on": trained_on,
                "confusion": confusion(judged),
            },
            calibration=calibration,
        )
        card = CARD.read_text().format(
            name=name,
            what=what,
            trained_on=trained_on,
            judged=calibration[0].n,
            told="\n\n".join(tables[network] for tables in reversed(told)),
        )
        goal = given.release / name
        said = save_model(goal, arrays_of(model), described, card, "bfloat16")
        add_figures(goal, given.out / f"report-{network}")
        print(f"{goal}: sha256 {said.sha256}")


def add_figures(goal: Path, *folders: Path) -> None:
    """Writes the figures of these folders beside the card, in 256 colours: a third of the size."""
    for name, path in card_figures(*folders).items():
        with Image.open(path) as figure:
            figure.convert("RGB").quantize().save(goal / name, optimize=True)


if __name__ == "__main__":
    main()
