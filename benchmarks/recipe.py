"""How the model in the box is made: two networks, and their mean as one.

`vgg16-rows` is ImageNet's VGG16 as it is, and a layer on top that is fitted in one go. `compact` is
trained from scratch on simulated glitches, then on real ones too, but not on their labels: on what
the other says of them. `pair` is both.
"""

import dataclasses
import io
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from common import kept, pictures
from flax import nnx
from jaxtyping import Float, Int
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from tqdm import tqdm

from flax_glitch.checkpoint import (
    Description,
    arrays_of,
    load_model,
    read_card,
    read_description,
    save_model,
)
from flax_glitch.classes import OUTLIER
from flax_glitch.config import Config, ModelConfig, OptimiserConfig
from flax_glitch.data.augment import VARIATIONS, augment
from flax_glitch.files import write_whole
from flax_glitch.models.classifier import Classifier, build
from flax_glitch.models.layers import EPSILON
from flax_glitch.models.preprocess import standardise
from flax_glitch.models.pretrained import load_weights
from flax_glitch.models.systems import settings
from flax_glitch.strain.picture import VIRIDIS
from flax_glitch.training.start import Teacher, train

SIZE = 112
"""Height and width of the pictures that the networks see, pixels."""

VGG = ModelConfig("vgg16-rows", "imagenet")

COMPONENTS, STRENGTH = 400, 5.0
"""Of the layer on top of VGG16: the principal components of the rows that it looks at, and the
inverse of its regularisation, where the greatest component has a variance of 1."""

BATCH = 16

Arrays = Mapping[str, np.ndarray]


def outliers(table: pd.DataFrame, folder: Path, count: int) -> pd.DataFrame:
    """Returns the table of made-up pictures that are no glitches, drawn on the first call.

    Of simulated ones: upside down, their time and frequency swapped, their halves swapped in
    frequency; and blotches, like photographs in the colours of spectrograms.

    Args:
        table: pictures of simulated glitches, with whole paths.
        folder: for the pictures.
        count: of the pictures; their kinds take turns.
    """
    chosen = table.sample(count, random_state=0).reset_index(drop=True)
    paths = []
    for number, picture in enumerate(tqdm(pictures(chosen, (SIZE, SIZE)), "Outliers", count)):
        path = folder / OUTLIER / f"XX_outlier{number}_spectrogram_{chosen['duration'][number]}.png"
        if not path.exists():
            write_picture(path, no_glitch(picture, number))
        paths.append(str(path))
    ids = [f"outlier{number}" for number in range(count)]
    return chosen.assign(path=paths, id=ids, ifo="XX", label=OUTLIER)


def no_glitch(picture: np.ndarray, number: int) -> np.ndarray:
    """Returns what was made of a picture, in one of four ways."""
    match number % 4:
        case 0:
            return picture[::-1]
        case 1:
            return picture.transpose(1, 0, 2)
        case 2:
            return np.roll(picture, SIZE // 2, axis=0)
    rng = np.random.default_rng(number)
    blotches = gaussian_filter(rng.normal(size=(SIZE, SIZE)), rng.uniform(2, 30))
    ranks = (blotches - blotches.min()) / np.ptp(blotches)
    return VIRIDIS[(ranks ** rng.uniform(0.5, 3) * (len(VIRIDIS) - 1)).round().astype(int)]


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Writes a picture, whole or not at all."""
    content = io.BytesIO()
    Image.fromarray(np.asarray(picture, np.uint8)).save(content, "PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content.getvalue())


def lay_out(source: Path, **splits: pd.DataFrame) -> None:
    """Links the pictures of each split into a folder, as in Kaggle's edition."""
    for split, table in splits.items():
        for path, place in zip(table["path"], places(table), strict=True):
            goal = source / split / place
            goal.parent.mkdir(parents=True, exist_ok=True)
            if not goal.is_symlink():
                goal.symlink_to(Path(path).absolute())


def places(table: pd.DataFrame) -> list[str]:
    """Returns where each picture lies in its split: below its class and its collection."""
    return [
        f"{label}/{path.parts[-3]}/{path.name}"
        for path, label in zip(map(Path, table["path"]), table["label"], strict=True)
    ]


def pretraining(source: Path) -> Config:
    """Returns the settings of the small network's first training, on simulated glitches alone."""
    config = settings("paper", "compact")
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, source=str(source)),
        training=dataclasses.replace(config.training, epochs=8, imbalance="none"),
    )


