"""Which map of where a network looked is true: on simulated glitches, whose place is known.

    python benchmarks/saliency.py --checkpoints checkpoints/default checkpoints/fast

The place of a glitch is where the energy of its wave alone, as far as colours tell it, is at least
half of its greatest in the window. The map is that of the class that the network names by all four
windows. `pointing`: how often its greatest place lies there (Zhang et al. 2018, doi:
10.1007/s11263-017-1059-x); `inside`: the share of the map that does, both within 2 pixels; `left`:
the class's mean probability once the fifth of the window where the map is highest is made even;
`seconds` for a glitch's four windows. No_Glitch, which has no place, and windows in which the wave
stays below six times the noise are left out. Methods were chosen by --seed 777, and the table of
docs/evidence.md is by 778.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from scipy.ndimage import gaussian_filter, maximum_filter

from flax_glitch.classes import CLASSES
from flax_glitch.config import keep_compiled
from flax_glitch.data.pictures import resize
from flax_glitch.evaluation.report import markdown_table
from flax_glitch.models.classifier import inference_mode
from flax_glitch.models.preprocess import standardise
from flax_glitch.predict.explain import BLUR, TOWARDS, saliency
from flax_glitch.predict.predictor import Predictor
from flax_glitch.simulate.glitches import DARK, GLITCHES
from flax_glitch.simulate.noise import background
from flax_glitch.simulate.shapes import SECONDS
from flax_glitch.strain.picture import MOST, spectrogram
from flax_glitch.strain.qtransform import scan_whitened

Method = Callable[[np.ndarray, str], np.ndarray]
"""From the four windows of a glitch and a class to a map of each."""

EVEN_SHARE = 0.2
"""Share of a window that is made even."""

PATCH = 16
"""Height and width of what occlusion covers at a time, pixels."""

OCCLUSION = f"occlusion, {PATCH} pixels"


class Known(NamedTuple):
    """A simulated glitch whose place is known."""

    pictures: np.ndarray
    inside: np.ndarray
    """Where it is, in each window; nowhere in one that is left out."""


def main() -> None:
    """Compares and prints; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoints", type=Path, nargs="+", required=True)
    parser.add_argument("--per-class", type=int, default=3)
    parser.add_argument("--seed", type=int, default=778)
    given = parser.parse_args()
    keep_compiled()
    header = ("Map", "pointing", "inside", "left", "seconds")
    for checkpoint in given.checkpoints:
        predictor = Predictor(checkpoint)
        known = list(glitches(given.seed, given.per_class, predictor.preprocessing.shape))
        windows = sum(int(one.inside.any((1, 2)).sum()) for one in known)
        area = np.mean([place.mean() for one in known for place in one.inside if place.any()])
        print(f"{predictor.name}: {windows} windows; a glitch covers {area:.1%} on average")
        print(markdown_table(header, []), flush=True)
        for name, method in methods(predictor).items():
            row = name, *measured(predictor, method, known)
            print(markdown_table(header, [row]).splitlines()[-1], flush=True)


def glitches(seed: int, per_class: int, shape: tuple[int, int]) -> Iterator[Known]:
    """Yields simulated glitches of every class that has a place."""
    for label in (name for name in CLASSES if name != "No_Glitch"):
        for number in range(per_class):
            rng = np.random.default_rng([seed, CLASSES.index(label), number])
            detector = str(rng.choice(["H1", "L1"]))
            wave = GLITCHES[label](rng)
            heard = wave + background(rng, detector, DARK.get(label))
            pictures = [resize(spectrogram(one), *shape) for one in energies(heard)]
            alone = np.stack([box(one.clip(0, MOST), *shape) for one in energies(wave)])
            most = alone.max((1, 2), keepdims=True)
            inside = (alone >= most / 2) & (most > 6)
            yield Known(np.stack(pictures), np.stack([maximum_filter(one, 5) for one in inside]))


def energies(whitened: np.ndarray) -> np.ndarray:
    """Returns the energies of the four windows."""
    with jax.enable_x64(True):
        return np.asarray(scan_whitened(whitened, np.float64(SECONDS / 2)).energies)


