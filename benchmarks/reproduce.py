"""The report's systems, and Gravity Spy's, trained and measured under one protocol.

    make reproduce SOURCE=/path/to/kaggle     takes long without a GPU; type it again to go on
    make reproduce SMOKE=1                    every step on a few simulated glitches, 3 minutes

Trains each system at its settings in the report (`flax_glitch.models.systems`), measures it on the
test split, each picture by itself and the windows of a glitch fused, compares all, and writes
docs/reproduction.md and .png. Whatever is finished is skipped, whatever was stopped goes on.
"""

import argparse
import dataclasses
import gc
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from string import Template

import jax

from flax_glitch.classes import CLASSES
from flax_glitch.cli import one_line_errors, talking
from flax_glitch.cli.training import evaluate_checkpoint
from flax_glitch.config import (
    CACHE,
    Config,
    Preprocessing,
    UsageError,
    keep_compiled,
)
from flax_glitch.evaluation.compare import check_comparable, read_system
from flax_glitch.evaluation.compare_report import as_markdown, as_text, write_comparison
from flax_glitch.models.systems import MODELS, PRESETS, settings
from flax_glitch.simulate.catalogue import draw_glitches
from flax_glitch.training.run import Interrupted
from flax_glitch.training.start import train

ROOT = Path(__file__).parents[1]
TEMPLATE = Path(__file__).with_name("reproduction.md.in")
OUT = Path("checkpoints") / "reproduction"

SMOKE_SIZE = 32
SMOKE_CLASSES, SMOKE_GLITCHES = CLASSES[::3], 3
"""Simulated glitches of each of some classes: one each for training, validation and test."""

DONE = "reproduced.json"
"""In a run's folder: the settings that it was trained and measured with to the end."""

SYSTEMS = [name for name in MODELS if name not in ("vgg16-rows", "pair")]
"""Those of the report and `compact`; the other two are made by `recipe.py`."""


def main() -> None:
    """Trains, measures, compares; see the module's docstring."""
    given = parse()
    if not given.smoke:
        reproduce(given, given.source, given.out or OUT, given.cache, ROOT / "docs")
        return
    with tempfile.TemporaryDirectory(prefix="reproduce-") as temporary:
        work = given.out or Path(temporary)
        draw_glitches(work / "simulated", SMOKE_GLITCHES, seed=0, classes=SMOKE_CLASSES)
        # For so few pictures XLA's optimisations take longer than they save.
        jax.config.update("jax_disable_most_optimizations", True)
        reproduce(given, work / "simulated", work / "runs", work / "cache", work)


def parse() -> argparse.Namespace:
    """Returns the arguments; what is missing or wrong raises UsageError."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", help="the Kaggle edition's folder, or another source")
    parser.add_argument("--smoke", action="store_true", help="a few small simulated glitches")
    parser.add_argument("--out", type=Path, help=f"folder of the runs ({OUT}; smoke: none is kept)")
    parser.add_argument("--systems", nargs="+", choices=MODELS, default=SYSTEMS)
    parser.add_argument("--preset", choices=PRESETS, default="paper", help="settings of training")
    parser.add_argument("--epochs", type=int, help="at most so many instead of the settings'")
    parser.add_argument("--size", type=int, help="height and width for all systems, pixels")
    parser.add_argument(
        "--weights-dir",
        type=Path,
        help="folder with Keras' ImageNet files; a system without one starts from scratch",
    )
    parser.add_argument("--cache", type=Path, default=CACHE)
    given = parser.parse_args()
    if bool(given.source) == given.smoke:
        raise UsageError("give either --source /path/to/kaggle or --smoke")
    return given


def reproduce(given: argparse.Namespace, source: Path, runs: Path, cache: Path, docs: Path) -> None:
    """Brings every system to its end and writes the document into a folder."""
    keep_compiled(cache)
    for name in given.systems:
        started = time.monotonic()
        config = config_of(given, name, source)
        finish(config, runs / name, cache)
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
    systems = [read_system(runs / name) for name in given.systems]
    check_comparable(systems)
    comparison = write_comparison(runs / "comparison", systems)
    write_document(given, comparison, runs, docs)
    print(
        f"{as_text(comparison)}\nWritten to {docs / 'reproduction.md'}; more in {runs}/comparison"
    )


def config_of(given: argparse.Namespace, name: str, source: Path) -> Config:
    """Returns a system's settings in the report, with the changes that were asked for."""
    config = settings(given.preset, name)
    model, preprocessing, epochs = config.model, config.preprocessing, given.epochs
    if given.smoke:
        model, epochs = dataclasses.replace(model, weights="none"), epochs or 1
    elif given.weights_dir and (official := MODELS[name].keras_file):
        file = given.weights_dir / Path(official.path).name
        model = dataclasses.replace(model, weights=str(file) if file.is_file() else "none")
    optimiser = settings("paper" if model.weights != "none" else given.preset, name).optimiser
    if size := given.size or SMOKE_SIZE * given.smoke:
        shape = {"size": max(size, MODELS[name].least_size), "width": 0}
        preprocessing = dataclasses.replace(preprocessing, **shape)
    return dataclasses.replace(
        config,
        preprocessing=preprocessing,
        model=model,
        optimiser=optimiser,
        data=dataclasses.replace(config.data, source=str(source)),
        training=dataclasses.replace(config.training, epochs=epochs or config.training.epochs),
    )


