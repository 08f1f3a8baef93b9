"""The model in the box: how it is made, and how well it does on real glitches that it hasn't seen.

    flax-glitch simulate --out simulated/ --per-class 200 --seed 30
    python train_flax.py --source simulated/ --preset paper --model compact --epochs 12 \
        --early-stopping-patience 20 --run pretrained
    python benchmarks/cross_validation.py --start runs/pretrained --simulated simulated/ \
        --imagenet vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5 --out folds/ \
        --real DATA/{gravityspy,golden,figures,community,o3,notebooks,o3_new,later}

`protocol.py` parts the real glitches. Each fold over *tune* makes the networks of `recipe.py` from
the glitches of the other folds and simulated ones of each class; nothing is chosen by the pictures
that are judged but what was chosen by these folds before. With --report networks made of all of
*tune* are judged on *report*, by collection: once for each release. With --release FOLDER they are
then made of all real glitches and written there, calibrated by what the others said of glitches
that they had not seen. Killed, the same command goes on.
"""

import argparse
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from common import few_of_each, folds, hardest, of_the_22, read_tables
from protocol import LOOKED_AT, collections, tune
from recipe import NETWORKS, compact, lay_out, mean_of, pair_of, trained, varied, vgg16_rows

from flax_glitch.classes import CLASSES
from flax_glitch.config import CACHE, keep_compiled
from flax_glitch.data.records import prepare
from flax_glitch.data.table import glitch_numbers
from flax_glitch.evaluation.evaluate import Outputs, evaluate, join, summary
from flax_glitch.evaluation.report import as_text, with_interval, write_report
from flax_glitch.predict.predictor import Predictor

Told = Mapping[str, Outputs]
"""What each network says of glitches that it has not seen."""


def main() -> None:
    """Trains, judges and prints; see the module's docstring."""
    given = arguments()
    keep_compiled()
    found = read_tables(given.real)
    looked_at = tune(found)
    simulated = few_of_each(read_tables([given.simulated]), given.share)
    real = of_the_22(found[looked_at])
    parts = []
    for number, judged in enumerate(folds(real, given.folds)):
        test = judged[glitch_numbers(real)]
        parts.append(judge(given, f"fold-{number}", real[~test], simulated, real[test]))
        tell(given.out, parts)


def arguments() -> argparse.Namespace:
    """Returns what was given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, nargs="+", required=True)
    parser.add_argument("--simulated", type=Path, required=True)
    parser.add_argument("--start", type=Path, required=True)
    parser.add_argument("--imagenet", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--share", type=int, default=60, help="simulated glitches a class")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--epochs", type=int, default=4)
    return parser.parse_args()


def make(
    given: argparse.Namespace, name: str, real: pd.DataFrame, simulated: pd.DataFrame,
    judged: pd.DataFrame,
) -> Mapping[str, Path]:
    """Returns the folders of the networks made of these glitches."""
    folder = given.out / name
    source, copied = folder / "pictures", folder / "pictures-and-copies"
    copies = [varied(real, given.out / f"copies-{n}", n) for n in (1, 2)]
    copies.append(varied(simulated, given.out / "copies-1", 1))
    lay_out(source, train=pd.concat([real, simulated]), test=judged)
    lay_out(copied, train=pd.concat([real, simulated, *copies]))
    found = {}
    if "compact" in given.networks:
        runs = [
            trained(compact(source, given.start, seed, given.epochs), folder / f"compact-{seed}")
            for seed in range(given.seeds)
        ]
        found["compact"] = mean_of(runs, folder / "compact")
    if "vgg16-rows" in given.networks:
        runs = [
            trained(
                vgg16_rows(copied, given.imagenet, seed, given.epochs, given.rate),
                folder / f"vgg16-rows-{seed}",
            )
            for seed in range(given.seeds)
        ]
        found["vgg16-rows"] = mean_of(runs, folder / "vgg16-rows")
    if "pair" in given.networks:
        found["pair"] = pair_of(found["vgg16-rows"], found["compact"], folder / "pair")
    return found


def judge(given, name, real, simulated, judged) -> Told:
    """Returns what networks made of these glitches say of others."""
    found = make(given, name, real, simulated, judged)
    told = {}
    for network, folder in found.items():
        model = Predictor(folder)
        source = given.out / name / "pictures"
        test = prepare(source, *model.preprocessing.shape, cache=CACHE).only(model.classes)
        told[network] = evaluate(model, test.split("test"))
    return told


def tell(out: Path, parts: Sequence[Told]) -> None:
    for network in parts[0]:
        outputs = join([part[network] for part in parts])
        np.savez(out / f"{network}.npz", logits=outputs.logits)
        outputs.table.to_csv(out / f"{network}.csv")
        measured = summary(outputs)["per_glitch"]
        print(network, {k: with_interval(measured, k) for k in ("accuracy", "recall_macro", "ece")}, flush=True)


if __name__ == "__main__":
    main()
