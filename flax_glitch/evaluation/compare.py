"""Evaluated runs side by side: read strictly, and refused unless all judged the same glitches."""

import dataclasses
import functools
import io
import json
import operator
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from flax_glitch.arrays import some
from flax_glitch.checkpoint import Description, read_description
from flax_glitch.classes import ordered
from flax_glitch.config import UsageError
from flax_glitch.data.layouts import SPLITS
from flax_glitch.data.table import GLITCH
from flax_glitch.evaluation.metrics import holm, mcnemar, percentiles, resampled
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

RATES = {
    "accuracy": "Accuracy",
    "precision_weighted": "Precision, weighted",
    "precision_micro": "micro",
    "precision_macro": "macro",
    "recall_weighted": "Recall, weighted",
    "recall_micro": "micro",
    "recall_macro": "macro",
    "f1_macro": "F1, macro",
}
"""Metrics that are compared, with the titles of their columns."""

PROTOCOL = ("source", "layout", "split")
"""What evaluations must have in common, beside the pictures themselves."""

PICTURE = ["path", "key"]
"""The columns that name a picture."""

KINDS = ("per_image", "per_glitch")

GlitchName = tuple[str, str]
"""Detector and Gravity Spy id."""

Content = TypeVar("Content")


@dataclasses.dataclass(frozen=True, eq=False)
class System:
    """A run with its evaluation."""

    name: str
    folder: Path
    description: Description
    epoch: Mapping[str, Any]
    """What training logged of the epoch that was kept; empty if it is not here."""
    metrics: Mapping[str, Any]
    """The evaluation's, as in metrics.json."""
    predictions: pd.DataFrame
    """Its predictions.csv, glitches in the order of their names."""
    trained: frozenset[GlitchName]
    """The glitches that it was trained on, as far as known."""

    @property
    def glitches(self) -> pd.DataFrame:
        """A row a glitch, by detector and id."""
        return self.predictions.drop_duplicates(GLITCH).set_index(GLITCH)


def trained_glitches(folder: Path) -> frozenset[GlitchName]:
    """Returns the glitches that a run was trained on; none if its splits.csv isn't here.

    Raises:
        ValueError: if that file is damaged.
    """
    path = folder / "splits.csv"
    if not path.is_file():
        return frozenset()
    return _read(path, _trained, "remove it to go without")


def glitch_names(table: pd.DataFrame) -> frozenset[GlitchName]:
    """Returns the glitches that the pictures of a table show."""
    return frozenset(zip(table["ifo"], table["id"], strict=True))


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
    parse = functools.partial(_predictions, metrics["classes"])
    predictions = _read(evaluation / "predictions.csv", parse, cure)
    log = folder / "metrics.jsonl"
    epochs = _read(log, _epochs, "remove it to go without") if log.is_file() else {}
    system = System(
        name=folder.resolve().name,
        folder=folder,
        description=description,
        epoch=epochs.get(description.provenance.get("best", {}).get("epoch"), {}),
        metrics=metrics,
        predictions=predictions,
        trained=trained_glitches(folder),
    )
    right = (system.glitches["label"] == system.glitches["glitch_verdict"]).mean()
    if not np.isclose(right, metrics["per_glitch"]["accuracy"], rtol=0, atol=1e-9):
        raise ValueError(f"{evaluation}: predictions.csv isn't that of metrics.json; {cure}")
    if metrics["provenance"]["model"]["sha256"] != description.sha256:
        raise ValueError(f"{folder}: trained on since it was evaluated; {again}")
    return system


def check_comparable(systems: Sequence[System]) -> None:
    """Checks that systems know the same classes and judged the same pictures alike.

    Raises:
        UsageError: if two have the same name.
        ValueError: naming the system that differs from the first, and how.
    """
    names = [system.name for system in systems]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UsageError(f"two runs are named {min(twice)}: name each run once, or rename one")
    first = systems[0]
    for other in systems[1:]:
        if difference := _difference(first, other):
            raise ValueError(f"{other.folder}: {difference}")


def compare(systems: Sequence[System]) -> dict[str, Any]:
    """Returns everything that is known of systems and of each pair of them, ready for JSON.

    Args:
        systems: one or more that `check_comparable` passed.
    """
    first = systems[0]
    return {
        "data": {name: first.metrics["provenance"][name] for name in PROTOCOL}
        | {"pictures": len(first.predictions), "glitches": len(first.glitches)},
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
        reason = f"no {error} in it" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path}: damaged ({reason.splitlines()[0]}); {cure}") from None


def _table(text: str, columns: Sequence[str]) -> pd.DataFrame:
    """Returns these columns of a CSV table, all as text."""
    table = pd.read_csv(io.StringIO(text), dtype=object, keep_default_na=False)
    table = table.rename(columns={"gravityspy_id": "id"})  # how runs of the first version have it
    if missing := [name for name in columns if name not in table]:
        raise ValueError(f"no column {', '.join(missing)}")
    return table[list(columns)]


def _trained(text: str) -> frozenset[GlitchName]:
    table = _table(text, (*GLITCH, "split"))
    if not table["split"].isin(SPLITS).all():
        raise ValueError(f"a split that is none of {', '.join(SPLITS)}")
    return glitch_names(table[table["split"] == "train"])


