"""Training pictures varied at random: mirrored, zoomed, shifted, of other contrast, unsharp."""

from dataclasses import dataclass
from types import MappingProxyType

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from flax_glitch.arrays import AnyArray, Key, Pictures, RawViews

Coordinates = Float[Array, "batch size"]
"""For each row or column of a varied picture, the place in the original, pixels."""


@dataclass(frozen=True)
class Variation:
    """How far pictures are varied.

    Attributes:
        mirror: Whether to mirror half of the glitches in time.
        zoom: The stretch is drawn from 1 - zoom to 1 + zoom; at least 0, below 1.
        shift: The shift is drawn from -shift to shift, as a fraction of the picture; 0 to 1.
        gain: Values are multiplied by 1 - gain to 1 + gain, and up to a fifth of gain times the
            full scale is added or taken away.
        gamma: Values, as shares of the full scale, are raised to a power of 1 / (1 + gamma) to
            1 + gamma.
        light: Up to this share of the full scale is added to the pictures of every third glitch.
        blur: Share of glitches whose pictures are made unsharp, as if scaled down and up by two.
    """

    mirror: bool = False
    zoom: float = 0.0
    shift: float = 0.0
    gain: float = 0.0
    gamma: float = 0.0
    light: float = 0.0
    blur: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.zoom < 1 and 0 <= self.shift <= 1):
            raise ValueError(f"zoom {self.zoom} must be 0 to below 1 and shift {self.shift} 0 to 1")


VARIATIONS = MappingProxyType(
    {
        "none": Variation(),
        "report": Variation(mirror=True, zoom=0.1),
        "drift": Variation(zoom=0.04, shift=0.03, gain=0.25, gamma=0.4, light=0.2, blur=0.35),
    }
)
"""The variations that settings name. report: the mirror and zoom that the report considered; drift:
what differs between plots of one glitch in papers, editions and notebooks."""


def augment(
    pictures: RawViews,
    key: Key,
    variation: Variation,
    chosen: Bool[AnyArray, " batch"] | None = None,
) -> Pictures:
    """Returns the pictures of the chosen glitches, or of all, varied at random, their views alike.

    Values stay from 0 to 255, but for what `gain` adds. Zoom and shift are as in Keras'
    ImageDataGenerator: linear interpolation about the picture's centre, and the colour of the
    nearest edge where a picture no longer reaches. Those of time and of frequency are drawn apart.
    """
    values = jnp.asarray(pictures, jnp.float32)
    if variation == Variation():
        return values
    glitches, height, width = values.shape[0], *values.shape[2:4]
    chosen = jnp.ones(glitches, bool) if chosen is None else jnp.asarray(chosen)
    row_key, column_key, mirror_key, gain_key, blur_key = jax.random.split(key, 5)
    rows = _coordinates(row_key, height, variation, chosen)
    columns = _coordinates(column_key, width, variation, chosen)
    if variation.mirror:
        mirrored = jax.random.bernoulli(mirror_key, shape=(glitches,)) & chosen
        columns = jnp.where(mirrored[:, None], width - 1 - columns, columns)
    blurred = jax.random.bernoulli(blur_key, variation.blur, (glitches,)) & chosen
    moved = jnp.einsum(
        "bij,bvjkc,blk->bvilc",
        _unsharp(_interpolation(rows), blurred),
        values,
        _unsharp(_interpolation(columns), blurred),
        precision="highest",
    )
    return _shaded(moved, gain_key, variation, chosen) if variation.gain else moved


def _coordinates(key: Key, size: int, variation: Variation, chosen: jax.Array) -> Coordinates:
    zoom_key, shift_key = jax.random.split(key)
    drawn = (len(chosen), 1)
    varied = chosen[:, None]
    zoom, shift = variation.zoom, variation.shift
    stretch = jax.random.uniform(zoom_key, drawn, minval=1 - zoom, maxval=1 + zoom)
    moved = size * jax.random.uniform(shift_key, drawn, minval=-shift, maxval=shift)
    centre = (size - 1) / 2
    places = jnp.arange(size)[None] - centre
    stretched = places * jnp.where(varied, stretch, 1.0) + jnp.where(varied, moved, 0.0)
    return jnp.clip(stretched + centre, 0, size - 1)


def _interpolation(coordinates: Coordinates) -> Float[Array, "batch size size"]:
    """Linear interpolation as a matrix: it gives the same on every device, with no gather."""
    distance = coordinates[..., None] - jnp.arange(coordinates.shape[1])[None, None]
    return jnp.maximum(0.0, 1.0 - jnp.abs(distance))


def _unsharp(
    interpolation: Float[Array, "batch size size"], blurred: Bool[Array, " batch"]
) -> Float[Array, "batch size size"]:
    """Where blurred, each row or column becomes the mean of its pair."""
    size = interpolation.shape[1]
    first = np.arange(size) // 2 * 2
    second = np.minimum(first + 1, size - 1)
    paired = (interpolation[:, first] + interpolation[:, second]) / 2
    return jnp.where(blurred[:, None, None], paired, interpolation)


def _shaded(values: Pictures, key: Key, variation: Variation, chosen: jax.Array) -> Pictures:
    """Returns pictures of more or less contrast and brightness, as figures copied again are."""
    drawn = jax.random.uniform(key, (5, len(chosen)), minval=-1.0, maxval=1.0)
    contrast, offset, bend, light, whether = (
        jnp.where(chosen, each, 0.0)[:, None, None, None, None] for each in drawn
    )
    power = (1 + variation.gamma) ** bend
    added = variation.gain * offset / 5 + variation.light * jnp.abs(light) * (whether > 1 / 3)
    bent = jnp.clip(values / 255.0, 0.0, 1.0) ** power
    return 255.0 * (bent * (1 + variation.gain * contrast) + added)
