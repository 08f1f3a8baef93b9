"""How the windows of a glitch are best fused into one verdict, on a frozen network's embeddings.

    python benchmarks/fusion.py --checkpoint checkpoints/pretrained --simulated simulated/ \
        --real DATA/gravityspy DATA/golden DATA/figures DATA/community DATA/o3 --out fusion/

Each way is one dense layer (or one a window) on the embedding of each window, trained for seconds
on simulated glitches, with the real ones of the other folds beside, and stopped where simulated
validation glitches are told best; their temperature for 1 to 4 windows is what is calibrated with.
Folds are those of `cross_validation.py`; the checkpoint shall have seen no real glitch, and its
split is that of the simulated ones. Embeddings are slow, so the folder keeps them.
"""

import argparse
import functools
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
from common import few_of_each, folds, glitch_labels, kept, of_the_22, read_tables
from flax import nnx
from scipy.special import log_softmax
from sklearn.metrics import balanced_accuracy_score
from tqdm import tqdm

from flax_glitch.checkpoint import load_model
from flax_glitch.classes import CLASSES, DURATIONS
from flax_glitch.data.table import glitch_numbers, in_places
from flax_glitch.models.classifier import inference_mode
from flax_glitch.models.preprocess import standardise
from flax_glitch.predict.calibration import fitted_temperature
from flax_glitch.predict.predictor import Predictor

WINDOWS = len(DURATIONS)
SUBSETS = np.array([one for one in itertools.product([False, True], repeat=WINDOWS) if any(one)])
"""The 15 sets of windows that can be given."""
COUNTS = SUBSETS.sum(1)
PICTURES, BATCH, STEPS, BLOCKS, REAL_WEIGHT = 64, 128, 20, 20, 5.0
"""Pictures embedded at once; glitches a step, steps a block, blocks; weight of real glitches."""
LEARNING_RATE, WEIGHT_DECAY, DROPOUT = 5e-3, 0.1, 0.3
METRICS = ("accuracy", "macro-recall", "cross-entropy", "cross-entropy, calibrated")
Arrays = dict[str, Any]


class Way(NamedTuple):
    """A way to fuse: trained on windows alone or on sets, weighed by what, or with layers apart."""

    name: str
    alone: bool = False
    weights: str = ""
    apart: tuple[float, ...] = ()


WAYS = (
    Way("averaged", alone=True),
    Way("trained mean"),
    Way("weight a duration", weights="duration"),
    Way("concatenated, 0.5 + 2 + 4 s", apart=(0.5, 2.0, 4.0)),
    Way("concatenated, all four", apart=DURATIONS),
    Way("attention", weights="embedding"),
)


def main() -> None:
    """Trains, judges and prints; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("--checkpoint", "--simulated", "--out"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--real", type=Path, nargs="+", required=True)
    parser.add_argument("--per-class", type=int, default=60, help="simulated glitches")
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    real = of_the_22(read_tables(given.real))
    parts, network = simulated_glitches(given) | {"real": real}, embedder(given.checkpoint)
    data = {part: embeddings(given.out, part, table, *network) for part, table in parts.items()}
    features = data["train"]["values"][data["train"]["mask"]]
    for one in data.values():
        one["values"] = (one["values"] - features.mean(0)) / (features.std(0) + 1e-3)
    judged, found = list(folds(real, 5)), {}
    for way in tqdm(WAYS, "Ways"):
        found[way.name] = np.array([measured(way, data, judged, s) for s in range(given.seeds)])
    table = as_markdown(found, data["real"]["mask"].all(1))
    (given.out / "fusion.md").write_text(table)
    print(table)


def simulated_glitches(given: argparse.Namespace) -> dict[str, pd.DataFrame]:
    """Returns the first glitches of each class: half for training, a third for the test."""
    table = read_tables([given.simulated], Predictor(given.checkpoint).split_seed)
    shares = {"train": 2, "validation": 6, "test": 3}
    return {
        split: few_of_each(table[table["split"] == split], given.per_class // share)
        for split, share in shares.items()
    }


def embeddings(
    out: Path, part: str, table: pd.DataFrame, embedded: Callable, shape: tuple[int, int]
) -> Arrays:
    """Returns the embeddings of the glitches' windows, computed on the first call."""
    units = in_places(glitch_numbers(table), table["duration"].to_numpy())
    found = kept(out / f"{part}-{len(units)}.npy", table, shape, embedded, PICTURES)
    return {"values": found[units], "mask": units >= 0, "labels": glitch_labels(table)}


