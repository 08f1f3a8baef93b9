"""What a run leaves to read: the log of its epochs, where its model comes from, the model card."""

import dataclasses
import json
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tensorboardX import SummaryWriter

from flax_glitch.checkpoint import Calibration
from flax_glitch.classes import CLASSES, OUTLIER, named
from flax_glitch.config import Config
from flax_glitch.data.layouts import SPLITS, Layout
from flax_glitch.data.records import Prepared
from flax_glitch.data.table import count_glitches
from flax_glitch.evaluation.report import plot_learning_curves
from flax_glitch.files import write_whole

Record = Mapping[str, Any]
"""One epoch: its number, learning rate, pace, and the metrics of training and validation."""

VERSIONS = ("flax-glitch", "jax", "flax", "optax", "orbax-checkpoint", "numpy", "pillow")


def write_log(run: Path, history: Sequence[Record]) -> None:
    """Writes the finished epochs to `metrics.jsonl` and draws `learning_curves.png`."""
    text = "".join(json.dumps(record) + "\n" for record in history)
    write_whole(run / "metrics.jsonl", text)
    if history:
        plot_learning_curves(list(history), run / "learning_curves.png")


def write_tensorboard(run: Path, record: Record) -> None:
    """Adds one finished epoch to the run's TensorBoard events."""
    with SummaryWriter(logdir=str(run / "tensorboard")) as writer:
        for name, value in _scalars(record):
            writer.add_scalar(name, value, record["epoch"])


def restart_tensorboard(run: Path, history: Sequence[Record]) -> None:
    """Writes the events of the finished epochs anew, so that a resumed run shows each once."""
    shutil.rmtree(run / "tensorboard", ignore_errors=True)
    for record in history:
        write_tensorboard(run, record)


def _scalars(record: Record) -> list[tuple[str, float]]:
    pace = [(name, record[name]) for name in ("learning_rate", "pictures_per_second")]
    metrics = [
        (f"{name}/{part}", value)
        for part in ("training", "validation")
        for name, value in (record[part] or {}).items()
        if value is not None
    ]
    return pace + metrics


def provenance(config: Config, prepared: Prepared) -> dict[str, Any]:
    """Returns where a model comes from: settings, data and versions, as plain values."""
    known = prepared.only(named(prepared.classes))
    splits = {name: known.split(name) for name in SPLITS}
    present = np.unique(splits["train"].labels)
    glitches: dict[str, int] = {name: count_glitches(split.table) for name, split in splits.items()}
    return {
        "config": _without_paths(config),
        "data": {
            "layout": prepared.layout,
            "glitches": glitches,
            "pictures": {name: len(split) for name, split in splits.items()},
            "absent": [name for n, name in enumerate(known.classes) if n not in present],
            "unreadable": len(prepared.unreadable),
            **_outliers(prepared),
        },
        "trained_on": _trained_on(config, prepared.layout, glitches["train"]),
        "versions": {name: version(name) for name in VERSIONS},
        "device": jax.devices()[0].device_kind,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def model_card(
    name: str,
    config: Config,
    provenance: Mapping[str, Any],
    classes: Sequence[str],
    calibration: Sequence[Calibration] = (),
) -> str:
    """Returns the model card in Markdown; SHA256 stands for the hash of the arrays."""
    data, best = provenance["data"], provenance["best"]
    counts = ", ".join(f"{n} {split}" for split, n in data["glitches"].items())
    return f"""# {name}

A {config.model.name} that tells {_told_apart(classes)} apart.
**{provenance["trained_on"]}**

| | |
|---|---|
| Data | {data["layout"]} layout, glitches: {counts}; split by glitch |
| Training pictures made by a DCGAN, for rare classes | {provenance.get("generated", 0)} |
| Classes without a training picture | {", ".join(data["absent"]) or "none"} |
| Input | {_input(config)} |
| Weights at the start | {Path(config.model.weights).name} |
| Training | RMSprop, learning rate {config.optimiser.learning_rate:g}, batches of \
{config.data.batch_size}, imbalance: {config.training.imbalance}, seed \
{config.training.seed}; best epoch {best["epoch"]} |
| {best["part"].capitalize()} pictures at that epoch | {_figures(best["metrics"])} |
| Versions | {", ".join(f"{k} {v}" for k, v in provenance["versions"].items())} |
| Made | {provenance["created"]} |
| sha256 | SHA256 |

{_calibrated(calibration, data["glitches"]["validation"])} Several windows of one glitch are fused \
by their mean log-probability.
{_told_outliers(data)}\
Probabilities are those where classes come {_frequency(config)}; `--prior` takes other frequencies.
Meant for research and teaching, on Gravity Spy spectrograms; it has no answer for pictures of
anything else.
"""


def _outliers(prepared: Prepared) -> dict[str, dict[str, int]]:
    """How many outliers each split has, if they are trained on; they are no glitches of a class."""
    if OUTLIER not in prepared.classes:
        return {}
    taken = prepared.table[prepared.table["label"] == OUTLIER]
    counts: dict[str, int] = {
        name: count_glitches(taken[taken["split"] == name]) for name in SPLITS
    }
    return {"outliers": counts}


def _trained_on(config: Config, layout: Layout, glitches: int) -> str:
    """In a sentence or two, which the app shows under every verdict."""
    if layout == "simulated":
        return (
            f"Trained on {glitches} simulated glitches, not on detector data: "
            "measure it on real glitches before you rely on it."
        )
    return f"Trained on {glitches} glitches of {Path(config.data.source).name}, split by glitch."


def _without_paths(config: Config) -> dict[str, Any]:
    """Settings with the names of files only: where they lay is nobody's business."""
    values = dataclasses.asdict(config)
    for part, name in (("data", "source"), ("model", "weights")):
        values[part][name] = Path(values[part][name]).name
    return values


def _told_apart(classes: Sequence[str]) -> str:
    names = named(classes)
    if names == CLASSES:
        return f"Gravity Spy's {len(CLASSES)} classes of LIGO glitches"
    return f"{len(names)} classes of glitches ({', '.join(names)})"


def _told_outliers(data: Mapping[str, Any]) -> str:
    """A line on what it learned of pictures of no class; empty if nothing."""
    if "outliers" not in data:
        return ""
    return (
        f"It learned to tell outliers from {data['outliers']['train']} of them, pictures of none "
        "of these classes: what it takes for one is called unlike anything in training.\n"
    )


def _calibrated(calibration: Sequence[Calibration], validation: int) -> str:
    if not calibration:
        return "Probabilities are the softmax of the network, not calibrated."
    temperatures = ", ".join(f"{one.temperature:.2f}" for one in calibration)
    whose = (
        "validation glitches"
        if validation
        else "glitches, each judged by a fold's model that had not seen it"
    )
    return (
        f"Probabilities are calibrated on {calibration[0].n} {whose} (temperatures {temperatures} "
        "for one to four windows); of such glitches one in twenty is called unlike anything in "
        "training."
    )


def _frequency(config: Config) -> str:
    balanced = config.training.imbalance != "none"
    return "equally often" if balanced else "as often as in training"


def _input(config: Config) -> str:
    how = config.preprocessing
    height, width = how.shape
    return f"{height} by {width} pixels, {how.colour}, {how.normalise}"


def _figures(metrics: Mapping[str, float | None]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {value:.4f}"
        for name, value in metrics.items()
        if value is not None
    )
