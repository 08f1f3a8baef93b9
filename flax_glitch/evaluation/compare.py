"""Evaluated runs side by side: read strictly, and refused unless all judged the same glitches."""

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from flax_glitch.checkpoint import Description, read_description
from flax_glitch.classes import CLASSES, INDEX
from flax_glitch.config import UsageError
from flax_glitch.evaluation.paired import difference, holm, mcnemar, resampled
from flax_glitch.models.classifier import parameters

REPORT = "Sonavane et al. 2023"
"""An ML Model for LIGO Image Classification under the Zooniverse Gravity Spy Project."""

_FIGURES = (
    "training",
    "validation",
    "accuracy",
    "precision_weighted",
    "precision_macro",
    "recall_weighted",
    "recall_macro",
)
_PER_CENT: Mapping[str, tuple[float | None, ...]] = {
    "resnet50": (99.91, 99.68, 96.31, 96.35, 94.96, 96.31, 93.17),
    "vgg16": (99.85, 99.60, 94.58, 95.92, 90.71, 94.58, 93.36),
    "xception": (99.76, 99.25, 93.14, 93.47, 90.15, 93.14, 88.76),
    "cnn-a": (99.50, 99.28, 93.86, 94.40, 90.29, 93.86, 89.36),
    "cnn-b": (98.54, 93.52, 94.05, None, None, None, None),
    "cnn-c": (94.89, 91.46, 92.33, None, None, None, None),
}
PUBLISHED: Mapping[str, Mapping[str, float]] = {
    name: {
        figure: round(value / 100, 4)
        for figure, value in zip(_FIGURES, values, strict=True)
        if value is not None
    }
    for name, values in _PER_CENT.items()
}
"""The report's figures by network, on single pictures of Kaggle's test split (4,720)."""

PROTOCOL = ("source", "layout", "split")
"""What evaluations must have in common, beside the pictures themselves."""

GlitchName = tuple[str, str]
"""Detector and Gravity Spy id."""

Content = TypeVar("Content")


@dataclasses.dataclass(frozen=True)
class System:
    """A run with its evaluation."""

    name: str
    folder: Path
    description: Description
    epoch: Mapping[str, Any]
    """What training logged of the epoch that was kept; empty if it is not here."""
    metrics: Mapping[str, Any]
    """The evaluation's, as in metrics.json."""
    pictures: Mapping[str, str]
    """The true class of each picture, by its path."""
    glitches: Mapping[GlitchName, tuple[str, str]]
    """The true class and the verdict of each glitch, in the order of their names."""
    trained: frozenset[GlitchName]
    """The glitches that it was trained on, as far as known."""


def trained_glitches(folder: Path) -> frozenset[GlitchName]:
    """Returns the glitches that a run was trained on; none if its splits.csv isn't here."""
    path = folder / "splits.csv"
    if not path.is_file():
        return frozenset()
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
    return frozenset((row["ifo"], row["gravityspy_id"]) for row in rows)


def read_system(folder: Path) -> System:
    """Returns the run in a folder with its evaluation.

    Raises:
        ValueError: if it isn't evaluated, or a file is damaged or of another model.
    """
    description = read_description(folder)
    again = f"flax-glitch evaluate --source SOURCE --checkpoint {folder}"
    evaluation = folder / "evaluation"
    if not (evaluation / "metrics.json").is_file():
        raise ValueError(f"{folder}: not evaluated yet; type: {again}")
    cure = f"write it anew: {again}"
    metrics = _read(evaluation / "metrics.json", _metrics, cure)
    pictures, glitches = _read(evaluation / "predictions.csv", _predictions, cure)
    right = np.mean([truth == verdict for truth, verdict in glitches.values()])
    if not np.isclose(right, metrics["per_glitch"]["accuracy"], rtol=0, atol=1e-9):
        raise ValueError(f"{evaluation}: predictions.csv isn't that of metrics.json; {cure}")
    if metrics["provenance"]["model"]["sha256"] != description.sha256:
        raise ValueError(f"{folder}: trained on since it was evaluated; {again}")
    log, kept = folder / "metrics.jsonl", description.provenance["best"]["epoch"]
    epochs = _read(log, _epochs, "remove it to go without") if log.is_file() else {}
    return System(
        name=folder.resolve().name,
        folder=folder,
        description=description,
        epoch=epochs.get(kept, {}),
        metrics=metrics,
        pictures=pictures,
        glitches=glitches,
        trained=trained_glitches(folder),
    )


