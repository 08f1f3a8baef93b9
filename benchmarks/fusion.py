"""How the windows of a glitch are best fused into one verdict, on a frozen network's embeddings.

    python benchmarks/fusion.py --checkpoint checkpoints/pretrained --simulated simulated/ \
        --real DATA/gravityspy DATA/golden DATA/figures DATA/community DATA/o3 --out fusion/

Each way is one dense layer (or one a window) on the embedding of each window, trained for seconds
on simulated glitches, with the real ones of the other folds beside, and stopped where the simulated
validation glitches are told best. All see the same glitches for the same number of steps. Folds are
those of `cross_validation.py`; simulated glitches are split as the checkpoint's training split
them. Give a checkpoint that has seen no real glitch. Embeddings are slow, so the folder keeps them.
"""

import argparse
import dataclasses
import functools
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from cross_validation import folds, real_glitches
from flax import nnx
from sklearn.metrics import balanced_accuracy_score
from tqdm import tqdm

from flax_glitch.checkpoint import load_model
from flax_glitch.classes import CLASSES, DURATIONS, INDEX
from flax_glitch.config import keep_compiled
from flax_glitch.data.pictures import resize, standardise
from flax_glitch.data.prepared import slots
from flax_glitch.data.sources import Glitch, open_source, read_picture
from flax_glitch.inference.predictor import Predictor
from flax_glitch.models.classifier import inference_mode

WINDOWS = len(DURATIONS)
SHARES = {"train": 2, "validation": 6, "test": 3}
"""One over the part of --per-class that each split of the simulated glitches gets."""
REAL_WEIGHT = 5.0
"""How much oftener a real glitch is drawn than a simulated one of its class."""
PICTURES, BATCH, STEPS, BLOCKS = 64, 128, 20, 20
"""Pictures embedded at once, glitches a step, steps a block and blocks of a training."""
LEARNING_RATE, WEIGHT_DECAY, DROPOUT = 2e-3, 0.1, 0.3

SUBSETS = np.array([one for one in itertools.product([False, True], repeat=WINDOWS) if any(one)])
"""The 15 sets of windows that can be given."""
COUNTS = SUBSETS.sum(1)
NAMES = ("values", "mask", "labels")
METRICS = ("accuracy", "macro-recall", "cross-entropy")

Arrays = dict[str, Any]
"""Of glitches: values (glitch, window, feature), mask (glitch, window), labels; or parameters."""


@dataclasses.dataclass(frozen=True)
class Way:
    """A way to fuse: trained on windows alone or on sets of them, and how these are weighed.

    Weights are equal, or learned from the duration or the embedding; or the windows `apart` have
    each a dense layer of their own, and the scores are summed.
    """

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
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--simulated", type=Path, required=True)
    parser.add_argument("--real", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--per-class", type=int, default=60, help="simulated glitches")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folds", type=int, default=5)
    given = parser.parse_args()
    keep_compiled()
    glitches = real_glitches(given.real, given.out)
    parts = simulated_glitches(given) | {"real": glitches}
    data = standardised({part: kept(given, part, members) for part, members in parts.items()})
    judged = list(folds(glitches, given.folds))
    found, scores = {}, {}
    for way in tqdm(WAYS, "Ways"):
        each = [measured(way, data, judged, seed) for seed in range(given.seeds)]
        found[way.name], scores[way.name] = map(np.array, zip(*each, strict=True))
    np.savez(given.out / "real.npz", **data["real"], **scores)
    table = as_markdown(found, data)
    (given.out / "fusion.md").write_text(table)
    print(table)


