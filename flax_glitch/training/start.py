"""How a run begins: its folder, its data, and the four ways to its first weights."""

import dataclasses
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from flax_glitch.arrays import Key, Logits
from flax_glitch.checkpoint import (
    CheckpointError,
    Description,
    RunStates,
    add_calibration,
    find_checkpoint,
    read_description,
    start_from,
)
from flax_glitch.classes import class_name, named, ordered
from flax_glitch.config import CACHE, Config
from flax_glitch.data.batches import labels_of
from flax_glitch.data.records import Prepared, Split, prepare
from flax_glitch.data.table import chosen_classes, count_glitches
from flax_glitch.evaluation.evaluate import evaluate
from flax_glitch.files import write_whole
from flax_glitch.models.classifier import build, make_forward
from flax_glitch.models.pretrained import load_weights
from flax_glitch.models.systems import MODELS, check
from flax_glitch.notes import LOG
from flax_glitch.predict.calibration import ENOUGH, fit
from flax_glitch.predict.predictor import Predictor
from flax_glitch.strain.picture import colour_distance
from flax_glitch.training.card import model_card, provenance
from flax_glitch.training.frozen import keep_maps
from flax_glitch.training.gan import filled
from flax_glitch.training.run import Run, run_epochs
from flax_glitch.training.step import TrainState, initial_state, make_train_step

Teacher = Callable[[Split], Logits]
"""The scores of a split's pictures for its classes, before softmax."""

MAY_CHANGE = ("epochs", "early_stopping_patience", "save_every", "source")
"""Settings that a resumed run may have different from before; the source may have been moved, and
`splits.csv` proves that it is the same. A cosine schedule hangs on the first."""


def train(
    config: Config,
    folder: Path,
    *,
    resume: bool = False,
    cache: Path = CACHE,
    teacher: Teacher | None = None,
) -> Description | None:
    """Trains a model in a run's folder and returns what was written of its best epoch.

    Args:
        config: all settings.
        folder: the run's own; new, or that of the run to resume.
        resume: go on from the newest state in the folder.
        cache: where downloads and prepared data are kept.
        teacher: what is to be learned in place of the training pictures' labels (distillation); a
            resumed run needs the same.

    Returns:
        The model's description, None if no epoch was better than those before a resumption.

    Raises:
        ValueError: SourceError, CheckpointError and the like, one line each.
        Interrupted: after SIGINT or SIGTERM, once the state is saved.
        FloatingPointError: if the loss is no longer finite.
    """
    check(config)
    check_folder(folder, config, resume)
    own = own_weights(config.model.weights)
    if own and not (resume or (own / "model.json").is_file()):
        said = f"--weights {config.model.weights}: no checkpoint there"
        raise CheckpointError(f"{said}; give the folder of one, or default or fast")
    shape, seed = config.preprocessing.shape, config.data.split_seed
    prepared = prepare(config.data.source, *shape, seed=seed, cache=cache)
    prepared = prepared.only(chosen_classes(prepared.table, config.data.classes))
    if not len(prepared.split("train")):
        raise ValueError(f"{config.data.source}: no training pictures in it")
    LOG.info(f"Run {folder}")
    LOG.debug(f"prepared pictures in {prepared.directory}, on {jax.devices()[0]}")
    for notice in prepared.notices:
        LOG.warning(notice)
    if len(jax.devices()) > 1:
        LOG.warning(f"{len(jax.devices())} devices are here, and one is used to train")
    states = RunStates(folder)
    try:
        started = states.newest is not None  # else it was killed before its first checkpoint
        weights_key, step_key = jax.random.split(jax.random.key(config.training.seed))
        graphdef, state = first_state(config, prepared.classes, weights_key, cache, started)
        write_settings(folder, config, prepared)
        run = make_run(config, folder, prepared, graphdef, step_key, states)
        if teacher is not None:
            run = dataclasses.replace(run, train=taught(run.train, teacher))
        described = run_epochs(run, state, started)
        calibrate(run, prepared.only(named(prepared.classes)).split("validation"))
        return described and read_description(folder)
    finally:
        states.close()


def own_weights(given: str) -> Path | None:
    """Returns the checkpoint that `--weights` means, None if it means ImageNet's or new ones."""
    if given in ("imagenet", "none") or Path(given).suffix == ".h5":
        return None
    with suppress(CheckpointError):
        return find_checkpoint(given)
    return Path(given)  # a run that goes on needs it no more


