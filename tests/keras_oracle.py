"""Keras' networks as the outside truth: made weights, carried into both networks.

Names are translated here anew, so that a wrong name in the package can't hide itself.
"""

import re
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

TO_FLAX = {
    "gamma": "scale",
    "beta": "bias",
    "moving_mean": "mean",
    "moving_variance": "var",
}
WIDTHS = {"dense1": 256, "dense2": 128, "dense3": 22}


NETWORKS = {"resnet50": "ResNet50", "vgg16": "VGG16", "xception": "Xception"}
ENDS = {
    "resnet50": r"pool1_pool|conv\d_block\d_out",
    "vgg16": r"block\d_pool",
    "xception": r"block1_conv2_act|add(_\d+)?|block14_sepconv2_act",
}
SHORTCUTS = {
    f"{kind}{number}": (block, kind)
    for kind in ("conv2d", "batch_normalization")
    for number, block in (("", "block2"), ("_1", "block3"), ("_2", "block4"), ("_3", "block13"))
}
"""The layers of Xception that Keras doesn't name but number."""


def keras_backbone(name, **settings):
    """Returns Keras' network for any size, without its top, with made weights."""
    import keras

    keras.backend.clear_session()  # or its numbers go on from those of other networks
    zeros = mock.Mock(side_effect=lambda shape, dtype: np.zeros(shape, dtype))
    with mock.patch.object(keras.initializers.GlorotUniform, "__call__", zeros):  # it is slow
        backbone = getattr(keras.applications, NETWORKS[name])(
            include_top=False, weights=None, input_shape=(None, None, 3), **settings
        )
    make_weights(backbone)
    return backbone


def block_outputs(model):
    """Returns a function of pictures that gives the output of each block of a Keras network."""
    import keras

    ends = [layer.output for layer in model.layers if re.fullmatch(ENDS[model.name], layer.name)]
    parts = keras.Model(model.input, ends)
    run = jax.jit(lambda *given: parts.stateless_call(*given)[0])
    trainable, others = arrays(parts.trainable_variables), arrays(parts.non_trainable_variables)
    return lambda pictures: run(trainable, others, pictures)


def keras_classifier():
    """Returns the report's network in Keras, logits out, stem to conv4 frozen, dropout zero."""
    import keras
    from keras import layers

    backbone = keras_backbone("resnet50", pooling="max")
    for layer in backbone.layers:
        layer.trainable = layer.name.startswith("conv5")
    x = layers.Flatten()(backbone.output)
    for number, (name, width) in enumerate(WIDTHS.items(), start=1):
        x = layers.BatchNormalization(name=f"norm{number}")(x)
        activation = None if name == "dense3" else "relu"
        x = layers.Dense(width, activation=activation, name=name)(x)
        x = x if name == "dense3" else layers.Dropout(0.0)(x)
    model = keras.Model(backbone.input, x)
    make_weights(model)
    return model


def make_weights(model):
    """Gives a Keras model random weights of sizes that keep activations near one."""
    random = np.random.default_rng(7)
    for variable in model.variables:
        variable.assign(_made(random, variable.path.split("/")[-1], tuple(variable.shape)))


def carry(model, module):
    """Copies all variables of a Keras model into the Flax module."""
    for variable in model.variables:
        if "seed_generator" not in variable.path:
            place = flax_place(variable.path)
            target = getattr(_layer(module, place[:-1]), place[-1])
            assert target.shape == tuple(variable.shape), variable.path
            target.set_value(jnp.asarray(np.asarray(variable)))


def arrays(variables):
    """Returns the arrays of Keras variables, as its stateless calls take them."""
    return [variable.value for variable in variables]


def flax_place(name):
    """Returns the place in the backbone or head of a Keras variable such as conv1_bn/gamma."""
    layer, array = name.split("/")
    path = SHORTCUTS.get(layer, (layer,))
    if inner := re.fullmatch(r"(conv\d_block\d)_(\d)_(conv|bn)", layer):
        path = inner[1], f"{inner[3]}_{inner[2]}"
    elif inner := re.fullmatch(r"(block\d+)_(\w+)", layer):
        path = inner.groups()
    return (*path, TO_FLAX.get(array, array) if re.search("bn$|norm", layer) else array)


def relative_error(found, expected):
    """Returns the greatest difference over the greatest expected number."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    return np.abs(found - expected).max() / np.abs(expected).max()


def _layer(module, path):
    if not hasattr(module, path[0]):
        module = module.head if hasattr(module.head, path[0]) else module.backbone
    for name in path:
        module = getattr(module, name)
    return module


def _made(random, kind, shape):
    if kind == "depthwise_kernel":
        return random.normal(0, 1 / 3, shape).astype(np.float32)
    if kind in ("kernel", "pointwise_kernel"):
        return random.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape).astype(np.float32)
    if kind in ("gamma", "moving_variance"):
        return random.uniform(0.5, 1.5, shape).astype(np.float32)
    return random.normal(0, 0.1, shape).astype(np.float32)
