"""The commands around training: pictures made ready or made up, models measured and handed on.

Each imports what it uses: help comes at once, and only some need the packages that train.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import tyro

from flax_glitch.box import holds
from flax_glitch.classes import CLASSES, class_name
from flax_glitch.cli.terminal import open_predictor
from flax_glitch.config import CACHE, RUNS, SIMULATED, UsageError, check_seed, keep_compiled
from flax_glitch.files import write_whole
from flax_glitch.notes import LOG, bar

if TYPE_CHECKING:
    import flax_glitch.data.records

SplitChoice = Literal["train", "validation", "test", "all"]

MARK = "GENERATED.txt"
"""The file by which a folder is known to hold generated pictures."""


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
        checkpoint: Folder of the model, or its name, such as fast; the one in the box if not given.
        out: Folder to write to; evaluation/ in the model's folder if not given, of a model in the
            box evaluation/ here.
        seed: Seed of the split by glitch; that of the model's training if not given.
        cache: Folder for prepared data.
    """
    if seed is not None:
        check_seed(seed)
    from flax_glitch.data.layouts import SPLITS
    from flax_glitch.data.records import prepare
    from flax_glitch.evaluation import report
    from flax_glitch.evaluation.compare import glitch_names, trained_glitches
    from flax_glitch.evaluation.evaluate import evaluate, join, summary

    predictor = open_predictor(checkpoint, cache)
    folder = out or (Path() if holds(predictor.folder) else predictor.folder) / "evaluation"
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
        LOG.warning(f"{both} of these {len(judged)} glitches were trained on")
    measured = summary(outputs)
    provenance = {
        "source": Path(source).name,
        "layout": prepared.layout,
        "split": split,
        "model": {"name": predictor.name, "sha256": predictor.sha256},
        "unreadable": list(prepared.unreadable),
    }
    report.write_report(folder, outputs, measured, provenance)
    report.write_mistakes(folder, outputs, parts)
    sys.stdout.write(f"{report.as_text(measured)}\nWritten to {folder}\n")


def compare_runs(
    runs: tyro.conf.Positional[tuple[Path, ...]], out: Path = Path("comparison")
) -> None:
    """Compare evaluated runs: tables with intervals and tests, a bar chart, what each gets wrong.

    For example, `flax-glitch compare resnet50 cnn-a --out comparison/`, after `flax-glitch
    evaluate` of each on the same pictures.

    Args:
        runs: Folders of runs, or their names in checkpoints/.
        out: Folder to write comparison.md, comparison.json and the figures to.
    """
    if not runs:
        raise UsageError("no run to compare: name one or more, best two")
    from flax_glitch.checkpoint import find_checkpoint
    from flax_glitch.evaluation import compare_report
    from flax_glitch.evaluation.compare import check_comparable, read_system

    systems = [read_system(find_checkpoint(run)) for run in runs]
    check_comparable(systems)
    comparison = compare_report.write_comparison(out, systems)
    sys.stdout.write(f"{compare_report.as_text(comparison)}\nWritten to {out}\n")


def prepare_source(
    source: str = SIMULATED, size: int = 224, width: int = 0, seed: int = 0, cache: Path = CACHE
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
    from flax_glitch.data.layouts import SPLITS
    from flax_glitch.data.records import prepare

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
    from flax_glitch.simulate.catalogue import draw_glitches

    keep_compiled()
    draw_glitches(out, per_class, seed, classes=classes)
    sys.stdout.write(f"{out}: {per_class} simulated glitches a class, seed {seed}\n")


def generate_glitches(
    source: str,
    out: Path,
    per_class: int,
    classes: tuple[str, ...] = (),
    epochs: int | None = None,
    gan: Path = RUNS / "dcgan",
    seed: int = 0,
    cache: Path = CACHE,
) -> None:
    """Draw pictures that a DCGAN makes up, having learnt a source's training glitches.

    They lie in a folder a class, named as Gravity Spy's but of detector XG and an id that begins
    with "generated", so that every command takes them. The GAN is trained once: stopped, the same
    command goes on, and later ones use it. For example:

    `flax-glitch generate --source gravity-spy/ --out made-up --per-class 20`

    Args:
        source: Folder or HDF5 file of Gravity Spy pictures, or "simulated".
        out: Folder to write to: new, empty, or an earlier one of this command.
        per_class: Glitches a class, of as many windows as the source has of it.
        classes: Names of the classes to draw; all that the source has if not given.
        epochs: How often the GAN learns all glitches; 4,000 steps of 32 glitches if not given.
        gan: Folder of the GAN, trained there if it is new.
        seed: Another one gives other pictures; also where a new GAN's training begins.
        cache: Folder for prepared data.
    """
    for name, value in (("per-class", per_class), ("epochs", epochs)):
        if value is not None and value < 1:
            raise UsageError(f"--{name} {value}: give at least 1")
    check_seed(seed)
    from flax_glitch.data.records import prepare
    from flax_glitch.models.dcgan import SIDE
    from flax_glitch.simulate.catalogue import check_own
    from flax_glitch.strain.picture import png
    from flax_glitch.strain.qtransform import COLUMNS, ROWS
    from flax_glitch.training.gan import IFO, learnt_windows, made_up, picture_of, train_gan
    from flax_glitch.training.run import Interrupted

    check_own(out, MARK)
    keep_compiled(cache)
    split = prepare(source, SIDE, cache=cache).split("train")
    known = [label for label in split.classes if learnt_windows(split, label)]
    labels = list(dict.fromkeys(class_name(name) or name for name in classes)) or known
    if absent := [label for label in labels if label not in known]:
        raise ValueError(
            f"{source}: no training glitch of {', '.join(absent)} to learn from; it has "
            f"{', '.join(known) or 'none at all'}"
        )
    try:
        generator = train_gan(split, gan, seed=seed, epochs=epochs)
    except Interrupted:
        sys.stderr.write(f"Stopped; {gan} is saved, and the same command goes on\n")
        sys.exit(130)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).write_text("Made up by a DCGAN of flax_glitch: no detector has heard this.\n")
    for label in bar(labels, "Drawing", unit="class"):
        (out / label).mkdir(exist_ok=True)
        for id, duration, window in made_up(generator, split, label, per_class, seed):
            # Kaggle's geometry: a black line at the top and at the left.
            picture = np.pad(picture_of(window, (ROWS, COLUMNS)), ((1, 0), (1, 0), (0, 0)))
            target = out / label / f"{IFO}_{id}_spectrogram_{duration}.png"
            write_whole(target, png(picture))
    sys.stdout.write(
        f"{out}: {per_class} generated glitches of {len(labels)} classes, seed {seed}\n"
    )


def release_run(
    run: tyro.conf.Positional[Path],
    out: Path,
    precision: Literal["float32", "bfloat16"] = "bfloat16",
) -> None:
    """Copy a run's model, without its training state, to a folder to hand on.

    For example, `flax-glitch release checkpoints/my-run --out checkpoints/default`.

    Args:
        run: Folder or name of the run.
        out: Folder to write to.
        precision: Type of the arrays; bfloat16 halves their size.
    """
    from flax_glitch.checkpoint import find_checkpoint, release

    description = release(find_checkpoint(run), out, precision)
    sys.stdout.write(f"{out}: {description.name}, sha256 {description.sha256}\n")


def _tell(prepared: "flax_glitch.data.records.Prepared") -> None:
    LOG.debug(f"prepared pictures in {prepared.directory}")
    for notice in prepared.notices:
        LOG.warning(notice)