def simulated_glitches(given: argparse.Namespace) -> dict[str, list[Glitch]]:
    """Returns the first glitches of each class in each split."""
    source = open_source(given.simulated, Predictor(given.checkpoint).split_seed)
    chosen: dict[str, list[Glitch]] = {split: [] for split in SHARES}
    for split, label in itertools.product(SHARES, CLASSES):
        known = [glitch for glitch in source.splits[split] if glitch.label == label]
        chosen[split] += known[: given.per_class // SHARES[split]]
    return chosen


def kept(given: argparse.Namespace, part: str, glitches: list[Glitch]) -> Arrays:
    """Returns the embeddings of the glitches' windows, computed on the first call."""
    path = given.out / f"{part}-{len(glitches)}.npy"
    if not path.exists():
        np.save(path, np.concatenate(list(embeddings(given.checkpoint, glitches))))
    found = np.load(path)
    mask = np.zeros((len(glitches), WINDOWS), bool)
    values = np.zeros((*mask.shape, found.shape[-1]), np.float32)
    numbers = np.repeat(np.arange(len(glitches)), [len(glitch.views) for glitch in glitches])
    places = np.concatenate([slots(list(glitch.views)) for glitch in glitches])
    mask[numbers, places], values[numbers, places] = True, found
    labels = np.array([INDEX[glitch.label] for glitch in glitches])
    return {"values": values, "mask": mask, "labels": labels}


def embeddings(checkpoint: Path, glitches: list[Glitch]) -> Iterator[np.ndarray]:
    """Yields what the frozen network makes of the pictures, some at a time."""
    model, description = load_model(checkpoint)
    graph, state = nnx.split(inference_mode(model))
    preprocessing = description.preprocessing

    @jax.jit
    def embedded(state, pictures):  # noqa: ANN001, ANN202
        model = nnx.merge(graph, state)
        views, mask = standardise(pictures, preprocessing)[:, None], np.ones((PICTURES, 1), bool)
        return model.embed(model.features(views, mask))[:, 0]

    refs = [ref for glitch in glitches for ref in glitch.views.values()]
    for start in tqdm(range(0, len(refs), PICTURES), "Embeddings", unit="batch"):
        chosen = refs[start : start + PICTURES]
        pictures = np.zeros((PICTURES, *preprocessing.shape, 3), np.uint8)
        for row, ref in enumerate(chosen):
            pictures[row] = resize(read_picture(ref).pixels, *preprocessing.shape)
        yield np.asarray(embedded(state, pictures))[: len(chosen)]


def standardised(data: dict[str, Arrays]) -> dict[str, Arrays]:
    """Returns features of mean 0 and deviation 1 in training; those of missing windows are 0."""
    trained_on = data["train"]["values"][data["train"]["mask"]]
    mean, deviation = trained_on.mean(0), trained_on.std(0) + 1e-3
    return {
        part: one | {"values": (one["values"] - mean) / deviation * one["mask"][..., None]}
        for part, one in data.items()
    }


def measured(
    way: Way, data: dict[str, Arrays], judged: list[np.ndarray], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the figures (set, metric) of a seed, and the log-probabilities of the real glitches.

    Sets are the simulated glitches with 1 to 4 windows (mean over which, and over the folds'
    models), all real ones, and the real ones that have four windows.
    """
    test, real = data["test"], data["real"]
    scores = np.zeros((len(real["labels"]), len(CLASSES)))
    simulated = np.zeros((len(judged), len(SUBSETS), len(METRICS)))
    for number, fold in enumerate(judged):
        key = jax.random.fold_in(jax.random.key(seed), number)
        parameters = trained(way, key, training_set(data, ~fold), data["validation"])
        scores[fold] = fused(way, parameters, real["values"], real["mask"])[fold]
        for place, subset in enumerate(SUBSETS):
            told = fused(way, parameters, test["values"], test["mask"] & subset)
            simulated[number, place] = metrics(np.asarray(told), test["labels"])
    rows = [simulated[:, count == COUNTS].mean((0, 1)) for count in range(1, WINDOWS + 1)]
    for chosen in (np.full(len(scores), True), real["mask"].all(1)):
        rows.append(metrics(scores[chosen], real["labels"][chosen]))
    return np.array(rows), scores


def training_set(data: dict[str, Arrays], used: np.ndarray) -> Arrays:
    """Returns what to train on and the chance of each glitch to be drawn; classes are even.

    The real ones that aren't used stay in it, never drawn, so that all folds have one shape.
    """
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
    values, mask, labels = (validation[name] for name in NAMES)
    parameters = initial(way, start, values.shape[-1])

    def step(state, key):  # noqa: ANN001, ANN202
        parameters, moments = state
        gradient = jax.grad(drawn_loss)(parameters, way, key, glitches)
        updates, moments = optimiser.update(gradient, moments, parameters)
        return (optax.apply_updates(parameters, updates), moments), None

    def block(carry, key):  # noqa: ANN001, ANN202
        state, best, lowest = carry
        state, _ = jax.lax.scan(step, state, jax.random.split(key, STEPS))
        told = [fused(way, state[0], values, mask & subset) for subset in SUBSETS]
        loss = jnp.stack([cross_entropy(one, labels) for one in told]).mean()
        best = jax.tree.map(lambda new, old: jnp.where(loss < lowest, new, old), state[0], best)
        return (state, best, jnp.minimum(loss, lowest)), None

    carry = (parameters, optimiser.init(parameters)), parameters, jnp.inf
    return jax.lax.scan(block, carry, jax.random.split(key, BLOCKS))[0][1]


def initial(way: Way, key: jax.Array, features: int) -> Arrays:
    """Returns small random kernels, and weights that are all the same."""
    shape = (WINDOWS if way.apart else 1, features, len(CLASSES))
    parameters = {"kernel": 0.02 * jax.random.normal(key, shape), "bias": jnp.zeros(len(CLASSES))}
    size = features if way.weights == "embedding" else WINDOWS
    return parameters | {"weights": jnp.zeros(size)}


def drawn_loss(parameters: Arrays, way: Way, key: jax.Array, glitches: Arrays) -> jax.Array:
    """Returns the cross-entropy of drawn glitches, some of their windows and features hidden."""
    which, order, count, dropped = jax.random.split(key, 4)
    chances = glitches["chances"]
    chosen = jax.random.choice(which, len(chances), (BATCH,), p=chances)
    values, mask, labels = (glitches[name][chosen] for name in NAMES)
    ranks = jnp.where(mask, jax.random.uniform(order, mask.shape), 2.0).argsort(1).argsort(1)
    present = mask.sum(1, keepdims=True)
    shown = 1 if way.alone else jax.random.randint(count, present.shape, 1, present + 1)
    left = jax.random.bernoulli(dropped, 1 - DROPOUT, values.shape) / (1 - DROPOUT)
    return cross_entropy(fused(way, parameters, values * left, ranks < shown), labels)


@functools.partial(jax.jit, static_argnums=0)
def fused(way: Way, parameters: Arrays, values: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns each glitch's log-probabilities from the embeddings of the windows it has."""
    kernel, bias, learned = (parameters[name] for name in ("kernel", "bias", "weights"))
    if way.apart:
        weights = mask & np.isin(DURATIONS, way.apart)
        each = jnp.einsum("nwf,wfc->nwc", values, kernel)
    else:
        scores = {"": jnp.zeros(WINDOWS), "duration": learned}.get(way.weights)
        scores = values @ learned if scores is None else scores
        weights = jax.nn.softmax(jnp.broadcast_to(scores, mask.shape), where=mask)
        each = values @ kernel[0]
    return jax.nn.log_softmax((each * weights[..., None]).sum(1) + bias)


def cross_entropy(scores: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns the mean of what log-probabilities give the true class, negative."""
    return -jnp.take_along_axis(scores, labels[:, None], 1).mean()


def metrics(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns accuracy, macro-recall and cross-entropy of log-probabilities."""
    verdicts = scores.argmax(1)
    recall = balanced_accuracy_score(labels, verdicts)
    return np.array([np.mean(verdicts == labels), recall, cross_entropy(scores, labels)])


def as_markdown(found: Arrays, data: dict[str, Arrays]) -> str:
    """Returns a table of each metric, mean over the seeds and standard deviation."""
    whole = data["real"]["mask"].all(1)
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
