"""Which frozen ImageNet features tell glitches apart best, by folds over *tune*.

    python benchmarks/frozen_features.py --out out/ --simulated simulated/ --sizes 112 160 224 \
        --vgg16 vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5 \
        --xception xception_weights_tf_dim_ordering_tf_kernels_notop.h5 \
        --real DATA/{gravityspy,golden,figures,community,o3,notebooks,o3_new,later}

Of each block's maps the mean and the greatest over time, frequencies kept apart or not, in their
square roots; the layer on top is that of `recipe.fitted_head`, fitted to real glitches of the other
folds and to --share simulated ones of each class. The features are slow, so the folder keeps them.
"""

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from common import few_of_each, folds, kept, labels_of, of_the_22, read_tables
from flax import nnx
from protocol import tune
from recipe import fitted_head

from flax_glitch.classes import CLASSES
from flax_glitch.config import Preprocessing, keep_compiled
from flax_glitch.data.table import glitch_numbers
from flax_glitch.evaluation.evaluate import Outputs, summary
from flax_glitch.evaluation.report import markdown_table, with_interval
from flax_glitch.models import vgg, xception
from flax_glitch.models.layers import EPSILON, Maker
from flax_glitch.models.preprocess import standardise
from flax_glitch.models.pretrained import load_keras_weights


@dataclasses.dataclass(frozen=True)
class Network:
    """An architecture with ImageNet weights."""

    make: Callable[[Maker], nnx.Module]
    blocks: tuple[str, ...]
    """In the order of the forward pass."""
    normalise: str
    tried: tuple[tuple[str, ...], ...]
    """The blocks whose maps are looked at, together."""

    @property
    def kept(self) -> tuple[str, ...]:
        """The blocks that are of use."""
        return tuple(name for name in self.blocks if any(name in some for some in self.tried))


NETWORKS = {
    "vgg16": Network(
        vgg.VGG16,
        tuple(vgg.BLOCKS),
        "caffe",
        (
            ("block3",),
            ("block4",),
            ("block5",),
            ("block3", "block4"),
            ("block4", "block5"),
        ),
    ),
    "xception": Network(
        xception.Xception, xception.BLOCKS, "tf", (("block4",), ("block13",), ("block14",))
    ),
}

BATCH = 16


def main() -> None:
    """Computes, fits, judges and prints; see the module's docstring."""
    given = arguments()
    keep_compiled()
    found = read_tables(given.real)
    real = of_the_22(found[tune(found)])
    simulated = few_of_each(read_tables([given.simulated]), given.share)
    rows = []
    for name, network in NETWORKS.items():
        for size in given.sizes if getattr(given, name) else ():
            maps = [features(given, name, size, table) for table in (real, simulated)]
            for tried in network.tried:
                for how in ("rows", "whole maps"):
                    seen = [layer(of, tried, how) for of in maps]
                    measured = judged(real, labels_of(simulated), *seen, given.folds)
                    rows.append((f"{name}, {size} px, {' and '.join(tried)}, {how}", *measured))
                    print(rows[-1], flush=True)
    text = markdown_table(("Per glitch, per cent", "Accuracy", "Macro recall", "ECE"), rows)
    print(text)
    (given.out / "frozen-features.md").write_text(f"{text}\n")


def arguments() -> argparse.Namespace:
    """Returns what was given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, nargs="+", required=True)
    parser.add_argument("--simulated", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--vgg16", type=Path, help="its ImageNet weights; not tried without")
    parser.add_argument("--xception", type=Path, help="its ImageNet weights; not tried without")
    parser.add_argument("--sizes", type=int, nargs="+", default=[112])
    parser.add_argument("--share", type=int, default=30, help="simulated glitches a class")
    parser.add_argument("--folds", type=int, default=5)
    return parser.parse_args()


def features(
    given: argparse.Namespace, name: str, size: int, table: pd.DataFrame
) -> dict[str, np.ndarray]:
    """Returns the rows of each block, (picture, row, feature), the means before the greatest."""
    network, preprocessing = NETWORKS[name], Preprocessing(size, normalise=NETWORKS[name].normalise)
    model = nnx.eval_shape(lambda: network.make(Maker(nnx.Rngs(0))))
    load_keras_weights(model, getattr(given, name))
    view = nnx.view(model, use_running_average=True, raise_if_not_found=False)
    graph, state = nnx.split(view)

    def rows(state: nnx.State, shown: jax.Array) -> list[jax.Array]:
        merged, found = nnx.merge(graph, state), {}
        x = standardise(shown, preprocessing)
        for block in network.blocks:
            found[block] = x = getattr(merged, block)(x)
        maps = (nnx.relu(found[block]) for block in network.kept)
        return [jnp.concatenate([x.mean(2), x.max(2)], -1).astype(jnp.float16) for x in maps]

    flat = jax.jit(
        lambda state, x: jnp.concatenate([r.reshape(len(x), -1) for r in rows(state, x)], 1)
    )
    file = given.out / f"{name}-{size}-{len(table)}.npy"
    found = kept(file, table, preprocessing.shape, lambda shown: flat(state, shown), BATCH)
    one = jax.ShapeDtypeStruct((1, size, size, 3), jnp.uint8)
    shapes = [x.shape[1:] for x in jax.eval_shape(rows, state, one)]
    ends = np.cumsum([np.prod(shape) for shape in shapes])[:-1]
    parts = np.split(found, ends, axis=1)
    return {
        block: part.reshape(len(part), *shape)
        for block, part, shape in zip(network.kept, parts, shapes, strict=True)
    }


def layer(maps: dict[str, np.ndarray], tried: Sequence[str], how: str) -> np.ndarray:
    """Returns what the layer on top sees of each picture."""
    seen = []
    for block in tried:
        rows = maps[block].astype(np.float32)
        if how != "rows":
            mean, greatest = np.split(rows, 2, axis=-1)
            rows = np.concatenate([mean.mean(1), greatest.max(1)], axis=-1)
        seen.append(np.sqrt(rows.reshape(len(rows), -1)))
    return np.concatenate(seen, axis=1)


def judged(
    real: pd.DataFrame, labels: np.ndarray, seen: np.ndarray, simulated: np.ndarray, count: int
) -> list[str]:
    """Returns what is measured by folds, each glitch judged once."""
    truth = labels_of(real)
    logits = np.zeros((len(real), len(CLASSES)), np.float32)
    for glitches in folds(real, count):
        test = glitches[glitch_numbers(real)]
        learned = np.concatenate([truth[~test], labels])
        origin = np.repeat([0, 1], [np.sum(~test), len(labels)])
        sizes = pd.DataFrame({"label": learned, "origin": origin})
        weights = 1 / sizes.groupby(["label", "origin"])["label"].transform("size").to_numpy()
        head = fitted_head(np.concatenate([seen[~test], simulated]), learned, weights)
        deviation = np.sqrt(head["head.norm.var"] + EPSILON)
        x = (seen[test] - head["head.norm.mean"]) / deviation
        logits[test] = x @ head["head.output.kernel"] + head["head.output.bias"]
    measured = summary(Outputs(logits, real, CLASSES))["per_glitch"]
    return [with_interval(measured, key) for key in ("accuracy", "recall_macro", "ece")]


if __name__ == "__main__":
    main()
