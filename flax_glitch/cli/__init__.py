"""The command line: `flax-glitch classify | evaluate | prepare | release`."""

import csv
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from functools import partial, wraps
from itertools import chain, dropwhile, takewhile
from pathlib import Path
from typing import Any, Literal, TextIO

import numpy as np
import tyro
from tqdm import tqdm

from flax_glitch.checkpoint import find_checkpoint, release
from flax_glitch.classes import CLASSES
from flax_glitch.config import CACHE, UsageError, keep_compiled
from flax_glitch.data.layouts import SPLITS, pictures_below
from flax_glitch.data.tfds_builder import PATTERNS, Prepared, prepare
from flax_glitch.evaluation.evaluate import Outputs, evaluate, summary
from flax_glitch.evaluation.report import as_text, write_report
from flax_glitch.inference.output import render
from flax_glitch.inference.predictor import Failure, Prediction, Predictor

BATCH = 16
"""Pictures that `evaluate` gives the network at once."""

ODD_NAMES = "backslashreplace"
"""How file names that are no UTF-8 are written."""

Inputs = tyro.conf.Positional[tuple[Path, ...]]
SplitChoice = Literal["train", "validation", "test", "all"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command that the arguments name."""
    commands: dict[str, Callable[..., None]] = {
        "classify": classify,
        "evaluate": evaluate_checkpoint,
        "prepare": prepare_source,
        "release": release_run,
    }
    with one_line_errors():
        with one_line_usage():
            command = tyro.extras.subcommand_cli_from_dict(
                {name: later(function) for name, function in commands.items()},
                prog="flax-glitch",
                description="Tell LIGO's glitches apart. `flax-glitch COMMAND --help` says more.",
                args=arguments,
            )
        command()


def later(function: Callable[..., Any]) -> Callable[..., partial[None]]:
    """Returns the function as one that keeps its arguments, to be called once all are parsed."""

    @wraps(function)
    def with_arguments(*arguments: Any, **named: Any) -> partial[None]:
        return partial(function, *arguments, **named)

    with_arguments.__annotations__["return"] = partial
    return with_arguments


@contextmanager
def one_line_usage() -> Iterator[None]:
    """Turns what tyro says of wrong arguments, in a box, into one line."""
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            yield
    except SystemExit as end:
        # A title, the fault, a rule, and advice; the terminal decides how borders look.
        lines = [line.strip("│| ") for line in said.getvalue().splitlines()[1:]]
        worded = dropwhile(_is_rule, lines)
        what = takewhile(lambda line: not _is_rule(line), worded)
        if end.code:
            sys.stderr.write(f"error: {' '.join(what)} (--help lists the options)\n")
        raise


def _is_rule(line: str) -> bool:
    return not any(letter.isalnum() for letter in line)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turns failures that a user can cure into one line on stderr.

    Exit codes: 2 for wrong arguments, 1 for failed work, 130 after Ctrl-C.
    """
    try:
        yield
    except UsageError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone, as `head` does
        sys.exit(1)
    except (ValueError, FloatingPointError) as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {error.filename or 'writing'}: {error.strerror or error}")
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

    Exit code 1 if an input failed; the others are answered all the same. For example,
    `flax-glitch classify H1_abc_spectrogram_1.0.png`, or
    `flax-glitch classify pictures/ --format csv --out verdicts.csv`.

    Args:
        inputs: Picture files (PNG, JPEG, WebP), or folders that are searched for them.
        checkpoint: Folder of the model; the newest in checkpoints/ if not given.
        top_k: Classes shown for each glitch in the table.
        format: table: a row a glitch; csv: a row a picture; json: an object a picture and line.
        out: File to write to, instead of the screen.
    """
    if not inputs:
        raise UsageError("no input: name pictures or folders (see flax-glitch classify --help)")
    if not 1 <= top_k <= len(CLASSES):
        raise UsageError(f"--top-k {top_k}: give 1 to {len(CLASSES)}")
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
    with out.open("w", encoding="utf-8", errors=ODD_NAMES) if out else _screen() as file:
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
    seed: int | None = None,
    cache: Path = CACHE,
) -> None:
    """Measure a model on labelled pictures: metrics.json, predictions.csv, tables and plots.

    For example, `flax-glitch evaluate --source gravity-spy/ --out report/`.

    Args:
        source: Folder or HDF5 file of Gravity Spy pictures, as for training.
        split: Part of the source; all of it for pictures that were not trained on.
        checkpoint: Folder of the model; the newest in checkpoints/ if not given.
        out: Folder to write to; evaluation/ in the model's folder if not given.
        seed: Seed of the split by glitch; that of the model's training if not given.
        cache: Folder for prepared data.
    """
    predictor = open_predictor(checkpoint, cache)
    folder = out or predictor.folder / "evaluation"
    folder.mkdir(parents=True, exist_ok=True)
    seed = predictor.split_seed if seed is None else seed
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
    write_report(folder, outputs, measured, provenance)
    sys.stdout.write(f"{as_text(measured)}\nWritten to {folder}\n")


def prepare_source(
    source: str = PATTERNS, size: int = 224, seed: int = 0, cache: Path = CACHE
) -> None:
    """Write a source once as a TFDS data set at the network's size; training does so by itself.

    For example, `flax-glitch prepare --source gravity-spy/ --size 224`.

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

    For example, `flax-glitch release checkpoints/my-run --out checkpoints/default`.

    Args:
        run: Folder of the run.
        out: Folder to write to.
        precision: Type of the arrays; bfloat16 halves their size.
    """
    description = release(run, out, precision)
    sys.stdout.write(f"{out}: {description.name}, sha256 {description.sha256}\n")


def open_predictor(checkpoint: Path | None, cache: Path = CACHE) -> Predictor:
    """Returns the predictor of a checkpoint, or of the newest one."""
    keep_compiled(cache)
    return Predictor.from_checkpoint(find_checkpoint(checkpoint))


def find_pictures(inputs: Sequence[Path]) -> tuple[list[Path], list[Failure]]:
    """Returns the pictures that inputs name, folders searched, and the inputs that name none."""
    found = {path: sorted(pictures_below(path)) if path.is_dir() else [path] for path in inputs}
    missing = [
        Failure(str(path), "no pictures in this folder")
        for path, inside in found.items()
        if not inside
    ]
    return list(dict.fromkeys(chain.from_iterable(found.values()))), missing


@contextmanager
def _screen() -> Iterator[TextIO]:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=ODD_NAMES)
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
