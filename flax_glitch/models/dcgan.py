"""DCGAN: a generator of glitches and the discriminator that it learns from.

Radford et al. 2015 (arXiv:1511.06434): convolutions of stride 2 in place of pooling, batch
normalisation and ReLU in the generator, leaky ReLU in the discriminator, tanh at the end. Both are
told the class. The discriminator's layers are held by their spectral norm in place of batch
normalisation (Miyato et al. 2018, arXiv:1802.05957), because that trains more steadily.
"""

from itertools import pairwise

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from flax_glitch.classes import DURATIONS
from flax_glitch.models.layers import Conv, batch_norm, dense

SIDE = 64
"""Height and width of a generated picture, pixels."""

LATENT = 64
"""Random numbers that a glitch is made of."""

START = 4
"""Height and width of the generator's first maps, and of the discriminator's last."""

LEAK = 0.2
"""Slope of leaky ReLU below zero."""

Maps = Float[Array, "glitch 64 64 4"]
"""The four windows of glitches, -1 (dark) to 1 (bright)."""

ClassVectors = Float[Array, "glitch class"]
"""1 for a glitch's class, 0 for all others."""


class Generator(nnx.Module):
    """Random numbers and a class to the four windows of a glitch.

    The largest maps have `width` channels, and each smaller stage has twice as many.
    """

    def __init__(self, width: int, classes: int, *, rngs: nnx.Rngs) -> None:
        widths = [8 * width, 4 * width, 2 * width, width, len(DURATIONS)]
        self.classes = classes
        self.start = dense(LATENT + classes, START**2 * widths[0], rngs=rngs)
        self.stages = nnx.List([Upscale(a, b, rngs=rngs) for a, b in pairwise(widths)])
        norms = [batch_norm(w, momentum=0.9, epsilon=1e-5, rngs=rngs) for w in widths[:-1]]
        self.norms = nnx.List(norms)

    def __call__(self, latent: Float[Array, "glitch latent"], classes: ClassVectors) -> Maps:
        """Returns pictures; the mode of the batch normalisation must have been set."""
        x = self.start(jnp.concatenate([latent, classes], axis=1))
        x = x.reshape(len(x), START, START, -1)
        for norm, stage in zip(self.norms, self.stages, strict=True):
            x = stage(jax.nn.relu(norm(x)))
        return jnp.tanh(x)


class Discriminator(nnx.Module):
    """The four windows of a glitch and its class to one score: high for pictures that are real."""

    def __init__(self, width: int, classes: int, *, rngs: nnx.Rngs) -> None:
        widths = [len(DURATIONS), width, 2 * width, 4 * width, 8 * width]
        layers = [Conv(a, b, 4, stride=2, padding=1, rngs=rngs) for a, b in pairwise(widths)]
        self.stages = nnx.List([nnx.SpectralNorm(layer, rngs=rngs) for layer in layers])
        end = dense(START**2 * widths[-1], classes, rngs=rngs)
        self.end = nnx.SpectralNorm(end, rngs=rngs)

    def __call__(self, pictures: Maps, classes: ClassVectors) -> Float[Array, " glitch"]:
        """Returns the scores and renews the estimates of the spectral norms."""
        x = pictures
        for stage in self.stages:
            x = jax.nn.leaky_relu(stage(x), LEAK)
        return jnp.sum(self.end(x.reshape(len(x), -1)) * classes, axis=1)


class Upscale(nnx.Module):
    """Fractionally strided convolution: maps twice as high and wide.

    Computed as a convolution to four times the channels, which are then laid out as 2 by 2 pixels
    (Shi et al. 2016, arXiv:1609.05158): the same as a transposed one of 6 by 6 and stride 2, whose
    gradient takes XLA ten times as long on CPUs.
    """

    def __init__(self, in_features: int, out_features: int, *, rngs: nnx.Rngs) -> None:
        self.conv = Conv(in_features, 4 * out_features, 3, padding=1, rngs=rngs)

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n 2*h 2*w d"]:
        """Returns the maps twice as large."""
        n, h, w, _ = x.shape
        pixels = self.conv(x).reshape(n, h, w, 2, 2, -1)
        return pixels.transpose(0, 1, 3, 2, 4, 5).reshape(n, 2 * h, 2 * w, -1)