def check_comparable(systems: Sequence[System]) -> None:
    """Checks that systems judged the same pictures under the same protocol.

    Raises:
        UsageError: if two have the same name.
        ValueError: naming the system that differs from the first, and how.
    """
    names = [system.name for system in systems]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UsageError(f"two runs are named {min(twice)}: name each run once, or rename one")
    first = systems[0]
    for other in systems[1:]:
        for name in PROTOCOL:
            ours, theirs = (system.metrics["provenance"][name] for system in (first, other))
            if ours != theirs:
                raise ValueError(
                    f"{other.folder}: evaluated on {name} {theirs}, {first.folder} on {ours}; "
                    "evaluate both on the same"
                )
        if differing := _differing(first.pictures, other.pictures):
            total = len(first.pictures.keys() | other.pictures.keys())
            raise ValueError(
                f"{other.folder}: of {total} pictures {len(differing)} are others than, or "
                f"labelled otherwise than, in {first.folder}, such as {differing[0]}; "
                "evaluate both on the same source and seed"
            )


def compare(systems: Sequence[System]) -> dict[str, Any]:
    """Returns everything that is known of systems and of each pair of them, ready for JSON.

    Args:
        systems: one or more that `check_comparable` passed.
    """
    first = systems[0]
    return {
        "data": {name: first.metrics["provenance"][name] for name in PROTOCOL}
        | {"pictures": len(first.pictures), "glitches": len(first.glitches)},
        "systems": [_described(system) for system in systems],
        "pairs": _pairs(systems),
        "published": {"source": REPORT, "on": "Kaggle's 4,720 test pictures, each by itself"},
    }


def _read(path: Path, parse: Callable[[str], Content], cure: str) -> Content:
    """Returns what a file holds; whatever is wrong with it becomes one line."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: is missing; {cure}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ValueError(f"{path}: damaged ({reason}); {cure}") from None


def _metrics(text: str) -> dict[str, Any]:
    metrics = json.loads(text)
    for kind in ("per_image", "per_glitch"):
        if set(metrics[kind]["per_class"]) != set(CLASSES):
            raise ValueError("its classes aren't Gravity Spy's 22")
    missing = {*PROTOCOL, "model"} - set(metrics["provenance"])
    if missing:
        raise ValueError(f"no {', '.join(sorted(missing))} in its provenance")
    return metrics


def _predictions(text: str) -> tuple[dict[str, str], dict[GlitchName, tuple[str, str]]]:
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    pictures = {row["path"]: row["truth"] for row in rows}
    glitches = {
        (row["ifo"], row["gravityspy_id"]): (row["truth"], row["glitch_verdict"]) for row in rows
    }
    if unknown := {name for pair in glitches.values() for name in pair} - set(CLASSES):
        raise ValueError(f"{unknown.pop()!r} is none of Gravity Spy's 22 classes")
    if not rows:
        raise ValueError("no pictures in it")
    return pictures, dict(sorted(glitches.items()))


def _epochs(text: str) -> dict[int, dict[str, Any]]:
    records = [json.loads(line) for line in text.splitlines()]
    return {record["epoch"]: record for record in records if record["training"]["accuracy"] >= 0}


def _differing(first: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    paths = first.keys() | other.keys()
    return sorted(path for path in paths if first.get(path) != other.get(path))


def _described(system: System) -> dict[str, Any]:
    network = system.description.model.name
    return {
        "name": system.name,
        "network": network,
        "sha256": system.description.sha256,
        "parameters": parameters(system.description.model, system.description.preprocessing),
        "epoch": system.epoch.get("epoch"),
        "training": system.epoch.get("training"),
        "validation": system.epoch.get("validation"),
        "per_image": system.metrics["per_image"],
        "per_glitch": system.metrics["per_glitch"],
        "trained_on": len(system.trained & system.glitches.keys()),
        "published": PUBLISHED.get(network),
    }


def _pairs(systems: Sequence[System]) -> list[dict[str, Any]]:
    """Each pair of systems: discordant glitches, McNemar's p, and the differences."""
    truth = np.array([INDEX[label] for label, _ in systems[0].glitches.values()])
    right = {
        system.name: np.array([label == verdict for label, verdict in system.glitches.values()])
        for system in systems
    }
    draws = {name: resampled(answers, truth) for name, answers in right.items()}
    pairs: list[dict[str, Any]] = []
    for first, second in combinations(systems, 2):
        one, two = right[first.name], right[second.name]
        only = {"only_first": int((one & ~two).sum()), "only_second": int((two & ~one).sum())}
        pair = {"first": first.name, "second": second.name, **only, "p": mcnemar(**only)}
        spans = difference(draws[first.name], draws[second.name])
        measured = [system.metrics["per_glitch"] for system in (first, second)]
        for metric, span in spans.items():
            ours, theirs = (figures[metric] for figures in measured)
            pair[metric] = {"difference": ours - theirs, "interval": span}
        pairs.append(pair)
    corrected = holm([pair["p"] for pair in pairs])
    return [pair | {"p_holm": p} for pair, p in zip(pairs, corrected, strict=True)]
