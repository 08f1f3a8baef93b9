"""A small network that has seen simulated glitches alone, tried on real ones.

    flax-glitch simulate --out simulated/ --per-class 100 --seed 1
    python benchmarks/simulated_to_real.py simulated/ --real DATA/gravityspy DATA/golden --out out/

It judges the simulator: a class that is recognised worse than the others is simulated worse. Prints
the metrics of the real pictures and writes metrics.json, tables and confusion matrices. Several
seeds train several networks, whose spread is printed too.
"""

import argparse
import json
import statistics
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
from common import labels_of, of_the_22, pictures, read_tables, told
from flax import nnx
from tqdm import tqdm

from flax_glitch.classes import CLASSES
from flax_glitch.evaluation.evaluate import Outputs
from flax_glitch.models.preprocess import LUMINANCE

SIZE = 96
LAYERS = ((16, 5, 2), (32, 3, 2), (64, 3, 2), (128, 3, 1))
"""Features, kernel size and stride of each convolution."""
BATCH = 64


class SmallNetwork(nnx.Module):
    """Four convolutions; the mean and the greatest of each feature; one dense layer."""

    def __init__(self, *, rngs: nnx.Rngs):
        widths = (1, *(features for features, _, _ in LAYERS))
        self.convolutions = nnx.List(
            nnx.Conv(before, after, (kernel, kernel), (stride, stride), rngs=rngs)
            for before, (after, kernel, stride) in zip(widths, LAYERS, strict=False)
        )
        self.dropout = nnx.Dropout(0.3, deterministic=None)
        self.dense = nnx.Linear(2 * widths[-1], len(CLASSES), rngs=rngs)

    def __call__(self, pictures: jax.Array, rngs: nnx.Rngs | None = None) -> jax.Array:
        """Returns the logits of pictures (batch, size, size) from 0 to 1."""
        x = (pictures[..., None] - 0.2) * 4
        for convolution in self.convolutions:
            x = nnx.relu(convolution(x))
        x = jnp.concatenate([x.mean((1, 2)), x.max((1, 2))], axis=-1)
        return self.dense(self.dropout(x, deterministic=rngs is None, rngs=rngs))


def main() -> None:
    """Trains and prints; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("simulated", type=Path)
    parser.add_argument("--real", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    table, real_table = (of_the_22(read_tables(one)) for one in ([given.simulated], given.real))
    simulated, real = in_grey(table), in_grey(real_table)
    sources = {"trained on": given.simulated.name, "real": [path.name for path in given.real]}
    recalls = []
    for seed in range(given.seeds):
        forward = train(simulated, labels_of(table), given.epochs, seed)
        scores = [forward(real[start : start + BATCH]) for start in range(0, len(real), BATCH)]
        outputs = Outputs(np.concatenate(scores), real_table, CLASSES)
        measured = told(outputs, given.out / f"seed-{seed}", sources)
        recalls.append(measured["per_glitch"]["recall_macro"])
    spread = {"seeds": recalls, "mean": statistics.mean(recalls)}
    print(f"macro recall per glitch: {json.dumps(spread)}")


def in_grey(table: pd.DataFrame) -> np.ndarray:
    """Returns all pictures in grey, (picture, size, size), 0 to 255."""
    read = tqdm(pictures(table, (SIZE, SIZE)), "Reading", len(table), unit="picture")
    return np.stack([(one @ np.array(LUMINANCE)).round().astype(np.uint8) for one in read])


def train(shown: np.ndarray, labels: np.ndarray, epochs: int, seed: int):  # noqa: ANN201
    """Returns the function from grey pictures to logits that training ends with."""
    graph, state = nnx.split(SmallNetwork(rngs=nnx.Rngs(seed)))
    steps = epochs * (len(shown) // BATCH)
    optimiser = optax.adamw(
        optax.warmup_cosine_decay_schedule(0.0, 2e-3, 100, steps), weight_decay=1e-3
    )

    @jax.jit
    def step(state, moments, batch, truth, key):  # noqa: ANN001, ANN202
        def loss(state: nnx.State) -> jax.Array:
            logits = nnx.merge(graph, state)(batch, nnx.Rngs(dropout=key))
            targets = optax.smooth_labels(jax.nn.one_hot(truth, len(CLASSES)), 0.05)
            return optax.softmax_cross_entropy(logits, targets).mean()

        value, gradient = jax.value_and_grad(loss)(state)
        change, moments = optimiser.update(gradient, moments, state)
        return optax.apply_updates(state, change), moments, value

    moments = optimiser.init(state)
    rng = np.random.default_rng(seed)
    with tqdm(total=steps, desc="Training", unit="step") as bar:
        for number, chosen in enumerate(batches(rng, len(shown), epochs)):
            batch = varied(rng, shown[chosen])
            key = jax.random.fold_in(jax.random.key(seed), number)
            state, moments, value = step(state, moments, batch, labels[chosen], key)
            if number % 20 == 0:
                bar.set_postfix(loss=f"{float(value):.3f}")
            bar.update()
    apply = jax.jit(lambda batch: nnx.merge(graph, state)(batch))
    return lambda batch: np.asarray(apply(batch.astype(np.float32) / 255))


def batches(rng: np.random.Generator, count: int, epochs: int) -> Iterator[np.ndarray]:
    """Yields the numbers of each batch's pictures."""
    for _ in range(epochs):
        order = rng.permutation(count)
        for start in range(0, count - BATCH + 1, BATCH):
            yield order[start : start + BATCH]


def varied(rng: np.random.Generator, shown: np.ndarray) -> np.ndarray:
    """Returns pictures moved a little in time and frequency, of other contrast and sharpness."""
    values = shown.astype(np.float32) / 255
    for number, shifts in enumerate(rng.integers((-2, -6), (3, 7), (len(values), 2))):
        values[number] = np.roll(values[number], shifts, (0, 1))
        if rng.random() < 0.25:  # as pictures cut out of figures, which are less sharp
            smooth = values[number].reshape(SIZE // 2, 2, SIZE // 2, 2).mean((1, 3))
            values[number] = smooth.repeat(2, 0).repeat(2, 1)
    gain = rng.uniform(0.85, 1.15, (len(values), 1, 1))
    return (values * gain + rng.uniform(-0.03, 0.06, (len(values), 1, 1))).astype(np.float32)


if __name__ == "__main__":
    main()
