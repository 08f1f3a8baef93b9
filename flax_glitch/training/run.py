"""The loop of a run: epochs, validation, early stopping, plateaus, checkpoints and exact resume."""

import dataclasses
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from flax import nnx
from scipy.special import log_softmax

from flax_glitch.arrays import Key, Units
from flax_glitch.checkpoint import Description, RunStates, flatten, save_model
from flax_glitch.config import Config
from flax_glitch.data.batches import batches_an_epoch, labels_of, training_batches
from flax_glitch.data.records import Split
from flax_glitch.evaluation.evaluate import score
from flax_glitch.evaluation.metrics import epoch_metrics
from flax_glitch.models.classifier import Forward
from flax_glitch.models.systems import MODELS
from flax_glitch.notes import LOG, bar
from flax_glitch.training.card import (
    Record,
    model_card,
    restart_tensorboard,
    write_log,
    write_tensorboard,
)
from flax_glitch.training.step import EpochOutputs, TrainState, TrainStep, with_learning_rate

BALANCED = ("over-sampling", "randomised")
"""The settings of imbalance that draw as many pictures of each class."""


Keep = Callable[[Sequence[nnx.State], Sequence[Split]], Sequence[Split]]
"""States that make up a model and splits to the splits with the maps of its frozen layers."""


class Interrupted(Exception):  # noqa: N818, like KeyboardInterrupt it is no error
    """A run was told to stop; its state is saved."""


@dataclasses.dataclass
class Progress:
    """Where a run stands between two steps."""

    epoch: int = 0
    """Epochs finished."""
    batch: int = 0
    """Batches done of the next one."""
    best_epoch: int = 0
    best_loss: float | None = None
    since_best: int = 0
    since_drop: int = 0
    """Epochs since the best one, and since it or the last drop of the learning rate."""
    history: list[Record] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Run:
    """A run's fixed parts: its settings, folder, data and compiled functions."""

    config: Config
    folder: Path
    provenance: dict[str, Any]
    train: Split
    validation: Split
    units: Units
    """Which training pictures are looked at together."""
    key: Key
    """Of all that is random in training steps."""
    train_step: TrainStep
    forward: Forward
    keep: Keep
    states: RunStates

    @property
    def batch_size(self) -> int:
        """Units a step: never more than there are."""
        return min(self.config.data.batch_size, len(self.units))


def run_epochs(run: Run, state: TrainState, resume: bool) -> Description | None:
    """Trains from a state, or from the newest one saved, until the epochs are done or early.

    Returns:
        The best epoch's model as written, None if no epoch was better than those before.

    Raises:
        Interrupted: after SIGINT or SIGTERM, once the state is saved.
        FloatingPointError: if the loss is no longer finite.
        CheckpointError: if a state can't be written or read.
    """
    progress = Progress()
    batches = batches_an_epoch(run.units, run.batch_size)
    outputs = EpochOutputs(batches, run.batch_size, len(run.train.classes))
    if resume:
        saved, values = run.states.restore({"train": state, "outputs": outputs.arrays})
        state, progress = saved["train"], Progress(**values)
        outputs.go_on(saved["outputs"], progress.batch)
        write_log(run.folder, progress.history)
        restart_tensorboard(run.folder, progress.history)
    if _goes_on(run, progress):
        train, validation = run.keep(state.model, (run.train, run.validation))
        run = dataclasses.replace(run, train=train, validation=validation)
    described = None
    with stop_requests() as stop:
        while _goes_on(run, progress):
            start = time.monotonic()
            first = progress.batch
            state = _train_epoch(run, state, progress, outputs, stop)
            pictures = np.count_nonzero(run.units >= 0) / len(run.units)
            pace = (progress.batch - first) * run.batch_size * pictures / (time.monotonic() - start)
            record = _record(run, state, progress, outputs, pace)
            progress.history.append(record)
            progress.epoch, progress.batch = progress.epoch + 1, 0
            loss = (record["validation"] or record["training"])["loss"]
            rate = next_rate(progress, loss, record["learning_rate"], run.config)
            state = with_learning_rate(state, rate)
            if progress.since_best == 0:
                described = _write_model(run, state, progress)
            _save(run, state, progress, outputs)
            write_log(run.folder, progress.history)
            write_tensorboard(run.folder, record)
            LOG.info(describe_epoch(record))
            if stop.is_set():
                raise Interrupted
    if _stalled(run.config, progress):
        LOG.info(f"Stopped early: no lower loss since epoch {progress.best_epoch}, the best")
    return described


def describe_epoch(record: Record) -> str:
    """Returns one line on an epoch for people."""
    parts = [
        f"{part} loss {metrics['loss']:.4f}, accuracy {metrics['accuracy']:.4f}, "
        f"macro recall {metrics['recall_macro']:.4f}"
        for part in ("training", "validation")
        if (metrics := record[part])
    ]
    pace = f"{record['pictures_per_second']:.1f} pictures/s"
    return f"Epoch {record['epoch']}: {'; '.join(parts)}; {pace}"


