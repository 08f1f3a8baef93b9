"""How well a recipe does on real glitches that it has not seen, by folds over glitches.

    flax-glitch simulate --out simulated/ --per-class 400 --seed 12
    python train_flax.py --source simulated/ --preset paper --model compact --epochs 10 \
        --early-stopping-patience 20 --run pretrained
    python benchmarks/cross_validation.py --start checkpoints/pretrained --simulated simulated/ \
        --real DATA/gravityspy DATA/golden DATA/figures DATA/community DATA/o3 --out folds/

Each fold's model starts from the given checkpoint, which has seen simulated glitches alone, and is
fine-tuned on the real glitches of the other folds with some simulated ones of each class beside, by
several seeds, whose weights are averaged.
Epochs are fixed, so that nothing is chosen by the pictures that are judged. Prints the metrics of
all folds together, each glitch judged once by probabilities calibrated on the other folds, and how
well each fold's model tells later classes of Gravity Spy from the 22, and writes them with the
predictions. With --release FOLDER it then trains on all real glitches and writes that model there,
calibrated by what the folds' models said of glitches that they had not seen. Killed, the same
command goes on.
"""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from common import few_of_each, folds, hardest, of_the_22, read_tables
from jaxtyping import Float
from PIL import Image
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from flax_glitch.checkpoint import (
    Calibration,
    add_calibration,
    arrays_of,
    load_model,
    read_card,
    release,
    save_model,
)
from flax_glitch.classes import CLASSES
from flax_glitch.config import CACHE, Config, OptimiserConfig, keep_compiled
from flax_glitch.data.records import prepare
from flax_glitch.data.table import count_glitches, glitch_numbers
from flax_glitch.evaluation.evaluate import Outputs, evaluate, join, summary
from flax_glitch.evaluation.report import (
    as_text,
    card_figures,
    draw_reliability,
    write_report,
)
from flax_glitch.models.systems import settings
from flax_glitch.predict.calibration import fit
from flax_glitch.predict.predictor import Predictor
from flax_glitch.strain.picture import colour_distance
from flax_glitch.training.card import model_card
from flax_glitch.training.start import read_settings, train

HEADING = """## On real glitches that it had not seen

Made by `benchmarks/cross_validation.py`, which begins with the commands: pretrained on simulated
glitches, then trained on {real} real ones and {share} simulated ones of each class. The weights are
the mean of {seeds} such trainings that differ by their seed; above is the first. Below, by folds,
each real glitch is judged by a model made alike from the others, with probabilities calibrated on
the other folds. The real pictures are from Gravity Spy's training set (CC-BY 4.0), its golden
examples, O3, a volunteer's collection and published figures.

AUROC of the out-of-distribution score, later classes ({later} glitches) against the 22, mean of the
folds' models: {auroc:.3f} ({lowest:.3f} to {highest:.3f}).
"""


@dataclasses.dataclass(frozen=True)
class Fold:
    """What one fold's model says of glitches that it has not seen."""

    outputs: Outputs
    """Of the real glitches that the fold judges."""
    colours: Float[np.ndarray, " sample"]
    """Of each of their pictures, the distance from the colours of a spectrogram."""
    auroc: float
    """Of the out-of-distribution score, later classes against these glitches."""


def main() -> None:
    """Trains, judges and prints; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, nargs="+", required=True)
    parser.add_argument("--simulated", type=Path, required=True)
    parser.add_argument("--start", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--share", type=int, default=20, help="simulated glitches a class")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=7e-4)
    parser.add_argument("--model", default="compact")
    parser.add_argument("--seeds", type=int, default=2, help="trainings whose weights are averaged")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--release", type=Path, help="new folder for a model of all glitches")
    given = parser.parse_args()
    keep_compiled()
    found = read_tables(given.real)
    real, later = of_the_22(found), found[~found["label"].isin(CLASSES)]
    simulated = few_of_each(read_tables([given.simulated]), given.share)
    parts = []
    for number, judged in enumerate(folds(real, given.folds)):
        source = given.out / f"fold-{number}" / "simulated-and-real"
        lay_out(source, real, simulated, judged)
        parts.append(fold(given, source, later))
    told = tell(parts, given, count_glitches(later))
    if given.release:
        source = given.out / "whole" / "simulated-and-real"
        lay_out(source, real, simulated, np.zeros(count_glitches(real), bool))
        model = fine_tuned(given, source)
        hand_on(model, given.release, parts, told)
        add_figures(given.release, given.out, model.with_name("seed-0"))


def fold(given: argparse.Namespace, source: Path, later: pd.DataFrame) -> Fold:
    """Trains and asks the model of one fold."""
    model = Predictor.from_checkpoint(fine_tuned(given, source))
    test = (
        prepare(source, *model.preprocessing.shape, cache=CACHE).only(model.classes).split("test")
    )
    scores = [
        [verdict.ood_score for verdict in model.classify(paths)]
        for paths in (sorted(source.glob("test/*/*/*")), sorted(map(Path, later["path"])))
    ]
    return Fold(
        evaluate(model, test),
        np.array([colour_distance(test[number]) for number in range(len(test))]),
        roc_auc_score(np.repeat([0, 1], [len(part) for part in scores]), np.concatenate(scores)),
    )


def honest(parts: Sequence[Fold]) -> Outputs:
    """Returns the outputs of all folds, the probabilities of each calibrated on the others."""
    each = []
    for place, part in enumerate(parts):
        calibration = calibrated([*parts[:place], *parts[place + 1 :]])
        outputs = dataclasses.replace(part.outputs, calibration=calibration)
        alone, fused = logarithms(outputs.probabilities), logarithms(outputs.glitch_probabilities)
        each.append(Outputs(alone, outputs.table, outputs.classes, fused))
    return join(each)


def logarithms(probabilities: np.ndarray) -> Float[np.ndarray, "sample class"]:
    """Returns scores that have these probabilities, as single floats."""
    return np.log(np.maximum(probabilities, 1e-30)).astype(np.float32)


def calibrated(parts: Sequence[Fold]) -> tuple[Calibration, ...]:
    """Returns the calibration by what these folds' models said."""
    outputs = join([part.outputs for part in parts])
    colours = np.concatenate([part.colours for part in parts])
    return fit(
        outputs.logits,
        colours,
        outputs.glitches,
        outputs.glitch_labels,
        outputs.fused,
        outputs.classes,
    )


