"""How a run begins: its folder, its data, and the four ways to its first weights."""

import csv
import dataclasses
import io
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from tqdm import tqdm

from flax_glitch.checkpoint import (
    CheckpointError,
    Description,
    RunStates,
    load_into,
    read_description,
)
from flax_glitch.classes import CLASSES
from flax_glitch.config import CACHE, Config
from flax_glitch.data.batches import labels_of
from flax_glitch.data.tfds_builder import Prepared, prepare
from flax_glitch.models.classifier import build, make_forward
from flax_glitch.models.pretrained import load_weights
from flax_glitch.models.systems import MODELS, check
from flax_glitch.training.calibrate import calibrate
from flax_glitch.training.card import trained_on
from flax_glitch.training.gan import filled
from flax_glitch.training.run import Run, run_epochs
from flax_glitch.training.step import (
    TrainState,
    initial_state,
    make_train_step,
)

MAY_CHANGE = ("epochs", "early_stopping_patience", "save_every")
"""Settings of training that a resumed run may have different from before."""
VERSIONS = ("flax-glitch", "jax", "flax", "optax", "orbax-checkpoint", "numpy", "pillow")


def train(
    config: Config, folder: Path, *, resume: bool = False, cache: Path = CACHE
) -> Description | None:
    """Trains a model in a run's folder and returns what was written of its best epoch.

    Args:
        config: all settings.
        folder: the run's own; new, or that of the run to resume.
        resume: go on from the newest state in the folder.
        cache: where downloads and prepared data are kept.

    Returns:
        The model's description, None if no epoch was better than those before a resumption.

    Raises:
        ValueError: SourceError, CheckpointError and the like, one line each.
        Interrupted: after SIGINT or SIGTERM, once the state is saved.
        FloatingPointError: if the loss is no longer finite.
    """
    check(config)
    check_folder(folder, config, resume)
    prepared = prepare(
        config.data.source,
        *config.preprocessing.shape,
        seed=config.data.split_seed,
        cache=cache,
    )
    if not len(prepared.split("train")):
        raise ValueError(f"{config.data.source}: no training pictures in it")
    for notice in prepared.notices:
        tqdm.write(f"note: {notice}")
    states = RunStates(folder)
    try:
        started = states.newest is not None  # else it was killed before its first checkpoint
        graphdef, state = first_state(config, cache, started)
        write_settings(folder, config, prepared)
        run = make_run(config, folder, prepared, graphdef, states)
        described = run_epochs(run, state, started)
        calibrate(run)
        return described and read_description(folder)
    finally:
        states.close()


def check_folder(folder: Path, config: Config, resume: bool) -> None:
    """Checks that a folder is free for a new run, or holds the run to resume, and can be written.

    Raises:
        CheckpointError: if a run is there and not to be resumed, or the reverse, or settings
            differ that a resumed run must keep, or the folder can't be written.
    """
    if resume:
        _check_same(read_settings(folder), config)
    elif any((folder / name).exists() for name in ("config.json", "model.json")):
        raise CheckpointError(f"{folder}: a run is there; go on with --resume or take another name")
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        tempfile.TemporaryFile(dir=existing).close()
    except OSError as error:
        raise CheckpointError(f"{folder}: can't be written: {error.strerror}") from None


def write_settings(folder: Path, config: Config, prepared: Prepared) -> None:
    """Writes the settings to `config.json` and which glitch is in which split to `splits.csv`.

    Raises:
        CheckpointError: if the folder's run had other glitches or another split.
    """
    rows = dict.fromkeys(
        (name, entry.ifo, entry.gravityspy_id, entry.label)
        for name, entries in prepared.index.items()
        for entry in entries
    )
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerows([("split", "ifo", "gravityspy_id", "label"), *rows])
    text = table.getvalue()
    splits = folder / "splits.csv"
    if splits.exists() and splits.read_text() != text:
        raise CheckpointError(
            f"{folder}: {config.data.source} holds other glitches than when the run began; "
            "bring them back, or start a new run"
        )
    splits.write_text(text)
    (folder / "config.json").write_text(config.to_json() + "\n")


