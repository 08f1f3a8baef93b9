"""What a run leaves behind to read: metrics.jsonl, TensorBoard events and the learning curves."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter

from flax_glitch.evaluation.report import plot_learning_curves
from flax_glitch.files import write_whole

Record = Mapping[str, Any]
"""One epoch: its number, learning rate, pace, and the metrics of training and validation."""


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