def _metrics(text: str) -> dict[str, Any]:
    """Reads metrics.json, and looks that all is there that is compared."""
    metrics: dict[str, Any] = json.loads(text)
    needed: list[tuple[str, ...]] = [("provenance", name) for name in PROTOCOL]
    needed.append(("provenance", "model", "sha256"))
    for kind in KINDS:
        needed.append((kind, "intervals", "accuracy"))
        needed += [
            (kind, "per_class", name, figure)
            for name in metrics["classes"]
            for figure in ("n", "recall")
        ]
    for path in needed:
        functools.reduce(operator.getitem, path, metrics)
    if not np.isfinite([metrics[kind][rate] for kind in KINDS for rate in RATES]).all():
        raise ValueError("figures that are no numbers")
    return metrics


def _predictions(classes: Sequence[str], text: str) -> pd.DataFrame:
    answers = ["glitch_verdict", "glitch_confidence"]
    table = _table(text, (*PICTURE, *GLITCH, "label", *answers))
    if table.empty:
        raise ValueError("no pictures in it")
    if table.duplicated(PICTURE).any():
        raise ValueError("a picture is in it twice")
    if unknown := ({*table["label"], *table["glitch_verdict"]} - set(classes)):
        raise ValueError(f"{min(unknown)!r} is none of the model's classes")
    return table.astype({"glitch_confidence": float}).sort_values(GLITCH, kind="stable")


def _epochs(text: str) -> dict[int, dict[str, Any]]:
    records = [json.loads(line) for line in text.splitlines()]
    return {record["epoch"]: record for record in records if record["training"]["accuracy"] >= 0}


def _difference(first: System, other: System) -> str:
    """Returns why the second can't be compared with the first, empty if it can."""
    here, there = (set(system.metrics["classes"]) for system in (other, first))
    if here != there:
        alone = ((other, here - there), (first, there - here))
        known = [
            f"{some(ordered(names))} only in {system.name}" for system, names in alone if names
        ]
        return f"tells other classes apart than {first.folder}: {', '.join(known)}"
    for name in PROTOCOL:
        ours, theirs = (system.metrics["provenance"][name] for system in (first, other))
        if ours != theirs:
            return (
                f"evaluated on {name} {theirs}, {first.folder} on {ours}; evaluate both on the same"
            )
    each = pd.concat([_shown(system) for system in (first, other)], axis=1, keys=["ours", "theirs"])
    differing = each[each["ours"] != each["theirs"]].sort_index()
    if differing.empty:
        return ""
    return (
        f"of {len(each)} pictures {len(differing)} are others than, or labelled otherwise than, in "
        f"{first.folder}, such as {':'.join(filter(None, differing.index[0]))}; "
        "evaluate both on the same source and seed"
    )


def _shown(system: System) -> pd.Series:
    """The glitch that each picture shows, and its class."""
    table = system.predictions.set_index(PICTURE)
    return table["ifo"] + " " + table["id"] + " " + table["label"]


def _described(system: System) -> dict[str, Any]:
    described = system.description
    return {
        "name": system.name,
        "network": described.model.name,
        "sha256": described.sha256,
        "parameters": parameters(described.model, described.preprocessing, len(described.classes)),
        "epoch": system.epoch.get("epoch"),
        "training": system.epoch.get("training"),
        "validation": system.epoch.get("validation"),
        "per_image": system.metrics["per_image"],
        "per_glitch": system.metrics["per_glitch"],
        "trained_on": len(system.trained & glitch_names(system.predictions)),
        "published": PUBLISHED.get(described.model.name),
    }


def _pairs(systems: Sequence[System]) -> list[dict[str, Any]]:
    """Each pair of systems: discordant glitches, McNemar's p, and the differences."""
    numbers = {name: number for number, name in enumerate(systems[0].metrics["classes"])}
    right, draws = {}, {}
    for system in systems:
        judged = system.glitches
        truth, verdicts = (
            judged[column].map(numbers).to_numpy() for column in ("label", "glitch_verdict")
        )
        right[system.name] = truth == verdicts
        confidence = judged["glitch_confidence"].to_numpy()
        draws[system.name] = resampled(truth, verdicts, confidence, np.arange(len(judged)))
    pairs: list[dict[str, Any]] = []
    for first, second in combinations(systems, 2):
        one, two = right[first.name], right[second.name]
        only = {"only_first": int((one & ~two).sum()), "only_second": int((two & ~one).sum())}
        pair = {"first": first.name, "second": second.name, **only, "p": mcnemar(**only)}
        for metric in ("accuracy", "recall_macro"):
            ours, theirs = (system.metrics["per_glitch"][metric] for system in (first, second))
            span = percentiles(draws[first.name][metric] - draws[second.name][metric])
            pair[metric] = {"difference": ours - theirs, "interval": span}
        pairs.append(pair)
    corrected = holm([pair["p"] for pair in pairs])
    return [pair | {"p_holm": p} for pair, p in zip(pairs, corrected, strict=True)]
