"""The shared layers compute what Keras' layers compute."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from keras_oracle import arrays, relative_error

from flax_glitch.models.layers import Conv, SeparableConv, batch_norm, dense

RANDOM = np.random.default_rng(3)


def made_conv(size, stride, padding, dtype=jnp.float32):
    conv = Conv(3, 5, size, stride=stride, padding=padding, dtype=dtype, rngs=nnx.Rngs(0))
    conv.bias[...] = jnp.asarray(RANDOM.normal(size=5), jnp.float32)
    return conv


@pytest.mark.parametrize("height, width", [(5, 7), (8, 8), (9, 7)])
@pytest.mark.parametrize("size, stride, padding", [(1, 1, 0), (1, 2, 0), (3, 1, 1), (7, 2, 3)])
def test_a_convolution_equals_keras_zero_padding_and_convolution(
    size, stride, padding, height, width
):
    keras = pytest.importorskip("keras")
    conv = made_conv(size, stride, padding)
    x = RANDOM.normal(size=(2, height, width, 3)).astype(np.float32)
    theirs = keras.layers.Conv2D(5, size, strides=stride)
    padded = keras.layers.ZeroPadding2D(padding)(x)
    theirs.build(padded.shape)
    theirs.set_weights([np.asarray(conv.kernel[...]), np.asarray(conv.bias[...])])
    assert relative_error(conv(jnp.asarray(x)), theirs(padded)) < 1e-5


def test_a_separable_convolution_and_its_gradients_equal_those_of_keras():
    keras = pytest.importorskip("keras")
    x = jnp.asarray(RANDOM.normal(size=(2, 5, 8, 3)), jnp.float32)
    graph, state = nnx.split(made_separable())
    theirs = keras.layers.SeparableConv2D(5, 3, padding="same", use_bias=False)
    theirs.build(x.shape)
    theirs.set_weights([np.asarray(kernel) for kernel in jax.tree.leaves(state)])
    weights = arrays(theirs.variables)
    found, gradients = jax.vjp(lambda state, x: nnx.merge(graph, state)(x), state, x)
    expected, truth = jax.vjp(lambda given, x: theirs.stateless_call(given, [], x)[0], weights, x)
    assert relative_error(found, expected) < 1e-5
    pairs = zip(*(jax.tree.leaves(back(expected)) for back in (gradients, truth)), strict=True)
    assert max(relative_error(*pair) for pair in pairs) < 1e-5


def made_separable(dtype=jnp.float32):
    return SeparableConv(3, 5, dtype=dtype, rngs=nnx.Rngs(0))


@pytest.mark.parametrize(
    "made", [partial(made_conv, 1, 1, 0), partial(made_conv, 3, 1, 1), made_separable]
)
def test_a_convolution_computes_in_bfloat16_near_float32_and_keeps_float32_weights(made):
    x = jnp.asarray(RANDOM.normal(size=(2, 8, 8, 3)), jnp.float32)
    half, full = made(jnp.bfloat16), made(jnp.float32)
    nnx.update(full, nnx.state(half))
    assert half(x).dtype == jnp.bfloat16
    assert {kernel.dtype for kernel in jax.tree.leaves(nnx.state(half))} == {jnp.dtype("float32")}
    assert relative_error(half(x).astype(jnp.float32), full(x)) < 0.02


def test_new_kernels_are_glorot_uniform_and_new_biases_zero():
    conv = Conv(64, 128, 3, rngs=nnx.Rngs(0))
    layer = dense(2048, 256, rngs=nnx.Rngs(0))
    depthwise = SeparableConv(2048, 1, rngs=nnx.Rngs(0)).depthwise_kernel
    fans = ((conv.kernel, 9 * (64 + 128)), (layer.kernel, 2048 + 256), (depthwise, 9 * (2048 + 1)))
    for kernel, fan in fans:
        limit = np.sqrt(6 / fan)
        kernel = np.asarray(kernel[...])
        assert np.abs(kernel).max() == pytest.approx(limit, rel=1e-3)
        assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=1e-2)
    assert not any(np.asarray(module.bias[...]).any() for module in (conv, layer))


@pytest.mark.parametrize("training", [False, True])
def test_batch_normalisation_equals_that_of_keras_and_its_moving_statistics_too(training):
    keras = pytest.importorskip("keras")
    x = RANDOM.normal(30.0, 0.1, size=(16, 6)).astype(np.float32)
    theirs = keras.layers.BatchNormalization(momentum=0.9, epsilon=1.001e-5)
    theirs.build(x.shape)
    ours = batch_norm(6, momentum=0.9, epsilon=1.001e-5, rngs=nnx.Rngs(0))
    made = [RANDOM.uniform(0.5, 1.5, 6).astype(np.float32) for _ in range(4)]
    theirs.set_weights(made)
    for array, value in zip((ours.scale, ours.bias, ours.mean, ours.var), made, strict=True):
        array[...] = jnp.asarray(value)
    ours = nnx.view(ours, use_running_average=not training)
    assert relative_error(ours(jnp.asarray(x)), theirs(x, training=training)) < 1e-4
    assert relative_error(ours.mean[...], theirs.moving_mean) < 1e-6
    assert relative_error(ours.var[...], theirs.moving_variance) < 1e-6


def test_batch_normalisation_without_a_mode_raises():
    with pytest.raises(ValueError, match="use_running_average"):
        batch_norm(6, momentum=0.9, epsilon=1e-3, rngs=nnx.Rngs(0))(jnp.ones((2, 6)))


def test_batch_normalisation_computes_in_float32_even_of_bfloat16():
    ours = nnx.view(
        batch_norm(6, momentum=0.9, epsilon=1e-3, rngs=nnx.Rngs(0)), use_running_average=True
    )
    assert ours(jnp.ones((2, 6), jnp.bfloat16)).dtype == jnp.float32