def embedder(checkpoint: Path) -> tuple[Callable, tuple[int, int]]:
    """Returns the function from pictures to what the frozen network makes of them, and its size."""
    model, description = load_model(checkpoint)
    model, preprocessing = inference_mode(model), description.preprocessing

    @nnx.jit
    def embedded(model, pictures):  # noqa: ANN001, ANN202
        views = standardise(pictures, preprocessing)[:, None]
        return model.embed(model.features(views, np.ones(views.shape[:2], bool)))[:, 0]

    return functools.partial(embedded, model), preprocessing.shape


def measured(way: Way, data: dict[str, Arrays], judged: list[np.ndarray], seed: int) -> np.ndarray:
    """Returns the metrics of simulated glitches with 1 to 4 windows, real ones, those with 4."""
    labels, mask = data["real"]["labels"], data["real"]["mask"]
    scores, heat, simulated = np.zeros((len(labels), len(CLASSES))), np.ones(len(labels)), []
    for number, fold in enumerate(judged):
        key = jax.random.fold_in(jax.random.key(seed), number)
        parameters = trained(way, key, training_set(data, ~fold), data["validation"])
        told = {part: np.asarray(by_sets(way, parameters, one)) for part, one in data.items()}
        hot = temperatures(told["validation"], data["validation"]["labels"])
        scores[fold], heat[fold] = told["real"][-1, fold], hot[mask[fold].sum(1) - 1]
        each = zip(told["test"], hot[COUNTS - 1], strict=True)
        simulated.append([metrics(one, data["test"]["labels"], warm) for one, warm in each])
    found = np.mean(simulated, axis=0)
    rows = [found[count == COUNTS].mean(0) for count in range(1, WINDOWS + 1)]
    for some in (mask.any(1), mask.all(1)):
        rows.append(metrics(scores[some], labels[some], heat[some, None]))
    return np.array(rows)


def training_set(data: dict[str, Arrays], used: np.ndarray) -> Arrays:
    """Returns what to train on, and the chance of each glitch to be drawn; classes are even."""
    # Unused real ones stay in it, never drawn, so that all folds have one shape.
    both = jax.tree.map(lambda *parts: np.concatenate(parts), data["train"], data["real"])
    weights = np.concatenate([np.ones(len(data["train"]["labels"])), REAL_WEIGHT * used])
    chances = weights / np.bincount(both["labels"], weights)[both["labels"]]
    return both | {"chances": chances / chances.sum()}


@functools.partial(jax.jit, static_argnums=0)
def trained(way: Way, key: jax.Array, glitches: Arrays, validation: Arrays) -> Arrays:
    """Returns the parameters, of all blocks of steps, that told the validation glitches best."""
    schedule = optax.cosine_decay_schedule(LEARNING_RATE, BLOCKS * STEPS)
    optimiser = optax.adamw(schedule, weight_decay=WEIGHT_DECAY)
    start, key = jax.random.split(key)
    shape = (WINDOWS if way.apart else 1, glitches["values"].shape[-1], len(CLASSES))
    size = shape[1] if way.weights == "embedding" else WINDOWS
    parameters = {"kernel": 0.02 * jax.random.normal(start, shape), "weights": jnp.zeros(size)}
    parameters["bias"] = jnp.zeros(len(CLASSES))

    def step(state, key):  # noqa: ANN001, ANN202
        parameters, moments = state
        gradient = jax.grad(drawn_loss)(parameters, way, key, glitches)
        updates, moments = optimiser.update(gradient, moments, parameters)
        return (optax.apply_updates(parameters, updates), moments), None

    def block(state, key):  # noqa: ANN001, ANN202
        state, _ = jax.lax.scan(step, state, jax.random.split(key, STEPS))
        loss = cross_entropy(by_sets(way, state[0], validation), validation["labels"]).mean()
        return state, (loss, state[0])

    state = parameters, optimiser.init(parameters)
    _, (losses, each) = jax.lax.scan(block, state, jax.random.split(key, BLOCKS))
    return jax.tree.map(lambda one: one[losses.argmin()], each)


