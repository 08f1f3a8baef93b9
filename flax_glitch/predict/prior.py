"""How often each class is taken to come: a name or a file of counts, and what Bayes makes of it.

A model trained balanced gives probabilities for a stream in which every class comes equally often;
in real ones Blips outnumber Repeating Blips seven to one.
"""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from flax_glitch.classes import TRAINING_SET, class_name, with_suggestion
from flax_glitch.config import BALANCED, GRAVITY_SPY, PRIOR, UsageError
from flax_glitch.files import printable, sha256

Shares = Float[np.ndarray, " class"]


class Prior(NamedTuple):
    """How often each class of a model comes, and what answers call that."""

    name: str
    shares: Shares


def under(
    probabilities: Float[np.ndarray, "*sample class"], prior: Shares, trained: Shares | None = None
) -> Float[np.ndarray, "*sample class"]:
    """Returns the probabilities where classes come as often as `prior` says.

    By Bayes' rule, if each class looks as in training (label shift): Saerens, Latinne and
    Decaestecker 2002 (Neural Computation 14, 21). To be applied once, after calibration.

    Args:
        probabilities: the model's own, calibrated.
        prior: share or count of each class.
        trained: what the model was trained under, see `trained_under`; all equal if not given.
    """
    weighed = probabilities * (prior if trained is None else prior / trained)
    return np.asarray(weighed / weighed.sum(axis=-1, keepdims=True))


def trained_under(provenance: Mapping[str, Any], classes: Sequence[str]) -> Shares:
    """Returns the class frequencies that a model's own probabilities are under.

    All equal, unless it was trained with imbalance "none": then those of its training set, where a
    class without a picture counts as having one.

    Raises:
        ValueError: if it was, by a version that didn't write them down.
    """
    if provenance.get("config", {}).get("training", {}).get("imbalance") != "none":
        return _shares([1] * len(classes))
    if "frequencies" not in provenance:
        raise ValueError(
            "the model was trained with imbalance none, and its model.json doesn't tell the class "
            "frequencies; train it anew"
        )
    return _shares([max(provenance["frequencies"].get(name, 0), 1) for name in classes])


def names_for(classes: Sequence[str]) -> tuple[str, ...]:
    """Returns the names that fit a model with these classes."""
    return (BALANCED, GRAVITY_SPY) if set(classes) == set(TRAINING_SET) else (BALANCED,)


def prior_of(asked: str | Path | None, classes: Sequence[str]) -> Prior:
    """Returns what a name or a file says of a model's classes; config.PRIOR's if nothing is asked.

    A file `.json` holds `{class: count}`, any other is CSV with columns class and count, or share.
    Answers name it with the first digits of its SHA-256.

    Raises:
        UsageError: if there is no such name or file, or it doesn't fit the classes.
    """
    known = names_for(classes)
    if asked is None:
        asked = PRIOR if PRIOR in known else BALANCED
    if asked == GRAVITY_SPY and asked not in known:
        raise UsageError(
            f"{asked}: has the frequencies of Gravity Spy's {len(TRAINING_SET)} classes, and the "
            f"model has others; give {BALANCED}, or a file with the count of each"
        )
    if asked in known:
        counts = dict.fromkeys(classes, 1) if asked == BALANCED else TRAINING_SET
        return Prior(str(asked), _shares([counts[name] for name in classes]))
    path = Path(asked)
    read = _read(path, classes)
    name = f"{printable(path.name)} ({sha256(path)[:12]})"
    return Prior(name, _shares([read[name] for name in classes]))


def _shares(counts: Sequence[float | int]) -> Shares:
    relative = np.array(counts, float) / max(counts)  # whose sum is finite
    return np.asarray(relative / relative.sum())


def _read(path: Path, classes: Sequence[str]) -> dict[str, float]:
    counts: dict[str, float] = {}
    for given, value in _pairs(path):
        name = given if given in classes else class_name(given) or given
        if name not in classes:
            raise UsageError(
                f"{path}: the model has no class {with_suggestion(printable(given))}; it has "
                f"{', '.join(classes)}"
            )
        if name in counts:
            raise UsageError(f"{path}: {name} comes twice; give each class once")
        counts[name] = _number(value)
        if not 0 < counts[name] < math.inf:
            raise UsageError(f"{path}: {name} has {value!r}; give a number above 0")
    if missing := [name for name in classes if name not in counts]:
        raise UsageError(
            f"{path}: has no {', '.join(missing)}; give each class of the model a count above 0"
        )
    return counts


def _pairs(path: Path) -> list[tuple[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".json":  # as pairs, or a class that comes twice would be lost
            return [(str(name), value) for name, value in json.loads(text, object_pairs_hook=list)]
        rows = csv.DictReader(text.splitlines())
        return [(row["class"], row.get("count", row.get("share"))) for row in rows]
    except FileNotFoundError:
        raise UsageError(
            f"{path}: no such file; give {BALANCED}, {GRAVITY_SPY}, or a file with a count of each "
            "class"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        raise UsageError(
            f"{path}: can't be read; give CSV with the columns class and count, or JSON as "
            '{"Blip": 7, "Tomte": 1}'
        ) from None


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return math.nan
