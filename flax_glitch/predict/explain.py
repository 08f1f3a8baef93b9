"""Evidence for a verdict: where the network looked, and what its class is mixed up with."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, UInt8
from PIL import Image
from scipy.ndimage import binary_dilation, gaussian_filter

from flax_glitch.arrays import Mask, Picture, RawViews
from flax_glitch.classes import DURATIONS, readable
from flax_glitch.config import Preprocessing
from flax_glitch.models.classifier import inference_mode
from flax_glitch.models.preprocess import standardise
from flax_glitch.predict.predictor import Predictor

TOWARDS = 0.3
"""Share of the way from an even picture to the one shown at which slopes are taken."""

BLUR = 3 / 112
"""Standard deviation that maps are smoothed by, in heights of the picture."""

OUTLINED = 0.3
"""What is above this in a map lies inside of the line that is drawn."""

DIMMED = 0.45
"""Brightness that is left where a map is 0."""

Map = Float[np.ndarray, "row column"]
"""How much each place of a picture counts, 0 to 1."""


def saliency(
    predictor: Predictor, pixels: Sequence[Picture], label: str | None = None
) -> Float[np.ndarray, "view height width"]:
    """Returns how much each place of a glitch's pictures speaks for a class, 0 to 1 in each.

    A place counts for as much as the class's score would rise if it came up from the median colour
    of its window, by the slope near the beginning of that way: integrated gradients (Sundararajan
    et al. 2017, arXiv:1703.01365) of a single step. docs/evidence.md compares it with others.

    Args:
        predictor: the model.
        pixels: one to four windows at its size, such as `Prediction.pixels`.
        label: one of its classes; by default what it says of the windows together.
    """
    label = label or predictor.classes[int(predictor.scores([pixels]).argmax())]
    number = predictor.outputs.index(label)
    views, mask = _views(predictor, pixels)
    rises = _rises(
        predictor.graphdef, predictor.preprocessing, predictor.state, views, mask, number
    )
    maps = np.asarray(rises, float).reshape(-1, *views.shape[2:4])[: len(pixels)]
    blur = BLUR * maps.shape[1]
    maps = gaussian_filter(maps, (0, blur, blur)).clip(min=0)
    return maps / np.maximum(maps.max(axis=(1, 2), keepdims=True), np.finfo(float).tiny)


def overlay(picture: Picture, saliency_map: Map) -> Picture:
    """Returns a picture, of any size, with its map: what counts is outlined, the rest is dimmed."""
    height, width, _ = picture.shape
    scaled = Image.fromarray(saliency_map.astype(np.float32)).resize((width, height))
    strength = np.asarray(scaled)
    inside = strength > OUTLINED
    line = binary_dilation(inside, iterations=max(1, height // 200)) & ~inside
    bright = DIMMED + (1 - DIMMED) * (strength / OUTLINED).clip(0, 1)
    drawn = (picture * bright[..., None]).astype(np.uint8)
    drawn[line] = 255
    return drawn


def confused_with(predictor: Predictor, label: str) -> str:
    """Returns a sentence on what glitches that were called so really were, empty if unknown.

    They are those that the model card tells of, which the network had not seen.
    """
    confusion = predictor.provenance.get("confusion", {})
    true = {name: row[label] for name, row in confusion.items() if row.get(label)}
    total = sum(true.values())
    true.pop(label, None)
    if not total:
        return ""
    called = f"{total} real glitches that were called {readable(label)} in tests"
    most = sorted(true.items(), key=lambda item: -item[1])[:3]
    others = ", ".join(f"{n} {'was' if n == 1 else 'were'} {readable(name)}" for name, n in most)
    return f"Of {called}, {others}." if true else f"All {called} were that."


def _views(
    predictor: Predictor, pixels: Sequence[Picture]
) -> tuple[UInt8[np.ndarray, "batch view h w 3"], Bool[np.ndarray, "batch view"]]:
    """The pictures as a batch of one or four, or as the views of one glitch if merged."""
    size = len(DURATIONS) if predictor.merged or len(pixels) > 1 else 1
    shape = (1, size) if predictor.merged else (size, 1)
    views = np.zeros((size, *pixels[0].shape), np.uint8)
    views[: len(pixels)] = pixels
    mask = np.arange(size) < len(pixels)
    return views.reshape(*shape, *views.shape[1:]), mask.reshape(shape)


@partial(jax.jit, static_argnums=(0, 1))
def _rises(
    graphdef: nnx.GraphDef,
    preprocessing: Preprocessing,
    state: nnx.State,
    views: RawViews,
    mask: Mask,
    number: Array | int,
) -> Float[Array, "batch view h w"]:
    """Returns by how much an output rises at each place from its window's median, by its slope."""
    model = inference_mode(nnx.merge(graphdef, state, copy=True))
    shown = jnp.asarray(views, jnp.float32)
    even = jnp.median(shown, axis=(2, 3), keepdims=True)

    def score(pictures: Float[Array, "batch view h w 3"]) -> Array:
        return jnp.take(model(standardise(pictures, preprocessing), mask), number, axis=-1).sum()

    slopes = jax.grad(score)(even + TOWARDS * (shown - even))
    return jnp.sum(slopes * (shown - even), axis=-1)