def finish(config: Config, folder: Path, cache: Path) -> None:
    """Trains and measures one system, or as much of that as is left to do."""
    done = folder / DONE
    if done.is_file() and done.read_text() == config.to_json():
        return
    train(config, folder, resume=(folder / "config.json").is_file(), cache=cache)
    evaluate_checkpoint(config.data.source, checkpoint=folder, cache=cache)
    done.write_text(config.to_json())
    # Else the next system's memory comes on top of this one's.
    jax.clear_caches()
    gc.collect()


def write_document(given: argparse.Namespace, comparison: dict, runs: Path, docs: Path) -> None:
    """Writes reproduction.md and its bar chart into a folder."""
    text = as_markdown(comparison, {}).replace("](accuracy.png)", "](reproduction.png)")
    packages = ("flax-glitch", "jax", "flax", "numpy", "pillow")
    filled = Template(TEMPLATE.read_text()).substitute(
        label="**Smoke run on simulated glitches: it shows that all steps work, and no more.**\n\n"
        * given.smoke,
        comparison=text.partition("\n")[2].strip(),
        systems="\n".join(row(runs / name) for name in given.systems),
        command=" ".join(["python benchmarks/reproduce.py", *options(given)]),
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        machine=f"{os.cpu_count()} CPU cores, JAX on {jax.devices()[0].device_kind}",
        versions=", ".join(f"{name} {version(name)}" for name in packages),
    )
    docs.mkdir(exist_ok=True)
    (docs / "reproduction.md").write_text(filled)
    shutil.copyfile(runs / "comparison" / "accuracy.png", docs / "reproduction.png")


def options(given: argparse.Namespace) -> list[str]:
    """Returns the options that change figures, without anybody's paths."""
    said = ["--smoke"] if given.smoke else ["--source", Path(given.source).name]
    for name in ("preset", "epochs", "size"):
        said += [f"--{name}", str(value)] if (value := getattr(given, name)) else []
    return said + (["--systems", *given.systems] if list(given.systems) != SYSTEMS else [])


def row(folder: Path) -> str:
    """Returns a line of the document's table about how a system was trained."""
    config = Config.from_json((folder / DONE).read_text())
    log = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    pace = statistics.median(record["pictures_per_second"] for record in log)
    cells = (
        folder.name,
        shown(config.preprocessing),
        Path(config.model.weights).name,
        f"{config.optimiser.learning_rate:g}",
        config.training.imbalance,
        f"{len(log)} of {config.training.epochs}",
        f"{pace:.1f}",
    )
    return f"| {' | '.join(cells)} |"


def shown(preprocessing: Preprocessing) -> str:
    """Returns in words what a network sees."""
    height, width = preprocessing.shape
    return f"{width}x{height}, {preprocessing.colour}, {preprocessing.normalise}"


if __name__ == "__main__":
    with one_line_errors(), talking([]):
        try:
            main()
        except Interrupted:
            print("Stopped and saved; the same command goes on.", file=sys.stderr)
            sys.exit(130)