@contextmanager
def stop_requests() -> Iterator[threading.Event]:
    """Turns SIGINT and SIGTERM into an event that is looked at between steps."""
    stop = threading.Event()

    def request(number: int, frame: FrameType | None) -> None:
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _goes_on(run: Run, progress: Progress) -> bool:
    return progress.epoch < run.config.training.epochs and not _stalled(run.config, progress)


def _stalled(config: Config, progress: Progress) -> bool:
    return progress.since_best >= config.training.early_stopping_patience


def _train_epoch(
    run: Run, state: TrainState, progress: Progress, outputs: EpochOutputs, stop: threading.Event
) -> TrainState:
    total = batches_an_epoch(run.units, run.batch_size)
    batches = training_batches(
        run.train,
        run.units,
        run.batch_size,
        seed=run.config.training.seed,
        epoch=progress.epoch,
        start=progress.batch,
        balanced=run.config.training.imbalance in BALANCED,
    )
    saved = time.monotonic()
    with bar(
        total=total * run.batch_size,
        initial=progress.batch * run.batch_size,
        desc=f"Epoch {progress.epoch + 1}/{run.config.training.epochs}",
        unit="glitch" if MODELS[run.config.model.name].together else "picture",
        leave=False,
    ) as shown:
        for batch in batches:
            state, output = run.train_step(state, batch, run.key)
            outputs.add(progress.batch, np.asarray(batch.labels), output)
            progress.batch += 1
            shown.update(run.batch_size)
            shown.set_postfix(outputs.running(), refresh=False)
            late = time.monotonic() - saved >= run.config.training.save_every
            if (late or stop.is_set()) and progress.batch < total:
                _save(run, state, progress, outputs)
                saved = time.monotonic()
            if stop.is_set() and progress.batch < total:
                raise Interrupted
    outputs.fetch()
    return state


def _record(
    run: Run, state: TrainState, progress: Progress, outputs: EpochOutputs, pace: float
) -> Record:
    return {
        "epoch": progress.epoch + 1,
        "step": int(state.step),
        "learning_rate": float(state.optimiser.hyperparams["learning_rate"]),
        "training": outputs.metrics(progress.batch),
        "validation": _validate(run, state),
        "pictures_per_second": round(pace, 2),
    }


def _validate(run: Run, state: TrainState) -> dict[str, float | None] | None:
    split = run.validation
    if not len(split):
        return None
    units = split.together if MODELS[run.config.model.name].together else split.alone
    labels = np.asarray(labels_of(split, units))
    logits = score(partial(run.forward, state.model), split, units, run.batch_size, progress=False)
    log_probabilities = log_softmax(logits.astype(float), axis=1)
    truth = np.take_along_axis(log_probabilities, labels[:, None], axis=1)
    return {"loss": -float(truth.mean()), **epoch_metrics(np.exp(log_probabilities), labels)}


def next_rate(progress: Progress, loss: float, learning_rate: float, config: Config) -> float:
    """Counts an epoch that ended with this loss and returns the learning rate of the next."""
    optimiser = config.optimiser
    if progress.best_loss is None or loss < progress.best_loss:
        progress.best_loss, progress.best_epoch = loss, progress.epoch
        progress.since_best = progress.since_drop = 0
    else:
        progress.since_best += 1
        progress.since_drop += 1
    if optimiser.schedule == "cosine":
        done = progress.epoch / config.training.epochs
        span = optimiser.learning_rate - optimiser.min_learning_rate
        return optimiser.min_learning_rate + span * (1 + math.cos(math.pi * done)) / 2
    if progress.since_drop < optimiser.plateau_patience:
        return learning_rate
    progress.since_drop = 0
    return max(learning_rate * optimiser.plateau_factor, optimiser.min_learning_rate)


def _write_model(run: Run, state: TrainState, progress: Progress) -> Description:
    best, name, classes = progress.history[-1], run.folder.name, run.train.classes
    part = "validation" if best["validation"] else "training"
    provenance = run.provenance | {
        "best": {"epoch": progress.epoch, "part": part, "metrics": best[part]},
    }
    # Where the first weights lay is nobody's business.
    model = dataclasses.replace(run.config.model, weights=Path(run.config.model.weights).name)
    return save_model(
        run.folder,
        flatten(nnx.to_pure_dict(nnx.merge_state(state.trainable, state.frozen, state.statistics))),
        Description(name, model, run.config.preprocessing, provenance, classes),
        model_card(name, run.config, provenance, classes),
    )


def _save(run: Run, state: TrainState, progress: Progress, outputs: EpochOutputs) -> None:
    outputs.fetch()
    whole = {"train": state, "outputs": outputs.arrays}
    run.states.save(int(state.step), whole, dataclasses.asdict(progress))
