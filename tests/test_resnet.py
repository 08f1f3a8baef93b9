"""ResNet50 equals Keras' ResNet50 on the same weights, block by block."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from keras_oracle import arrays, carry, flax_place, keras_resnet, relative_error

from flax_glitch.models.resnet import BLOCKS, ResNet50


@pytest.fixture(scope="module")
def theirs():
    pytest.importorskip("keras")
    return keras_resnet()


@pytest.fixture(scope="module", params=[64, 75])
def both(request, theirs):
    """The outputs of the stem and each block: ours and Keras', by name."""
    import keras

    names = ["pool1_pool", *(f"{block}_out" for block in BLOCKS)]
    parts = keras.Model(theirs.input, [theirs.get_layer(name).output for name in names])
    run = jax.jit(lambda weights, statistics, x: parts.stateless_call(weights, statistics, x)[0])
    pictures = made_pictures(request.param)
    expected = run(
        arrays(parts.trainable_variables), arrays(parts.non_trainable_variables), pictures
    )
    return outputs(carried(theirs), pictures), dict(zip(["stem", *BLOCKS], expected, strict=True))


def made_pictures(size):
    return np.random.default_rng(1).normal(size=(2, size, size, 3)).astype(np.float32)


def without_arrays(dtype=jnp.float32):
    return nnx.eval_shape(lambda: ResNet50(dtype=dtype, rngs=nnx.Rngs(0)))


def carried(theirs, dtype=jnp.float32):
    ours = without_arrays(dtype)
    carry(theirs, ours)
    return ours


def outputs(backbone, pictures):
    graph, state = nnx.split(nnx.view(backbone, use_running_average=True))

    @jax.jit
    def run(state, x):
        model = nnx.merge(graph, state)
        whole = model(x)
        found = {"stem": (x := model.stem(x))}
        for name in BLOCKS:
            found[name] = (x := getattr(model, name)(x))
        return found | {"whole": whole}

    return run(state, jnp.asarray(pictures))


@pytest.mark.parametrize("name", ["stem", *BLOCKS])
def test_each_block_equals_that_of_keras(both, name):
    ours, theirs = both
    assert relative_error(ours[name], theirs[name]) < 1e-4


def test_the_whole_equals_keras_and_is_2048_deep(both):
    ours, theirs = both
    assert ours["whole"].shape[-1] == ResNet50.features
    assert relative_error(ours["whole"], theirs[BLOCKS[-1]]) < 1e-4


@pytest.mark.parametrize("size", [64, 225, 299])
def test_feature_maps_are_the_32nd_part_rounded_up(size):
    graph, state = nnx.split(nnx.view(without_arrays(), use_running_average=True))
    pictures = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    maps = jax.eval_shape(lambda state, x: nnx.merge(graph, state)(x), state, pictures)
    assert maps.shape == (1, -(-size // 32), -(-size // 32), 2048)


def test_layer_names_are_those_of_keras(theirs):
    backbone = without_arrays()
    places = {place for place, _ in nnx.to_flat_state(nnx.state(backbone))}
    names = {variable.path for variable in theirs.variables}
    assert places == {flax_place(name) for name in names}
    layers = {backbone.layer_name(place[:-1]) for place in places}
    assert layers == {name.split("/")[0] for name in names}


def test_in_bfloat16_the_maps_are_near_those_in_float32(theirs):
    half = carried(theirs, jnp.bfloat16)
    found = outputs(half, made_pictures(64))["whole"]
    expected = outputs(carried(theirs), made_pictures(64))["whole"]
    assert found.dtype == jnp.bfloat16
    assert all(array.dtype == jnp.float32 for array in jax.tree.leaves(nnx.state(half)))
    assert relative_error(found.astype(jnp.float32), expected) < 0.1
