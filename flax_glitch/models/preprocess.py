"""Pictures of 0 to 255 made the numbers that a network was trained on: here and nowhere else."""

import jax.numpy as jnp

from flax_glitch.arrays import Pictures, Pixels
from flax_glitch.config import Preprocessing

LUMINANCE = (0.299, 0.587, 0.114)
"""Share of red, green and blue in grey (ITU-R BT.601)."""

IMAGENET_MEAN = (103.939, 116.779, 123.68)
"""Mean blue, green and red over ImageNet, 0 to 255 (Keras' caffe mode)."""


def standardise(pictures: Pixels | Pictures, preprocessing: Preprocessing) -> Pictures:
    """Returns pictures of 0 to 255 as the numbers that the network was trained on.

    Args:
        pictures: Pictures with any leading axes; each is treated by itself.
        preprocessing: Its `size` is not looked at: see `resize`.
    """
    values = jnp.asarray(pictures, jnp.float32)
    if preprocessing.colour == "grayscale":
        grey = jnp.matmul(values, jnp.asarray(LUMINANCE, jnp.float32), precision="highest")
        values = jnp.broadcast_to(grey[..., None], values.shape)
    match preprocessing.normalise:
        case "samplewise":
            return _samplewise(values)
        case "unit":
            return values / 255.0
        case "caffe":
            mean = jnp.asarray(IMAGENET_MEAN, jnp.float32)
            return values[..., ::-1] - jnp.broadcast_to(mean, values.shape)
        case "tf":
            return values / 127.5 - 1.0


def _samplewise(values: Pictures) -> Pictures:
    """As Keras' ImageDataGenerator: 1/255, minus the mean, over the standard deviation."""
    values = values / 255.0
    centred = values - values.mean((-3, -2, -1), keepdims=True)
    return centred / (values.std((-3, -2, -1), keepdims=True) + 1e-6)
