"""The custom networks: their size and answers in Keras, and how windows are laid together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from keras_oracle import make_weights, relative_error

from flax_glitch.config import ModelConfig, Preprocessing
from flax_glitch.models.classifier import (
    build,
    inference_mode,
    parameters,
    side_by_side,
    training_mode,
)
from flax_glitch.models.stacks import RowsHead
from flax_glitch.models.systems import MODELS

STACKS = ("cnn-a", "cnn-b", "cnn-c", "gravityspy-cnn", "ann")
RANDOM = np.random.default_rng(4)
SMALL = Preprocessing(size=48, width=64)


def in_keras(name, preprocessing):
    """Returns the network in Keras, windows already side by side, logits out."""
    keras = pytest.importorskip("keras")
    layers, model = keras.layers, MODELS[name]
    stack, dense = model.backbone.keywords, model.head.keywords["widths"]
    scale = 2 if MODELS[name].merged else 1
    height, width = preprocessing.shape
    channels = 1 if preprocessing.colour == "grayscale" else 3
    x = inputs = keras.Input((scale * height, scale * width, channels))
    for features, size, _ in stack["convolutions"]:
        x = layers.Conv2D(features, size, padding="same", activation="relu")(x)
        x = layers.Dropout(0.5)(layers.MaxPooling2D()(x))
        x = layers.BatchNormalization()(x) if stack["normalised"] else x
    x = layers.Flatten()(x)
    for units in dense:
        x = layers.Dropout(0.5)(layers.Dense(units, activation="relu")(x))
    return keras.Model(inputs, layers.Dense(22)(x))


def without_arrays(name, preprocessing):
    model = ModelConfig(name, weights="none")
    return nnx.eval_shape(lambda: build(model, preprocessing, rngs=nnx.Rngs(0)))


def carry(theirs, ours):
    """Copies all weights, in the order of the layers."""
    rows = isinstance(ours.head, RowsHead)
    norms = iter([*ours.backbone.norms, *([ours.head.norm] if rows else [])])
    hidden = [] if rows else ours.head.hidden
    kernels = iter([*ours.backbone.convolutions, *hidden, ours.head.output])
    for layer in theirs.layers:
        values = {
            v.name: np.asarray(v) for v in layer.variables if v.name != "seed_generator_state"
        }
        if "moving_mean" in values:
            names = {"scale": "gamma", "bias": "beta", "mean": "moving_mean"}
            module, names = next(norms), names | {"var": "moving_variance"}
        elif values and "kernel" in values:
            module, names = next(kernels), {name: name for name in values}
        else:
            continue
        for ours_name, theirs_name in names.items():
            getattr(module, ours_name).set_value(jnp.asarray(values[theirs_name]))


@pytest.mark.parametrize("name", STACKS)
def test_keras_counts_the_same_parameters_at_the_report_s_size(name):
    preprocessing = MODELS[name].settings.preprocessing
    ours = parameters(ModelConfig(name, weights="none"), preprocessing)
    assert ours == in_keras(name, preprocessing).count_params()


@pytest.mark.parametrize("name", ["cnn-a", "cnn-b", "gravityspy-cnn", "ann"])
def test_on_the_same_weights_keras_gives_the_same_logits(name):
    theirs = in_keras(name, SMALL)
    make_weights(theirs)
    ours = without_arrays(name, SMALL)
    carry(theirs, ours)
    views = RANDOM.normal(size=(3, 4 if MODELS[name].merged else 1, 48, 64, 3)).astype(np.float32)
    ours = inference_mode(ours)
    found = jax.jit(lambda views: ours(views, np.ones(views.shape[:2], bool)))(views)
    pictures = mosaic(views) if MODELS[name].merged else views[:, 0]
    pictures = pictures[..., : theirs.input_shape[-1]]
    with jax.numpy_rank_promotion("allow"):
        expected = theirs(pictures)
    assert found.shape == (3, 1, 22)
    assert relative_error(found[:, 0], expected) < 1e-4


def mosaic(views):
    rows = [np.concatenate([views[:, n], views[:, n + 1]], axis=2) for n in (0, 2)]
    return np.concatenate(rows, axis=1)


def test_windows_lie_side_by_side_short_ones_above():
    greys = np.arange(1, 5, dtype=np.float32).reshape(1, 4, 1, 1, 1)
    merged = side_by_side(jnp.asarray(np.broadcast_to(greys, (1, 4, 2, 3, 1))))
    np.testing.assert_array_equal(
        merged[0, 0, :, :, 0], [[1] * 3 + [2] * 3] * 2 + [[3] * 3 + [4] * 3] * 2
    )


@pytest.fixture(scope="module")
def merged():
    return build(ModelConfig("gravityspy-cnn", weights="none"), SMALL, rngs=nnx.Rngs(0))


def test_a_missing_window_is_as_even_as_one_without_signal(merged):
    model = inference_mode(merged)
    views = RANDOM.normal(size=(1, 4, 48, 64, 3)).astype(np.float32)
    mask = np.array([[True, False, True, True]])
    emptied = np.where(mask[..., None, None, None], views, 0.0)
    np.testing.assert_array_equal(model(views, mask), model(emptied, np.ones((1, 4), bool)))
    assert np.abs(model(views, mask) - model(views, np.ones((1, 4), bool))).max() > 1e-3


def test_in_grey_only_one_channel_is_looked_at():
    grey = Preprocessing(size=32, colour="grayscale")
    model = inference_mode(build(ModelConfig("cnn-c", weights="none"), grey, rngs=nnx.Rngs(0)))
    views = RANDOM.normal(size=(2, 1, 32, 32, 3)).astype(np.float32)
    other = views.copy()
    other[..., 1:] = 0
    mask = np.ones((2, 1), bool)
    np.testing.assert_array_equal(model(views, mask), model(other, mask))


@pytest.mark.parametrize("name", ["cnn-a", "gravityspy-cnn"])
def test_every_parameter_gets_a_finite_gradient_and_dropout_is_a_function_of_the_key(name):
    settings = ModelConfig(name, weights="none", dropout=0.2)
    model = build(settings, SMALL, rngs=nnx.Rngs(0))
    graph, parameters, rest = nnx.split(training_mode(model, train_all=True), nnx.Param, ...)
    views = RANDOM.normal(size=(8, 4 if MODELS[name].merged else 1, 48, 64, 3)).astype(np.float32)

    @jax.jit
    def loss_of(parameters, key):
        logits = nnx.merge(graph, parameters, rest, copy=True)(
            views, np.ones(views.shape[:2], bool), key
        )
        return jnp.mean(jax.nn.logsumexp(logits, axis=-1) - logits[..., 3])

    gradients = jax.jit(jax.grad(loss_of))(parameters, jax.random.key(0))
    for place, gradient in nnx.to_flat_state(gradients):
        assert np.isfinite(gradient[...]).all() and np.abs(gradient[...]).max() > 0, place
    losses = [float(loss_of(parameters, jax.random.key(seed))) for seed in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]


def test_the_compact_network_is_what_keras_makes_of_its_layers():
    keras = pytest.importorskip("keras")
    layers = keras.layers
    x = inputs = keras.Input((48, 64, 1))
    for features, size, stride in MODELS["compact"].backbone.keywords["convolutions"]:
        x = layers.ZeroPadding2D(size // 2)(x)
        x = layers.Conv2D(features, size, stride, use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    rows = layers.Concatenate()([keras.ops.mean(x, 2), keras.ops.max(x, 2)])
    roots = keras.ops.sqrt(layers.Flatten()(rows) + 1e-4)
    theirs = keras.Model(inputs, layers.Dense(22)(layers.BatchNormalization()(roots)))
    make_weights(theirs)
    ours = without_arrays("compact", Preprocessing(48, 64, "grayscale"))
    carry(theirs, ours)
    views = RANDOM.normal(size=(3, 2, 48, 64, 3)).astype(np.float32)
    ours = inference_mode(ours)
    found = jax.jit(lambda views: ours(views, np.ones((3, 2), bool)))(views)
    with jax.numpy_rank_promotion("allow"):
        expected = theirs(views.reshape(6, 48, 64, 3)[..., :1])
    assert relative_error(found.reshape(6, 22), expected) < 1e-4
