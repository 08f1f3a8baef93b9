"""Random mirror, zoom and shift of training pictures."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from flax_glitch.arrays import Key, Pictures, RawViews

Coordinates = Float[Array, "batch size"]
"""For each row or column of a varied picture, the place in the original, pixels."""


def augment(pictures: RawViews, key: Key, *, mirror: bool, zoom: float, shift: float) -> Pictures:
    """Returns the pictures varied at random, all views of a glitch alike, still 0 to 255.

    As Keras' ImageDataGenerator: linear interpolation about the picture's centre, and the colour
    of the nearest edge where a picture no longer reaches; time and frequency are drawn apart.

    Args:
        pictures: The pictures of a batch of glitches.
        key: Decides every draw.
        mirror: Whether to mirror half of the glitches in time.
        zoom: The stretch is drawn from 1 - zoom to 1 + zoom; at least 0, below 1.
        shift: The shift is drawn from -shift to shift, as a fraction of the picture; 0 to 1.

    Raises:
        ValueError: if zoom or shift are out of range.
    """
    if not (0 <= zoom < 1 and 0 <= shift <= 1):
        raise ValueError(f"zoom {zoom} must be 0 to below 1 and shift {shift} 0 to 1")
    values = jnp.asarray(pictures, jnp.float32)
    if not (mirror or zoom or shift):
        return values
    glitches, size = values.shape[0], values.shape[2]
    row_key, column_key, mirror_key = jax.random.split(key, 3)
    rows = _coordinates(row_key, glitches, size, zoom, shift)
    columns = _coordinates(column_key, glitches, size, zoom, shift)
    if mirror:
        mirrored = jax.random.bernoulli(mirror_key, shape=(glitches, 1))
        columns = jnp.where(mirrored, size - 1 - columns, columns)
    return jnp.einsum(
        "bij,bvjkc,blk->bvilc",
        _interpolation(rows),
        values,
        _interpolation(columns),
        precision="highest",
    )


def _coordinates(key: Key, glitches: int, size: int, zoom: float, shift: float) -> Coordinates:
    zoom_key, shift_key = jax.random.split(key)
    stretch = jax.random.uniform(zoom_key, (glitches, 1), minval=1 - zoom, maxval=1 + zoom)
    moved = size * jax.random.uniform(shift_key, (glitches, 1), minval=-shift, maxval=shift)
    centre = (size - 1) / 2
    places = jnp.arange(size)[None] - centre
    return jnp.clip(places * stretch + moved + centre, 0, size - 1)


def _interpolation(coordinates: Coordinates) -> Float[Array, "batch size size"]:
    """Linear interpolation as a matrix: it gives the same on every device, with no gather."""
    distance = coordinates[..., None] - jnp.arange(coordinates.shape[1])[None, None]
    return jnp.maximum(0.0, 1.0 - jnp.abs(distance))