def drawn_loss(parameters: Arrays, way: Way, key: jax.Array, glitches: Arrays) -> jax.Array:
    """Returns the cross-entropy of drawn glitches, some of their windows and features hidden."""
    which, order, count, dropped = jax.random.split(key, 4)
    chosen = jax.random.choice(which, len(glitches["labels"]), (BATCH,), p=glitches["chances"])
    values, mask, labels = (glitches[name][chosen] for name in ("values", "mask", "labels"))
    ranks = jnp.where(mask, jax.random.uniform(order, mask.shape), 2.0).argsort(1).argsort(1)
    most = mask.sum(1, keepdims=True)
    shown = 1 if way.alone else jax.random.randint(count, most.shape, 1, most + 1)
    left = jax.random.bernoulli(dropped, 1 - DROPOUT, values.shape) / (1 - DROPOUT)
    return cross_entropy(fused(way, parameters, values * left, ranks < shown), labels)


@functools.partial(jax.jit, static_argnums=0)
def by_sets(way: Way, parameters: Arrays, glitches: Arrays) -> jax.Array:
    """Returns the log-probabilities (set, glitch, class) by each set of windows, all last."""
    return fused(way, parameters, glitches["values"], glitches["mask"] & SUBSETS[:, None])


def fused(way: Way, parameters: Arrays, values: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns each glitch's log-probabilities from the embeddings of the windows it has."""
    kernel, bias, learned = (parameters[name] for name in ("kernel", "bias", "weights"))
    if way.apart:
        weights = mask & np.isin(DURATIONS, way.apart)
        each = jnp.einsum("nwf,wfc->nwc", values, kernel)
    else:
        scores = values @ learned if way.weights == "embedding" else learned
        scores = jnp.broadcast_to(scores if way.weights else 0.0, mask.shape)
        weights = jax.nn.softmax(scores, where=mask)
        each = values @ kernel[0]
    return jax.nn.log_softmax((each * weights[..., None]).sum(-2) + bias)


def cross_entropy(scores: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns the cross-entropy of log-probabilities (..., glitch, class)."""
    return -scores[..., np.arange(len(labels)), labels].mean(-1)


def temperatures(told: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns what to divide the log-probabilities by 1 to 4 windows by."""
    each = [np.concatenate(told[count == COUNTS]) for count in range(1, WINDOWS + 1)]
    return np.array([fitted_temperature(one, np.resize(labels, len(one))) for one in each])


def metrics(scores: np.ndarray, labels: np.ndarray, heat: np.ndarray) -> list[float]:
    """Returns the metrics of log-probabilities, the last after division by a temperature."""
    found = scores.argmax(1)
    accuracy, recall = np.mean(found == labels), balanced_accuracy_score(labels, found)
    calibrated = log_softmax(scores / heat, 1)
    return [accuracy, recall, cross_entropy(scores, labels), cross_entropy(calibrated, labels)]


def as_markdown(found: Arrays, whole: np.ndarray) -> str:
    """Returns a table of each metric, mean over the seeds and standard deviation."""
    sets = [f"simulated, {count}" for count in range(1, WINDOWS + 1)]
    sets += [f"real ({len(whole)})", f"real, 4 ({whole.sum()})"]
    lines = []
    for column, metric in enumerate(METRICS):
        lines += [f"\n| {metric} | {' | '.join(sets)} |", "|---" * (len(sets) + 1) + "|"]
        for name, rows in found.items():
            each = zip(rows[..., column].mean(0), rows[..., column].std(0), strict=True)
            lines.append(f"| {name} | {' | '.join(f'{m:.3f} ± {s:.3f}' for m, s in each)} |")
    return "\n".join(lines).strip() + "\n"


if __name__ == "__main__":
    main()
