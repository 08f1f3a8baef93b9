"""The commands around training: a source made ready, a model measured and handed on."""

import sys
from pathlib import Path
from typing import Literal

import tyro
from tqdm import tqdm

from flax_glitch.checkpoint import release
from flax_glitch.classes import CLASSES
from flax_glitch.cli.terminal import open_predictor
from flax_glitch.config import CACHE, check_seed, keep_compiled
from flax_glitch.data.layouts import SPLITS
from flax_glitch.data.records import SIMULATED, Prepared, prepare
from flax_glitch.evaluation.compare import glitch_names, trained_glitches
from flax_glitch.evaluation.evaluate import evaluate, join, summary
from flax_glitch.evaluation.report import as_text, write_mistakes, write_report
from flax_glitch.simulate.catalogue import draw_glitches

SplitChoice = Literal["train", "validation", "test", "all"]


def evaluate_checkpoint(
    source: str,
    split: SplitChoice = "test",
    checkpoint: Path | None = None,
    out: Path | None = None,
    seed: int | None = None,
    cache: Path = CACHE,
) -> None:
    """Measure a model on labelled pictures: metrics.json, predictions.csv, tables and plots.

    For example, `flax-glitch evaluate --source gravity-spy/ --out report/`.

    Args:
        source: Folder or HDF5 file of Gravity Spy pictures, as for training.
        split: Part of the source; all of it for pictures that were not trained on.
        checkpoint: Folder of the model; the one that comes with the project if not given.
        out: Folder to write to; evaluation/ in the model's folder if not given.
        seed: Seed of the split by glitch; that of the model's training if not given.
        cache: Folder for prepared data.
    """
    if seed is not None:
        check_seed(seed)
    predictor = open_predictor(checkpoint, cache)
    folder = out or predictor.folder / "evaluation"
    folder.mkdir(parents=True, exist_ok=True)
    trained = trained_glitches(predictor.folder)
    seed = predictor.split_seed if seed is None else seed
    prepared = prepare(source, *predictor.preprocessing.shape, seed=seed, cache=cache)
    prepared = prepared.only(predictor.classes)
    _tell(prepared)
    names = SPLITS if split == "all" else (split,)
    parts = [part for name in names if len(part := prepared.split(name))]
    if not parts:
        raise ValueError(f"the {split} split holds no pictures; try --split all")
    outputs = join([evaluate(predictor, part) for part in parts])
    judged = glitch_names(outputs.table)
    if both := len(judged & trained):
        tqdm.write(f"note: {both} of these {len(judged)} glitches were trained on", sys.stderr)
    measured = summary(outputs)
    provenance = {
        "source": Path(source).name,
        "layout": prepared.layout,
        "split": split,
        "model": {"name": predictor.name, "sha256": predictor.sha256},
        "unreadable": list(prepared.unreadable),
    }
    write_report(folder, outputs, measured, provenance)
    write_mistakes(folder, outputs, parts)
    sys.stdout.write(f"{as_text(measured)}\nWritten to {folder}\n")


def prepare_source(
    source: str = SIMULATED,
    size: int = 224,
    width: int = 0,
    seed: int = 0,
    cache: Path = CACHE,
) -> None:
    """Write a source once as a TFDS data set at the network's size; training does so by itself.

    For example, `flax-glitch prepare --source gravity-spy/ --size 224`.

    Args:
        source: Folder or HDF5 file of Gravity Spy pictures, or "simulated".
        size: Height, pixels.
        width: Width, pixels; 0: as wide as high.
        seed: Seed of the split by glitch.
        cache: Folder to write below.
    """
    check_seed(seed)
    prepared = prepare(source, size, width, seed=seed, cache=cache)
    _tell(prepared)
    counts = ", ".join(f"{len(prepared.split(name))} {name}" for name in SPLITS)
    sys.stdout.write(f"{prepared.layout} layout, pictures: {counts}\n{prepared.directory}\n")


def simulate_glitches(
    out: Path, per_class: int, seed: int = 0, classes: tuple[str, ...] = CLASSES
) -> None:
    """Draw pictures of simulated glitches into a folder that `--source` takes.

    Stopped, the same command goes on; with a larger --per-class it adds to what is there. For
    example, `flax-glitch simulate --out my-glitches --per-class 100 --seed 1`.

    Args:
        out: Folder to write to: new, empty, or an earlier one of this command.
        per_class: Glitches a class, of four pictures each.
        seed: The same seed gives the same pictures.
        classes: Names of the classes to draw.
    """
    keep_compiled()
    draw_glitches(out, per_class, seed, classes=classes)
    sys.stdout.write(f"{out}: {per_class} simulated glitches a class, seed {seed}\n")


def release_run(
    run: tyro.conf.Positional[Path],
    out: Path,
    precision: Literal["float32", "bfloat16"] = "bfloat16",
) -> None:
    """Copy a run's model, without its training state, to a folder to hand on.

    For example, `flax-glitch release checkpoints/my-run --out checkpoints/default`.

    Args:
        run: Folder of the run.
        out: Folder to write to.
        precision: Type of the arrays; bfloat16 halves their size.
    """
    description = release(run, out, precision)
    sys.stdout.write(f"{out}: {description.name}, sha256 {description.sha256}\n")


def _tell(prepared: Prepared) -> None:
    for notice in prepared.notices:
        tqdm.write(f"note: {notice}", file=sys.stderr)