def fine_tuning(source: Path, start: Path, seed: int) -> Config:
    """Returns the settings of its second training, on real glitches and simulated ones."""
    config = settings("paper", "compact")
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, source=str(source)),
        model=dataclasses.replace(config.model, weights=str(start)),
        optimiser=OptimiserConfig(7e-4, "cosine"),
        training=dataclasses.replace(
            config.training, epochs=4, imbalance="over-sampling", seed=seed
        ),
    )


def trained(config: Config, run: Path, teacher: Teacher | None = None) -> Path:
    """Trains in a folder, or goes on there, and returns it."""
    train(config, run, resume=(run / "config.json").is_file(), teacher=teacher)
    return run


def mean_of(runs: Sequence[Path], goal: Path) -> Path:
    """Writes the network whose weights are the mean of some, alike but for their seeds.

    Weights can be averaged where trainings start alike, and do better so than each by itself
    (Wortsman et al. 2022, arXiv:2203.05482).
    """
    (first, description), *others = [load_model(run) for run in runs]
    each = [arrays_of(model) for model in (first, *(model for model, _ in others))]
    mean = {name: np.mean([arrays[name] for arrays in each], axis=0) for name in each[0]}
    save_model(goal, mean, dataclasses.replace(description, name=goal.name), read_card(runs[0]))
    return goal


def imagenet(weights: Path, classes: int) -> Classifier:
    """Returns ImageNet's VGG16 with a new layer on top."""
    model = build(VGG, settings("paper", VGG.name).preprocessing, classes, rngs=nnx.Rngs(0))
    load_weights(model, str(weights))
    return model


def rows_of(
    table: pd.DataFrame, weights: Path, path: Path, copy: int
) -> Float[np.ndarray, "sample row"]:
    """Returns what the layer on top of VGG16 sees of each picture, computed on the first call.

    Args:
        table: the pictures.
        weights: the file of ImageNet's VGG16.
        path: the file to keep it in.
        copy: 0 for the pictures as they are, another number for copies of them that are varied at
            random, as figures of glitches are.
    """
    model = imagenet(weights, 2)
    graph, state = nnx.split(model)
    preprocessing = settings("paper", VGG.name).preprocessing
    vary = VARIATIONS["drift" if copy else "none"]

    @jax.jit
    def rows(state: nnx.State, shown: jax.Array, key: jax.Array) -> jax.Array:
        views = standardise(augment(shown[:, None], key, vary), preprocessing)
        merged = nnx.merge(graph, state)
        maps = merged.features(views, jnp.ones(views.shape[:2], bool))
        return merged.head.rows(maps)[:, 0].astype(jnp.float16)

    numbers, key = itertools.count(), jax.random.key(copy)
    return kept(
        path,
        table,
        (SIZE, SIZE),
        lambda shown: rows(state, shown, jax.random.fold_in(key, next(numbers))),
        BATCH,
    )


