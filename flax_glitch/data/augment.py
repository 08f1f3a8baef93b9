"""Random mirror, zoom and shift of training pictures."""

from dataclasses import dataclass
from types import MappingProxyType

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from flax_glitch.arrays import AnyArray, Key, Pictures, RawViews

Chosen = Bool[AnyArray, " batch"]
"""Which glitches of a batch are meant."""

Coordinates = Float[Array, "batch size"]
"""For each row or column of a varied picture, the place in the original, pixels."""


@dataclass(frozen=True)
class Variation:
    """How far pictures are varied.

    Attributes:
        mirror: Whether to mirror half of the glitches in time.
        zoom: The stretch is drawn from 1 - zoom to 1 + zoom; at least 0, below 1.
        shift: The shift is drawn from -shift to shift, as a fraction of the picture; 0 to 1.
    """

    mirror: bool = False
    zoom: float = 0.0
    shift: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.zoom < 1 and 0 <= self.shift <= 1):
            raise ValueError(f"zoom {self.zoom} must be 0 to below 1 and shift {self.shift} 0 to 1")


VARIATIONS = MappingProxyType({"none": Variation(), "report": Variation(mirror=True, zoom=0.1)})
"""The variations that settings name; report: the mirror and zoom that the report considered."""


def augment(
    pictures: RawViews, key: Key, variation: Variation, chosen: Chosen | None = None
) -> Pictures:
    """Returns the pictures varied at random, all views of a glitch alike, still 0 to 255.

    As Keras' ImageDataGenerator: linear interpolation about the picture's centre, and the colour
    of the nearest edge where a picture no longer reaches; time and frequency are drawn apart.

    Args:
        pictures: The pictures of a batch of glitches.
        key: Decides every draw.
        variation: How far.
        chosen: Which glitches to vary; all if not given.
    """
    values = jnp.asarray(pictures, jnp.float32)
    if variation == Variation():
        return values
    glitches, height, width = values.shape[0], *values.shape[2:4]
    chosen = jnp.ones(glitches, bool) if chosen is None else jnp.asarray(chosen)
    row_key, column_key, mirror_key = jax.random.split(key, 3)
    rows = _coordinates(row_key, height, variation, chosen)
    columns = _coordinates(column_key, width, variation, chosen)
    if variation.mirror:
        mirrored = jax.random.bernoulli(mirror_key, shape=(glitches,)) & chosen
        columns = jnp.where(mirrored[:, None], width - 1 - columns, columns)
    return jnp.einsum(
        "bij,bvjkc,blk->bvilc",
        _interpolation(rows),
        values,
        _interpolation(columns),
        precision="highest",
    )


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
