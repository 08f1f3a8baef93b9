"""The architectures equal Keras' networks on the same weights, block by block."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from keras_oracle import block_outputs, carry, flax_place, keras_backbone, relative_error

from flax_glitch.models import resnet, vgg, xception
from flax_glitch.models.layers import Maker
from flax_glitch.models.systems import MODELS

BLOCKS = {
    "resnet50": ("stem", *resnet.BLOCKS),
    "vgg16": tuple(vgg.BLOCKS),
    "xception": xception.BLOCKS,
}
SIZES = {"resnet50": (64, 75), "vgg16": (32, 47), "xception": (71, 101)}
"""Maps of Xception have odd sides only, and even ones only until they are 3 pixels wide."""

KINDS = {"vgg16": ("block1", "block5"), "xception": ("block1", "block2", "block5", "block14")}
"""One block of each kind; `test_classifier` has the gradients of ResNet50, equal to Keras'."""

PARAMETERS = {"resnet50": 23_587_712, "vgg16": 14_714_688, "xception": 20_861_480}
"""As Keras counts them (its documentation of `include_top=False`)."""


@pytest.fixture(scope="module", params=BLOCKS)
def theirs(request):
    pytest.importorskip("keras")
    return keras_backbone(request.param)


@pytest.fixture(scope="module")
def ours(theirs):
    return carried(theirs)


@pytest.fixture(scope="module")
def our_maps(ours, theirs):
    """Our maps by size of the pictures, computed once."""
    return functools.cache(lambda size: outputs(ours, theirs.name, made_pictures(size)))


def carried(theirs, dtype=jnp.float32):
    backbone = MODELS[theirs.name].backbone
    module = nnx.eval_shape(lambda: backbone(Maker(nnx.Rngs(0), dtype=dtype)))
    carry(theirs, module)
    return module


def split(backbone, *, training=False):
    """Returns the graph, parameters and statistics; VGG16 has no mode to be set."""
    view = nnx.view(backbone, use_running_average=not training, raise_if_not_found=False)
    return nnx.split(view, nnx.Param, ...)


def made_pictures(size):
    return np.random.default_rng(1).normal(size=(2, size, size, 3)).astype(np.float32)


def outputs(backbone, name, pictures):
    """Returns the maps that come out of each block, and those of the whole."""
    graph, *state = split(backbone)

    @jax.jit
    def run(state, x):
        model, found = nnx.merge(graph, *state), [x]
        for block in BLOCKS[name]:
            found.append(getattr(model, block)(found[-1]))
        return found[1:], model(x)

    return run(state, jnp.asarray(pictures))


@pytest.mark.parametrize("which", [0, 1])
def test_each_block_and_the_whole_equal_those_of_keras(ours, our_maps, theirs, which):
    size = SIZES[theirs.name][which]
    found, whole = our_maps(size)
    expected = block_outputs(theirs)(made_pictures(size))
    for name, maps, truth in zip(BLOCKS[theirs.name], found, expected, strict=True):
        assert relative_error(maps, truth) < 1e-4, name
    assert relative_error(whole, expected[-1]) < 1e-4
    assert whole.shape[-1] == ours.features


def test_the_numbers_of_parameters_are_those_of_keras(ours, theirs):
    sizes = [array.size for array in jax.tree.leaves(nnx.state(ours))]
    assert sum(sizes) == theirs.count_params() == PARAMETERS[theirs.name]


def test_layer_names_are_those_of_keras(ours, theirs):
    places = {flax_place(variable.path): variable.path for variable in theirs.variables}
    assert set(places) == {place for place, _ in nnx.to_flat_state(nnx.state(ours))}
    for place, path in places.items():
        assert ours.layer_name(place[:-1]) == path.split("/")[0]


@pytest.mark.parametrize("shape", [(224, 224), (299, 170)])
def test_feature_maps_have_the_size_of_those_of_keras(ours, theirs, shape):
    graph, *state = split(ours)
    pictures = jax.ShapeDtypeStruct((1, *shape, 3), jnp.float32)
    maps = jax.eval_shape(lambda state, x: nnx.merge(graph, *state)(x), state, pictures)
    assert maps.shape == theirs.compute_output_shape(pictures.shape)


def test_in_bfloat16_the_maps_are_near_those_in_float32(our_maps, theirs):
    half = carried(theirs, jnp.bfloat16)
    size = SIZES[theirs.name][0]
    blocks, found = outputs(half, theirs.name, made_pictures(size))
    assert {maps.dtype for maps in (*blocks, found)} == {jnp.dtype("bfloat16")}
    assert all(array.dtype == jnp.float32 for array in jax.tree.leaves(nnx.state(half)))
    _, expected = our_maps(size)
    assert relative_error(found.astype(jnp.float32), expected) < 0.1


@pytest.mark.parametrize("theirs", KINDS, indirect=True)
def test_every_parameter_gets_a_finite_gradient_that_is_not_zero(ours, our_maps, theirs):
    size = SIZES[theirs.name][0]
    inputs = [jnp.asarray(made_pictures(size)), *our_maps(size)[0]]
    for name, x in zip(BLOCKS[theirs.name], inputs, strict=False):
        if name in KINDS[theirs.name]:
            for place, gradient in nnx.to_flat_state(gradients(getattr(ours, name), x)):
                assert np.isfinite(gradient[...]).all(), (name, place)
                assert (np.abs(gradient[...]) > 0).mean() > 0.2, (name, place)


def gradients(block, x):
    graph, parameters, statistics = split(block, training=True)

    @jax.jit
    @jax.grad
    def gradients_of(parameters):
        return jnp.sum(nnx.merge(graph, parameters, statistics, copy=True)(x) ** 2)

    return gradients_of(parameters)
