"""The networks of the DCGAN: shapes, gradients, and what their layers compute."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from flax_glitch.models.dcgan import LATENT, Discriminator, Generator, Upscale

WIDTH, CLASSES = 2, 8

RNG = np.random.default_rng(0)


def quick(seed):
    return nnx.Rngs(jax.random.key(seed, impl="rbg"))


def one_hot(*labels):
    return jax.nn.one_hot(jnp.array(labels), CLASSES)


def normal(*shape):
    return jnp.asarray(RNG.standard_normal(shape), jnp.float32)


@nnx.jit
def outcome(network, *inputs):
    return network(*inputs)


@pytest.fixture(scope="module")
def generator():
    return nnx.view(Generator(WIDTH, CLASSES, rngs=quick(0)), use_running_average=True)


@pytest.fixture
def discriminator():
    return Discriminator(WIDTH, CLASSES, rngs=quick(1))


@pytest.mark.parametrize("glitches", [1, 3])
def test_any_number_of_glitches_is_made_and_judged(glitches, generator, discriminator):
    classes = one_hot(*range(glitches))
    pictures = outcome(generator, normal(glitches, LATENT), classes)
    assert pictures.shape == (glitches, 64, 64, 4)
    assert np.abs(pictures).max() <= 1
    assert outcome(discriminator, pictures, classes).shape == (glitches,)


def test_every_parameter_of_both_networks_gets_a_gradient(generator, discriminator):
    # All classes: each has weights of its own at the discriminator's end.
    classes, latent = one_hot(*range(CLASSES)), normal(CLASSES, LATENT)
    learning = nnx.view(generator, use_running_average=False)
    graph, parameters, rest = nnx.split(nnx.List([learning, discriminator]), nnx.Param, ...)

    def score(parameters):
        make, judge = nnx.merge(graph, parameters, rest, copy=True)
        return jnp.square(judge(make(latent, classes), classes)).sum()

    slopes = jax.jit(jax.grad(score))(parameters)
    for path, slope in jax.tree_util.tree_leaves_with_path(slopes):
        assert np.isfinite(slope).all(), path
        assert np.abs(slope).max() > 1e-9, path


def test_a_glitch_is_made_the_same_alone_as_among_others(generator):
    classes, latent = one_hot(3, 7, 3), normal(3, LATENT)
    alone = outcome(generator, latent[1:2], classes[1:2])
    np.testing.assert_allclose(outcome(generator, latent, classes)[1:2], alone, atol=1e-5)


def test_class_and_random_numbers_change_the_picture_and_the_class_the_score(
    generator, discriminator
):
    latent = normal(2, LATENT)[jnp.array([0, 0, 1])]
    first, other_class, other_numbers = outcome(generator, latent, one_hot(3, 7, 3))
    assert np.abs(first - other_class).max() > 1e-3
    assert np.abs(first - other_numbers).max() > 1e-3
    scores = outcome(discriminator, jnp.stack([first] * 3), one_hot(3, 7, 3))
    assert scores[0] == scores[2] != scores[1]


def test_upscaling_is_a_transposed_convolution_of_six_by_six_and_stride_two():
    layer = Upscale(3, 2, rngs=nnx.Rngs(0))
    kernel = np.asarray(layer.conv.kernel[...]).reshape(3, 3, 3, 2, 2, 2)
    stamp = np.zeros((6, 6, 3, 2))
    for row, column, a, b in np.ndindex(3, 3, 2, 2):
        stamp[4 - 2 * row + a, 4 - 2 * column + b] = kernel[row, column, :, a, b]
    x = normal(1, 4, 5, 3)
    spread = np.zeros((12, 14, 2))
    for row, column in np.ndindex(4, 5):
        place = np.s_[2 * row : 2 * row + 6, 2 * column : 2 * column + 6]
        spread[place] += np.einsum("c,ijcd->ijd", x[0, row, column], stamp)
    np.testing.assert_allclose(layer(x)[0], spread[2:-2, 2:-2], atol=1e-5)


def test_the_discriminators_layers_come_to_spectral_norm_one(discriminator):
    x = normal(1, 64, 64, 4)
    for _ in range(40):
        outcome(discriminator, x, one_hot(0))
    for layer in (*discriminator.stages, discriminator.end):
        kernel = np.asarray(layer.layer_instance.kernel[...])
        assert np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), 2) == pytest.approx(1, abs=0.03)
