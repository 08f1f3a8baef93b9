"""How the model in the box is made of pictures: two networks, and their mean as a third."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pandas as pd
from common import pictures
from PIL import Image

from flax_glitch.checkpoint import arrays_of, load_model, read_card, save_model
from flax_glitch.config import Config, ModelConfig, OptimiserConfig
from flax_glitch.data.augment import VARIATIONS, augment
from flax_glitch.files import write_whole
from flax_glitch.models.classifier import DEFAULT
from flax_glitch.models.systems import settings
from flax_glitch.training.start import train

SIZE = 112
"""Height and width of the pictures that the networks see, pixels."""

NETWORKS = ("compact", "vgg16-rows", "pair")


def lay_out(source: Path, **splits: pd.DataFrame) -> None:
    """Links the pictures of each split into a folder, as in Kaggle's edition."""
    for split, table in splits.items():
        for path, label in zip(map(Path, table["path"]), table["label"], strict=True):
            link(path, source / split / label / path.parts[-3] / path.name)


def link(path: Path, goal: Path) -> None:
    """Makes a symbolic link, unless it is there."""
    goal.parent.mkdir(parents=True, exist_ok=True)
    if not goal.is_symlink():
        goal.symlink_to(path.absolute())


def varied(table: pd.DataFrame, folder: Path, number: int) -> pd.DataFrame:
    """Returns the table of copies of the pictures, varied at random as figures of glitches are.

    A network whose lower layers are frozen sees such copies in place of ever new ones, since what
    those layers make of them is computed once. They are drawn on the first call.

    Args:
        table: pictures, with whole paths.
        folder: for the copies.
        number: of the copy of each.
    """
    goals = []
    for row in table.itertuples():
        path = Path(row.path)
        name = path.name.replace("_spectrogram", f"copy{number}_spectrogram", 1)
        if name == path.name:
            name = f"copy{number}{name}"
        goals.append(folder / row.label / path.parts[-3] / f"{Path(name).stem}.png")
    missing = [not goal.exists() for goal in goals]
    vary = jax.jit(lambda picture, key: augment(picture[None, None], key, VARIATIONS["drift"])[0, 0])
    drawn = pictures(table[missing], (SIZE, SIZE))
    for place, picture in zip(np.flatnonzero(missing), drawn, strict=True):
        key = jax.random.fold_in(jax.random.key(number), place)
        goals[place].parent.mkdir(parents=True, exist_ok=True)
        pixels = np.clip(np.asarray(vary(picture, key)).round(), 0, 255).astype(np.uint8)
        partial = goals[place].with_suffix(".part")
        Image.fromarray(pixels).save(partial, "PNG")
        partial.replace(goals[place])
    return table.assign(path=[str(goal) for goal in goals], id=table["id"] + f"copy{number}")


def compact(source: Path, start: Path, seed: int, epochs: int) -> Config:
    """Returns the settings of the small network, which goes on from one of simulated glitches."""
    config = settings("paper", "compact")
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, source=str(source)),
        model=dataclasses.replace(config.model, weights=str(start)),
        optimiser=OptimiserConfig(7e-4, "cosine"),
        training=dataclasses.replace(
            config.training, epochs=epochs, imbalance="over-sampling", seed=seed
        ),
    )


def vgg16_rows(source: Path, imagenet: Path, seed: int, epochs: int, rate: float) -> Config:
    """Returns the settings of the large network, whose last block is trained."""
    config = settings("paper", "vgg16-rows")
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, source=str(source)),
        model=dataclasses.replace(config.model, weights=str(imagenet)),
        optimiser=OptimiserConfig(rate, "cosine"),
        training=dataclasses.replace(
            config.training, epochs=epochs, imbalance="over-sampling", seed=seed
        ),
    )


def trained(config: Config, run: Path) -> Path:
    """Trains in a folder, or goes on there, and returns it."""
    train(config, run, resume=(run / "config.json").is_file())
    return run


def mean_of(runs: list[Path], goal: Path) -> Path:
    """Writes the network whose weights are the mean of some, alike but for their seeds.

    Weights can be averaged where trainings start alike, and do better so than each by itself
    (Wortsman et al. 2022, arXiv:2203.05482).
    """
    (first, description), *others = [load_model(run) for run in runs]
    each = [arrays_of(model) for model in (first, *(model for model, _ in others))]
    mean = {name: np.mean([arrays[name] for arrays in each], axis=0) for name in each[0]}
    save_model(goal, mean, dataclasses.replace(description, name=goal.name), read_card(runs[0]))
    return goal


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
            arrays[name] = share * side_by_side(one[name], two[name], deep)
    described = dataclasses.replace(
        description,
        name=goal.name,
        model=ModelConfig("pair", "none", description.model.dropout),
        preprocessing=settings("paper", "pair").preprocessing,
    )
    save_model(goal, arrays, described, read_card(large))
    return goal


def side_by_side(one: np.ndarray, two: np.ndarray, deep: tuple[int, int]) -> np.ndarray:
    """Returns arrays of two RowsHeads as those of one whose maps lie behind each other."""
    parts = [
        array.reshape(-1, 2, features, *array.shape[1:])
        for array, features in zip((one, two), deep, strict=True)
    ]
    return np.concatenate(parts, axis=2).reshape(-1, *one.shape[1:])