def taught(split: Split, teacher: Teacher) -> Split:
    """Returns a split with the scores that a teacher gives each of its pictures."""
    return dataclasses.replace(split, taught=np.asarray(teacher(split), np.float32))


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
    table = prepared.table[prepared.table["label"].isin(prepared.classes)]
    text = table.to_csv(index=False, lineterminator="\n").encode(errors="backslashreplace")
    splits = folder / "splits.csv"
    before = splits.read_bytes() if splits.exists() else text
    if before.partition(b"\n")[0] != text.partition(b"\n")[0]:
        raise CheckpointError(f"{folder}: began with an earlier version; start a new run")
    if before != text:
        raise CheckpointError(
            f"{folder}: {config.data.source} holds other glitches than when the run began; "
            "bring them back, or start a new run"
        )
    write_whole(splits, text)
    write_whole(folder / "config.json", config.to_json() + "\n")


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


def first_state(
    config: Config, classes: tuple[str, ...], key: Key, cache: Path, started: bool
) -> tuple[nnx.GraphDef, TrainState]:
    """Returns the structure of the network and its state before the first step.

    The weights are, in this order: to be replaced by those of a started run, a checkpoint's of this
    project (`--weights FOLDER`, or the name of one), ImageNet's (`imagenet` or an `.h5` file), or
    new ones (`none`).
    """
    weights, own = config.model.weights, own_weights(config.model.weights)
    classifier = build(config.model, config.preprocessing, len(classes), rngs=nnx.Rngs(key))
    if own and not started:
        if start_from(classifier, classes, own):
            LOG.warning(f"{weights} knows other classes: the last layer starts anew")
    elif not started:
        load_weights(classifier, weights, cache)
    return initial_state(classifier, config, train_all=weights == "none")


def make_run(
    config: Config,
    folder: Path,
    prepared: Prepared,
    graphdef: nnx.GraphDef,
    key: Key,
    states: RunStates,
) -> Run:
    """Returns the fixed parts of a run."""
    real = prepared.split("train")
    train_split = (
        filled(real, config, folder / "dcgan") if config.data.augment_rare != "none" else real
    )
    units = train_split.together if MODELS[config.model.name].together else train_split.alone
    labels, classes = labels_of(train_split, units), len(prepared.classes)
    counts = np.bincount(np.asarray(labels), minlength=classes).tolist()
    learned = {
        "generated": len(train_split) - len(real),
        "frequencies": dict(zip(prepared.classes, counts, strict=True)),
    }
    train_all = config.model.weights == "none"
    return Run(
        config=config,
        folder=folder,
        provenance=provenance(config, prepared) | learned,
        train=train_split,
        validation=prepared.split("validation"),
        units=units,
        key=key,
        train_step=make_train_step(graphdef, config, labels, classes, train_all=train_all),
        forward=make_forward(graphdef, config.preprocessing),
        keep=partial(keep_maps, config, graphdef, prepared.directory.parent / "frozen"),
        states=states,
    )


def calibrate(run: Run, validation: Split) -> None:
    """Adds the calibration to a run's model, unless it has one or validation is too small.

    Args:
        run: the run.
        validation: its validation glitches, of the classes that the model names.

    Raises:
        CheckpointError: if there is no model, or it can't be written.
    """
    described = read_description(run.folder)
    if described.calibration or count_glitches(validation.table) < ENOUGH:
        return
    predictor = Predictor(run.folder)
    (kept,) = run.keep([predictor.state], [validation])
    said = evaluate(predictor, kept)
    colours = np.array([colour_distance(validation[n]) for n in range(len(validation))])
    scores, fused = said.scores
    calibration = fit(scores, colours, said.glitches, said.glitch_labels, fused, said.classes)
    name, classes = described.name, described.classes
    card = model_card(name, run.config, described.provenance, classes, calibration)
    add_calibration(run.folder, calibration, card)


def _check_same(before: Config, now: Config) -> None:
    old, new = _fixed(before), _fixed(now)
    changed = [
        f"{name} (was {old[name]}, now {new[name]})" for name in old if old[name] != new[name]
    ]
    if changed:
        raise CheckpointError(f"a resumed run keeps its settings; changed: {', '.join(changed)}")


def _fixed(config: Config) -> dict[str, Any]:
    """The settings that a resumed run keeps; a cosine comes down over the epochs given."""
    values = dataclasses.asdict(config)
    chosen = ordered(class_name(name) or name for name in config.data.classes)
    values["data"]["classes"] = " ".join(chosen)
    free = MAY_CHANGE if config.optimiser.schedule == "plateau" else MAY_CHANGE[1:]
    return {
        f"{part}.{name}": value
        for part, settings in values.items()
        for name, value in settings.items()
        if name not in free
    }
