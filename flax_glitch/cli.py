"""The command line: `flax-glitch classify | evaluate | prepare | release`."""

import csv
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TextIO

import numpy as np
import tyro
from tqdm import tqdm

from flax_glitch.checkpoint import find_checkpoint, release
from flax_glitch.config import CACHE, keep_compiled
from flax_glitch.data.layouts import SPLITS, pictures_below
from flax_glitch.data.tfds_builder import PATTERNS, Prepared, prepare
from flax_glitch.evaluation.evaluate import Outputs, evaluate, summary
from flax_glitch.evaluation.report import as_text, write_report
from flax_glitch.inference.output import render
from flax_glitch.inference.predictor import Failure, Prediction, Predictor

BATCH = 16
"""Pictures that `evaluate` gives the network at once."""

Inputs = tyro.conf.Positional[tuple[Path, ...]]
SplitChoice = Literal["train", "validation", "test", "all"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command that the arguments name."""
    with one_line_errors():
        tyro.extras.subcommand_cli_from_dict(
            {
                "classify": classify,
                "evaluate": evaluate_checkpoint,
                "prepare": prepare_source,
                "release": release_run,
            },
            prog="flax-glitch",
            description="Tell LIGO's glitches apart. `flax-glitch COMMAND --help` has examples.",
            args=arguments,
        )


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turns failures that a user can cure into one line on stderr and exit code 1."""
    try:
        yield
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone, as `head` does
        sys.exit(1)
    except (ValueError, FloatingPointError) as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {error.filename or ''}: {error.strerror or error}")
    except KeyboardInterrupt:
        sys.exit(130)


def classify(
    inputs: Inputs,
    checkpoint: Path | None = None,
    top_k: int = 5,
    format: Literal["table", "csv", "json"] = "table",
    out: Path | None = None,
) -> None:
    """Classify pictures; those whose names share detector and id are windows of one glitch.

    Exit code 1 if an input failed; the others are answered all the same.

    Examples:
      flax-glitch classify H1_abc_spectrogram_1.0.png

      flax-glitch classify pictures/ --format csv --out verdicts.csv

    Args:
        inputs: Picture files (PNG, JPEG, WebP), or folders that are searched for them.
        checkpoint: Folder of the model; the newest in checkpoints/ if not given.
        top_k: Classes shown for each glitch in the table.
        format: table: a row a glitch; csv: a row a picture; json: an object a picture and line.
        out: File to write to, instead of the screen.
    """
    if not inputs:
        raise ValueError("no input: name pictures or folders (see flax-glitch classify --help)")
    paths, missing = find_pictures(inputs)
    failures = list(missing)
    predictor = open_predictor(checkpoint)

    def results() -> Iterator[Prediction | Failure]:
        yield from missing
        with tqdm(total=len(paths), unit="picture", disable=len(paths) < BATCH) as bar:
            for result in predictor.classify(paths):
                if isinstance(result, Failure):
                    failures.append(result)
                bar.update(1 if isinstance(result, Failure) else len(result.inputs))
                yield result

    model = {"name": predictor.name, "sha256": predictor.sha256}
    with out.open("w") if out else _screen() as file:
        for text in render(results(), format, model, top_k):
            file.write(text)
            file.flush()
    if failures:
        sys.exit(f"error: {len(failures)} of {len(paths) + len(missing)} inputs failed")


def evaluate_checkpoint(
    source: str,
    split: SplitChoice = "test",
    checkpoint: Path | None = None,
    out: Path | None = None,
    seed: int = 0,
    cache: Path = CACHE,
) -> None:
    """Measure a model on labelled pictures: metrics.json, predictions.csv, tables and plots.

    Examples:
      flax-glitch evaluate --source gravity-spy/ --out report/

    Args:
        source: Folder or HDF5 file of Gravity Spy pictures, as for training.
        split: Part of the source; all of it for pictures that were not trained on.
        checkpoint: Folder of the model; the newest in checkpoints/ if not given.
        out: Folder to write to; evaluation/ in the model's folder if not given.
        seed: Seed of the split by glitch, as in training.
        cache: Folder for prepared data.
    """
    predictor = open_predictor(checkpoint)
    prepared = prepare(source, predictor.preprocessing.size, seed=seed, cache=cache)
    _tell(prepared)
    outputs = _outputs(predictor, prepared, split)
    _warn_of_trained(predictor.folder, outputs)
    measured = summary(outputs)
    provenance = {
        "source": Path(source).name,
        "layout": prepared.layout,
        "split": split,
        "model": {"name": predictor.name, "sha256": predictor.sha256},
        "unreadable": list(prepared.unreadable),
    }
    folder = out or predictor.folder / "evaluation"
    write_report(folder, outputs, measured, provenance)
    sys.stdout.write(f"{as_text(measured)}\nWritten to {folder}\n")


def prepare_source(
    source: str = PATTERNS, size: int = 224, seed: int = 0, cache: Path = CACHE
) -> None:
    """Write a source once as a TFDS data set at the network's size; training does so by itself.

    Examples:
      flax-glitch prepare --source gravity-spy/ --size 224

    Args:
        source: Folder or HDF5 file of Gravity Spy pictures, or "patterns".
        size: Height and width, pixels.
        seed: Seed of the split by glitch.
        cache: Folder to write below.
    """
    prepared = prepare(source, size, seed=seed, cache=cache)
    _tell(prepared)
    counts = ", ".join(f"{len(prepared.split(name))} {name}" for name in SPLITS)
    sys.stdout.write(f"{prepared.layout} layout, pictures: {counts}\n{prepared.directory}\n")


def release_run(
    run: tyro.conf.Positional[Path],
    out: Path,
    precision: Literal["float32", "bfloat16"] = "bfloat16",
) -> None:
    """Copy a run's model, without its training state, to a folder to hand on.

    Examples:
      flax-glitch release checkpoints/my-run --out checkpoints/default

    Args:
        run: Folder of the run.
        out: Folder to write to.
        precision: Type of the arrays; bfloat16 halves their size.
    """
    description = release(run, out, precision)
    sys.stdout.write(f"{out}: {description.name}, sha256 {description.sha256}\n")


def open_predictor(checkpoint: Path | None) -> Predictor:
    """Returns the predictor of a checkpoint, or of the newest one."""
    keep_compiled()
    return Predictor.from_checkpoint(find_checkpoint(checkpoint))


def find_pictures(inputs: Sequence[Path]) -> tuple[list[Path], list[Failure]]:
    """Returns the pictures that inputs name, folders searched, and the inputs that name none."""
    paths: list[Path] = []
    missing = []
    for entry in inputs:
        found = sorted(pictures_below(entry)) if entry.is_dir() else [entry]
        paths += [path for path in found if path not in paths]
        if not found:
            missing.append(Failure(str(entry), "no pictures in this folder"))
    return paths, missing


@contextmanager
def _screen() -> Iterator[TextIO]:
    yield sys.stdout


def _tell(prepared: Prepared) -> None:
    for notice in prepared.notices:
        tqdm.write(f"note: {notice}", file=sys.stderr)


def _outputs(predictor: Predictor, prepared: Prepared, split: SplitChoice) -> Outputs:
    names = SPLITS if split == "all" else (split,)
    parts = [prepared.split(name) for name in names]
    several = [evaluate(predictor.forward, part, BATCH) for part in parts if len(part)]
    if not several:
        raise ValueError(f"the {split} split holds no pictures; try --split all")
    logits = np.concatenate([outputs.logits for outputs in several])
    return Outputs(logits, tuple(entry for outputs in several for entry in outputs.entries))


def _warn_of_trained(folder: Path, outputs: Outputs) -> None:
    path = folder / "splits.csv"
    if not path.is_file():
        return
    with path.open(newline="") as file:
        trained = {
            (row["ifo"], row["gravityspy_id"])
            for row in csv.DictReader(file)
            if row["split"] == "train"
        }
    known = {(entry.ifo, entry.gravityspy_id) for entry in outputs.entries}
    if both := len(known & trained):
        tqdm.write(f"note: {both} of these {len(known)} glitches were trained on", file=sys.stderr)