def box(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns an energy map at the size of a picture."""
    return np.asarray(jax.image.resize(jnp.asarray(values), (height, width), "linear"))


def measured(predictor: Predictor, method: Method, known: list[Known]) -> tuple[str, ...]:
    """Returns what is measured of a method, see the module's docstring."""
    pointing, within, left, seconds = [], [], [], []
    for one in known:
        pictures = list(one.pictures)
        label = predictor.classes[int(predictor.scores([pictures]).argmax())]
        start = time.perf_counter()
        maps = method(one.pictures, label)
        seconds.append(time.perf_counter() - start)
        gone = [made_even(*pair) for pair in zip(pictures, maps, strict=True)]
        scores = predictor.scores([[picture] for picture in gone])
        without = np.exp(jax.nn.log_softmax(scores))[:, predictor.classes.index(label)]
        for found, place, rest in zip(maps, one.inside, without, strict=True):
            if place.any():
                pointing.append(place.flat[found.argmax()])
                within.append(found[place].sum() / max(found.sum(), 1e-12))
                left.append(rest)
    shares = (f"{np.mean(share):.3f}" for share in (pointing, within, left))
    return (*shares, f"{np.median(seconds):.2f}")


def made_even(picture: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Returns a picture whose places where the map is highest have its median colour."""
    order = np.argsort(found, axis=None)[-int(EVEN_SHARE * found.size) :]
    changed = picture.reshape(-1, 3).copy()
    changed[order] = np.median(changed, axis=0)
    return changed.reshape(picture.shape)


def methods(predictor: Predictor) -> Mapping[str, Method]:
    """Returns the methods by name."""

    def with_features(kind: str) -> Method:
        return lambda views, label: np.asarray(
            cam(predictor, kind, jnp.asarray(views), predictor.outputs.index(label))
        )

    def by_slopes(*shares: float) -> Method:
        return lambda views, label: smooth(
            np.asarray(rises(predictor, shares, views, predictor.outputs.index(label)))
        )

    return {
        "chance": lambda views, _: np.random.default_rng(0).random(views.shape[:3]),
        "brightness of the picture": brightness,
        "Grad-CAM": with_features("grad-cam"),
        "HiResCAM": with_features("hirescam"),
        "LayerCAM": with_features("layercam"),
        "gradient, absolute": by_slopes(),
        "gradient times distance": by_slopes(1.0),
        f"**the same at {TOWARDS} of the way**": lambda views, label: saliency(
            predictor, list(views), label
        ),
        "integrated gradients, 4 steps": by_slopes(0.125, 0.375, 0.625, 0.875),
        OCCLUSION: partial(occlusion, predictor),
    }


def brightness(views: np.ndarray, _: str) -> np.ndarray:
    """Returns how far the green of each place is above its window's median."""
    green = views[..., 1].astype(float)
    return smooth(green - np.median(green, axis=(1, 2), keepdims=True))


def smooth(maps: np.ndarray) -> np.ndarray:
    """Returns maps smoothed as `saliency` does."""
    blur = BLUR * maps.shape[1]
    return gaussian_filter(maps.astype(float), (0, blur, blur)).clip(min=0)


@partial(jax.jit, static_argnums=(0, 1))
def cam(predictor: Predictor, kind: str, views: jax.Array, number: int) -> jax.Array:
    """Returns the maps that the last feature maps and their slopes give.

    Selvaraju et al. 2017 (arXiv:1610.02391), Draelos and Carin 2020 (arXiv:2011.08891), Jiang et
    al. 2021 (doi:10.1109/TIP.2021.3089943).
    """
    model = inference_mode(nnx.merge(predictor.graphdef, predictor.state, copy=True))
    mask = jnp.ones((len(views), 1), bool)
    features = model.features(standardise(views[:, None], predictor.preprocessing), mask)

    def score(features: jax.Array) -> jax.Array:
        return model.classify(model.embed(features))[..., number].sum()

    slopes, features = jax.grad(score)(features)[:, 0], features[:, 0]
    if kind == "grad-cam":
        slopes = jnp.broadcast_to(slopes.mean((1, 2), keepdims=True), slopes.shape)
    if kind == "layercam":
        slopes = jnp.maximum(slopes, 0)
    maps = jnp.maximum((slopes * features).sum(-1), 0)
    return jax.image.resize(maps, views.shape[:3], "linear")


@partial(jax.jit, static_argnums=(0, 1))
def rises(
    predictor: Predictor, shares: tuple[float, ...], views: jax.Array, number: int
) -> jax.Array:
    """Returns mean slopes on the way from an even window, times the distance; or absolute ones."""
    model = inference_mode(nnx.merge(predictor.graphdef, predictor.state, copy=True))
    mask = jnp.ones((len(views), 1), bool)
    shown = jnp.asarray(views, jnp.float32)
    even = jnp.median(shown, axis=(1, 2), keepdims=True)

    def score(pictures: jax.Array) -> jax.Array:
        views = standardise(pictures[:, None], predictor.preprocessing)
        return model(views, mask)[..., number].sum()

    if not shares:
        return jnp.abs(jax.grad(score)(shown)).sum(-1)
    slopes = sum(jax.grad(score)(even + share * (shown - even)) for share in shares) / len(shares)
    return (slopes * (shown - even)).sum(-1)


def occlusion(predictor: Predictor, views: np.ndarray, label: str) -> np.ndarray:
    """Returns how much a class's score falls where a patch has the window's median colour."""
    number = predictor.classes.index(label)
    before = predictor.scores([[view] for view in views])[:, number]
    even = np.median(views, axis=(1, 2), keepdims=True).astype(np.uint8)
    rows, columns = (range(0, side, PATCH) for side in views.shape[1:3])
    maps = np.zeros((len(views), len(rows), len(columns)))
    for place in np.ndindex(maps.shape[1:]):
        top, left = (PATCH * number for number in place)
        covered = views.copy()
        covered[:, top : top + PATCH, left : left + PATCH] = even
        after = predictor.scores([[view] for view in covered])[:, number]
        maps[:, *place] = (before - after).clip(min=0)
    return np.asarray(jax.image.resize(maps, views.shape[:3], "linear"))


if __name__ == "__main__":
    main()