def lay_out(source: Path, real: pd.DataFrame, simulated: pd.DataFrame, judged: np.ndarray) -> None:
    """Links the pictures into train/ and test/, as in Kaggle's edition."""
    test = judged[glitch_numbers(real)]
    for split, table in (("test", real[test]), ("train", real[~test]), ("train", simulated)):
        for path, label in zip(map(Path, table["path"]), table["label"], strict=True):
            link(path, source / split / label / path.parts[-3] / path.name)


def link(path: Path, goal: Path) -> None:
    """Makes a symbolic link, unless it is there."""
    goal.parent.mkdir(parents=True, exist_ok=True)
    if not goal.is_symlink():
        goal.symlink_to(path.absolute())


def recipe(given: argparse.Namespace, source: Path, seed: int) -> Config:
    """Returns the settings of one of a fold's trainings."""
    config = settings("paper", given.model)
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, source=str(source), batch_size=16),
        model=dataclasses.replace(config.model, weights=str(given.start)),
        optimiser=OptimiserConfig(given.learning_rate, "cosine"),
        training=dataclasses.replace(
            config.training, epochs=given.epochs, imbalance="over-sampling", seed=seed
        ),
    )


def fine_tuned(given: argparse.Namespace, source: Path) -> Path:
    """Returns the folder of a model that is the mean of some, alike but for their seeds.

    Weights can be averaged where trainings start alike, and do better so than each by itself
    (Wortsman et al. 2022, arXiv:2203.05482).
    """
    runs = [source.parent / f"seed-{seed}" for seed in range(given.seeds)]
    for seed, run in enumerate(runs):
        train(recipe(given, source, seed), run, resume=(run / "config.json").is_file())
    (first, description), *others = [load_model(run) for run in runs]
    each = [arrays_of(model) for model in (first, *(model for model, _ in others))]
    mean = {name: np.mean([arrays[name] for arrays in each], axis=0) for name in each[0]}
    goal = source.parent / "default"
    save_model(goal, mean, dataclasses.replace(description, name=goal.name), read_card(runs[0]))
    return goal


def tell(parts: Sequence[Fold], given: argparse.Namespace, later: int) -> str:
    """Prints and writes the metrics of all folds together, and returns them for the model card."""
    outputs, bare = honest(parts), join([part.outputs.uncalibrated for part in parts])
    measured = summary(outputs)
    for kind, metrics in summary(bare).items():
        measured[kind]["ece_uncalibrated"] = metrics["ece_uncalibrated"]
    provenance = {"folds": given.folds, "start": given.start.name, "epochs": given.epochs}
    write_report(given.out, outputs, measured, provenance)
    ways = {"bare softmax": bare, "calibrated on the other folds": outputs}
    draw_reliability(given.out, "per_glitch", ways)
    tables = f"{as_text(measured)}\n{hardest(outputs)}"
    aurocs = [part.auroc for part in parts]
    heading = HEADING.format(
        real=measured["per_glitch"]["n"],
        share=given.share,
        seeds=given.seeds,
        later=later,
        auroc=np.mean(aurocs),
        lowest=min(aurocs),
        highest=max(aurocs),
    )
    tqdm.write(f"{tables}\n\n{heading}")
    return f"{heading}\n```\n{tables}\n```\n"


def hand_on(model: Path, goal: Path, parts: Sequence[Fold], told: str) -> None:
    """Writes the model to its folder with its calibration and a card that tells how it did."""
    described, config = release(model, goal), read_settings(model.with_name("seed-0"))
    calibration = calibrated(parts)
    card = model_card(described.name, config, described.provenance, described.classes, calibration)
    add_calibration(goal, calibration, f"{card}\n{told}")
    print(f"{goal}: {described.name}, sha256 {described.sha256}")


def add_figures(goal: Path, *folders: Path) -> None:
    """Writes the figures of these folders beside the card, in 256 colours: a third of the size."""
    for name, path in card_figures(*folders).items():
        with Image.open(path) as figure:
            figure.convert("RGB").quantize().save(goal / name, optimize=True)


if __name__ == "__main__":
    main()