def read_settings(folder: Path) -> Config:
    """Returns the settings of the run in a folder.

    Raises:
        CheckpointError: if there is no run, or none of ours.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise CheckpointError(f"{folder}: no run to resume here (no config.json)")
    try:
        return Config.from_json(path.read_text())
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path}: not a run's settings: {error}") from None


def first_state(config: Config, cache: Path, started: bool) -> tuple[nnx.GraphDef, TrainState]:
    """Returns the structure of the network and its state before the first step.

    The weights are, in this order: to be replaced by those of a started run, a checkpoint's of this
    project (`--weights FOLDER`), ImageNet's (`imagenet` or an `.h5` file), or new ones (`none`).
    """
    weights = config.model.weights
    train_all = weights == "none"
    classifier = build(config.model, config.preprocessing, rngs=nnx.Rngs(config.training.seed))
    if started:
        return initial_state(classifier, config, train_all=train_all)
    if (Path(weights) / "model.json").is_file():
        load_into(classifier, Path(weights))
    else:
        load_weights(classifier, weights, cache)
    return initial_state(classifier, config, train_all=train_all)


def make_run(
    config: Config, folder: Path, prepared: Prepared, graphdef: nnx.GraphDef, states: RunStates
) -> Run:
    """Returns the fixed parts of a run."""
    real = prepared.split("train")
    train_split = (
        filled(real, config, folder / "dcgan") if config.data.augment_rare != "none" else real
    )
    units = train_split.together if MODELS[config.model.name].together else train_split.alone
    train_all = config.model.weights == "none"
    labels = labels_of(train_split, units)
    return Run(
        name=folder.name,
        config=config,
        folder=folder,
        prepared=prepared,
        provenance=provenance(config, prepared) | {"generated": len(train_split) - len(real)},
        train=train_split,
        units=units,
        train_step=make_train_step(graphdef, config, labels, train_all=train_all),
        forward=make_forward(graphdef, config.preprocessing),
        states=states,
        batch_size=min(config.data.batch_size, len(units)),
    )


def provenance(config: Config, prepared: Prepared) -> dict[str, Any]:
    """Returns where a model comes from: settings, data and versions, as plain values."""
    splits = {name: prepared.split(name) for name in ("train", "validation", "test")}
    present = np.unique(splits["train"].labels)
    glitches = {
        name: len({(entry.ifo, entry.gravityspy_id) for entry in split.entries})
        for name, split in splits.items()
    }
    return {
        "config": _without_paths(config),
        "data": {
            "layout": prepared.layout,
            "glitches": glitches,
            "pictures": {name: len(split) for name, split in splits.items()},
            "absent": [name for n, name in enumerate(CLASSES) if n not in present],
            "unreadable": len(prepared.unreadable),
        },
        "trained_on": trained_on(config, prepared.layout, glitches),
        "versions": {name: version(name) for name in VERSIONS},
        "device": jax.devices()[0].device_kind,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _without_paths(config: Config) -> dict[str, Any]:
    """Settings with the names of files only: where they lay is nobody's business."""
    values = dataclasses.asdict(config)
    for part, name in (("data", "source"), ("model", "weights")):
        values[part][name] = Path(values[part][name]).name
    return values


def _check_same(before: Config, now: Config) -> None:
    def fixed(config: Config) -> dict[str, Any]:
        values = dataclasses.asdict(config)
        for name in MAY_CHANGE:
            del values["training"][name]
        return {f"{part}.{name}": v for part, d in values.items() for name, v in d.items()}

    old, new = fixed(before), fixed(now)
    changed = [
        f"{name} (was {old[name]}, now {new[name]})" for name in old if old[name] != new[name]
    ]
    if changed:
        raise CheckpointError(f"a resumed run keeps its settings; changed: {', '.join(changed)}")