def fitted_head(
    rows: Float[np.ndarray, "sample row"],
    labels: Int[np.ndarray, " sample"],
    weights: Float[np.ndarray, " sample"],
) -> Arrays:
    """Returns the arrays of a RowsHead whose dense layer is a logistic regression.

    Args:
        rows: what it sees of the training pictures.
        labels: the class of each; of every class there are some.
        weights: how much each counts.
    """
    x = rows.astype(np.float32)
    mean, deviation = x.mean(0), x.std(0) + 0.1 * x.std()
    x = (x - mean) / deviation
    axes = principal_axes(jnp.asarray(x))
    seen = x @ axes
    scale = seen.std(0).max()
    found = LogisticRegression(C=STRENGTH, max_iter=1000)
    found.fit(seen / scale, labels, sample_weight=weights / weights.mean())
    return {
        "head.norm.mean": mean,
        "head.norm.var": deviation**2 - EPSILON,
        "head.norm.scale": np.ones_like(mean),
        "head.norm.bias": np.zeros_like(mean),
        "head.output.kernel": axes @ found.coef_.T / scale,
        "head.output.bias": found.intercept_,
    }


def teacher_of(head: Arrays, table: pd.DataFrame, rows: Float[np.ndarray, "sample row"]) -> Teacher:
    """Returns what gives the scores of a fitted head for training pictures, copies averaged."""
    x = (rows - head["head.norm.mean"]) / np.sqrt(head["head.norm.var"] + EPSILON)
    scores = x @ head["head.output.kernel"] + head["head.output.bias"]
    said = np.log(pd.DataFrame(softmax(scores, axis=1)).groupby(places(table)).mean())
    return lambda split: said.loc[
        [path.partition("/")[2] for path in split.table["path"]]
    ].to_numpy()


@jax.jit
def principal_axes(x: Float[jax.Array, "sample row"]) -> Float[jax.Array, "row component"]:
    """Returns the first axes, orthonormal, by random projection (Halko et al. 2011)."""
    sketch = jax.random.normal(jax.random.key(0), (len(x), COMPONENTS + 100))
    for _ in range(2):
        basis, _ = jnp.linalg.qr(x.T @ sketch)
        sketch = x @ basis
    _, _, turned = jnp.linalg.svd(sketch, full_matrices=False)
    return basis @ turned[:COMPONENTS].T


def vgg16_rows(weights: Path, head: Arrays, like: Path, goal: Path) -> Path:
    """Writes the network of ImageNet's VGG16 and this head; its classes are those of another."""
    description = read_description(like)
    arrays = arrays_of(imagenet(weights, len(description.classes))) | head
    return written(goal, arrays, VGG, description)


def pair_of(large: Path, small: Path, goal: Path) -> Path:
    """Writes the network whose scores are the mean of those of vgg16-rows and of compact."""
    (first, description), (second, _) = load_model(large), load_model(small)
    one, two = arrays_of(first), arrays_of(second)
    arrays = {
        name.replace("backbone.", f"backbone.{part}."): array
        for part, given in (("vgg16", one), ("stack", two))
        for name, array in given.items()
        if name.startswith("backbone.")
    }
    arrays["head.output.bias"] = (one["head.output.bias"] + two["head.output.bias"]) / 2
    deep = first.backbone.features, second.backbone.features
    for name in one:
        if name.startswith("head.") and name != "head.output.bias":
            share = 0.5 if name == "head.output.kernel" else 1.0
            arrays[name] = share * behind(one[name], two[name], deep)
    return written(goal, arrays, ModelConfig("pair", "none"), description)


def behind(one: np.ndarray, two: np.ndarray, deep: tuple[int, int]) -> np.ndarray:
    """Returns arrays of two RowsHeads as those of one whose maps lie behind each other."""
    parts = [
        np.asarray(array).reshape(-1, 2, features, *array.shape[1:])
        for array, features in zip((one, two), deep, strict=True)
    ]
    return np.concatenate(parts, axis=2).reshape(-1, *one.shape[1:])


def written(goal: Path, arrays: Arrays, model: ModelConfig, like: Description) -> Path:
    """Writes a network that has learned from the same pictures as another."""
    description = dataclasses.replace(
        like,
        name=goal.name,
        model=model,
        preprocessing=settings("paper", model.name).preprocessing,
    )
    save_model(goal, arrays, description, "")
    return goal
