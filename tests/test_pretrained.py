"""Keras' official weight files: read as Keras reads them, and strictly."""

import functools
import re

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from keras_oracle import arrays, flax_place, keras_backbone, relative_error

from flax_glitch.config import ModelConfig, Preprocessing
from flax_glitch.data.pictures import load_picture, resize
from flax_glitch.models import pretrained
from flax_glitch.models.classifier import build
from flax_glitch.models.layers import Maker
from flax_glitch.models.preprocess import standardise
from flax_glitch.models.pretrained import WeightsError, load_keras_weights, load_weights
from flax_glitch.models.systems import MODELS

SHARED = "weights/{}_weights_tf_dim_ordering_tf_kernels_notop.h5"
KERAS_1 = {
    "kernel": "W",
    "bias": "b",
    "moving_mean": "running_mean",
    "moving_variance": "running_std",
}


@functools.cache
def network(name):
    pytest.importorskip("keras")
    return keras_backbone(name)


@pytest.fixture(scope="module")
def theirs():
    return network("resnet50")


@pytest.fixture(scope="module")
def keras_file(theirs, tmp_path_factory):
    """A file in the official layout with the made weights of Keras' ResNet50."""
    return write(theirs, tmp_path_factory.mktemp("weights") / "resnet50.h5")


def write(model, path, *, older=False):
    with h5py.File(path, "w") as file:
        layers = {older_layer(layer.name) if older else layer.name: layer for layer in model.layers}
        file.attrs["layer_names"] = np.array([*layers], "S")
        for name, layer in layers.items():
            group = file.create_group(name)
            kinds = [variable.path.split("/")[1] for variable in layer.weights]
            names = [
                f"{name}_{KERAS_1.get(kind, kind)}_1:0" if older else f"{name}/{kind}:0"
                for kind in kinds
            ]
            group.attrs["weight_names"] = np.array(names, "S")
            for array, variable in zip(names, layer.weights, strict=True):
                group[array] = np.asarray(variable)
    return path


def older_layer(name):
    """Keras 1's name of a layer; its number goes on from those of other networks."""
    if numbered := re.fullmatch(r"(conv|batch)(?:2d|_normalization)(?:_(\d))?", name):
        kind = {"conv": "convolution2d", "batch": "batchnormalization"}[numbered[1]]
        return f"{kind}_{int(numbered[2] or 0) + 7}"
    return name


@pytest.fixture
def copy(keras_file, tmp_path):
    """A copy of that file, open to be spoilt."""
    path = tmp_path / "copy.h5"
    path.write_bytes(keras_file.read_bytes())
    return path


@pytest.fixture(scope="module")
def classifier():
    return nnx.eval_shape(lambda: build(ModelConfig(), rngs=nnx.Rngs(0)))


def without_arrays(name="resnet50"):
    return nnx.eval_shape(lambda: MODELS[name].backbone(Maker(nnx.Rngs(0))))


def spoil(path, layer, name, array):
    """Replaces an array of a weights file, or removes it where the new one is None."""
    with h5py.File(path, "r+") as file:
        del file[layer][f"{layer}/{name}:0"]
        if array is not None:
            file[layer][f"{layer}/{name}:0"] = array


def remove(path, layer):
    with h5py.File(path, "r+") as file:
        names = file.attrs["layer_names"]
        file.attrs["layer_names"] = names[names != layer.encode()]


@pytest.mark.parametrize(
    "name, older", [("resnet50", False), ("xception", False), ("vgg16", True), ("xception", True)]
)
def test_the_weights_of_a_file_arrive_where_keras_itself_puts_them(name, older, tmp_path):
    theirs, ours = network(name), without_arrays(name)
    path = write(theirs, tmp_path / "weights.h5", older=older)
    for variable in theirs.variables:
        variable.assign(np.zeros(variable.shape, np.float32))
    theirs.load_weights(path)
    load_keras_weights(ours, path)
    found = dict(nnx.to_flat_state(nnx.state(ours)))
    assert len(found) == len(theirs.variables)
    for variable in theirs.variables:
        array = found[flax_place(variable.path)][...]
        assert array.dtype == jnp.float32
        assert np.asarray(variable).any()
        np.testing.assert_array_equal(array, np.asarray(variable), err_msg=variable.path)


@pytest.mark.parametrize("name, mode", [("vgg16", "caffe"), ("xception", "tf")])
def test_real_weights_give_the_features_of_a_real_picture_that_keras_gives(shared_data, name, mode):
    keras = pytest.importorskip("keras")
    theirs, ours = network(name), without_arrays(name)
    path = shared_data / SHARED.format(name)
    theirs.load_weights(path)
    load_keras_weights(ours, path)
    picture = load_picture(next(shared_data.glob("gravityspy/Whistle/*.png")))
    pixels = resize(picture.pixels, 96)[None]
    graph, state = nnx.split(nnx.view(ours, use_running_average=True, raise_if_not_found=False))
    found = jax.jit(lambda state, x: nnx.merge(graph, state)(x))(
        state, standardise(pixels, Preprocessing(96, normalise=mode))
    )
    prepared = getattr(keras.applications, name).preprocess_input(pixels.astype(np.float32))
    weights = arrays(theirs.trainable_variables), arrays(theirs.non_trainable_variables)
    expected = jax.jit(lambda *given: theirs.stateless_call(*given)[0])(*weights, prepared)
    assert relative_error(found, expected) < 1e-4


def test_a_network_without_the_last_block_takes_the_others_from_the_file_and_needs_them(tmp_path):
    path, ours = write(network("vgg16"), tmp_path / "vgg16.h5"), without_arrays("vgg16-rows")
    load_keras_weights(ours, path)
    with h5py.File(path) as file:
        kernel = np.asarray(file["block4_conv3/block4_conv3/kernel:0"])
    np.testing.assert_array_equal(ours.block4.conv3.kernel[...], kernel)
    assert not hasattr(ours, "block5")
    remove(path, "block4_conv3")
    with pytest.raises(WeightsError, match=r"missing: block4_conv3/bias, block4_conv3/kernel$"):
        load_keras_weights(ours, path)


def test_without_one_of_its_unnamed_layers_a_file_is_refused_as_no_longer_fitting(tmp_path):
    path = write(network("xception"), tmp_path / "xception.h5")
    remove(path, "conv2d_1")
    with pytest.raises(WeightsError) as caught:
        load_keras_weights(without_arrays("xception"), path)
    missing, _, misshapen = str(caught.value).partition("misshapen: ")
    assert missing.endswith("missing: conv2d_3/kernel; ")
    assert misshapen == (
        "conv2d_1/kernel is (1, 1, 256, 728), not (1, 1, 128, 256), "
        "conv2d_2/kernel is (1, 1, 728, 1024), not (1, 1, 256, 728)"
    )


def test_a_real_file_of_another_network_is_refused_with_all_faults_in_one_line(shared_data):
    with pytest.raises(WeightsError) as caught:
        load_keras_weights(without_arrays(), shared_data / SHARED.format("vgg16"))
    message = str(caught.value)
    assert "missing: conv1_bn/beta" in message
    assert " and 306 more" in message
    assert "extra: block1_conv1/kernel" in message
    assert "\n" not in message
    assert len(message) < 1200


def test_every_missing_extra_and_misshapen_array_is_named_in_one_error(copy):
    spoil(copy, "conv1_conv", "kernel", np.zeros((3, 3, 3, 64), np.float32))
    remove(copy, "conv5_block3_3_bn")
    with h5py.File(copy, "r+") as file:
        file.attrs["layer_names"] = np.append(file.attrs["layer_names"], b"predictions")
        group = file.create_group("predictions")
        group.attrs["weight_names"] = [b"predictions/kernel:0"]
        group["predictions/kernel:0"] = np.zeros((2048, 1000), np.float32)
    with pytest.raises(WeightsError) as caught:
        load_keras_weights(without_arrays(), copy)
    message = str(caught.value)
    assert message.startswith(f"{copy}: ")
    for kind in ("beta", "gamma", "moving_mean", "moving_variance"):
        assert f"conv5_block3_3_bn/{kind}" in message.split("extra:")[0]
    assert "extra: predictions/kernel" in message
    assert "misshapen: conv1_conv/kernel is (3, 3, 3, 64), not (7, 7, 3, 64)" in message


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused_and_change_nothing(copy, value):
    spoil(copy, "conv1_conv", "bias", np.full(64, value, np.float32))
    ours = without_arrays()
    with pytest.raises(WeightsError, match=r"not finite: conv1_conv/bias$"):
        load_keras_weights(ours, copy)
    assert not isinstance(ours.conv1_conv.bias.get_raw_value(), np.ndarray)


def test_the_older_training_of_the_same_name_is_refused_with_its_own_sentence(tmp_path):
    path = tmp_path / "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"conv1", b"bn_conv1", b"res2a_branch2a"]
    with pytest.raises(WeightsError, match=r"older training.*--weights imagenet"):
        load_keras_weights(without_arrays(), path)


def test_an_array_that_is_named_but_absent_is_an_error_in_one_line(copy):
    spoil(copy, "conv1_conv", "bias", None)
    with pytest.raises(WeightsError, match="bias:0' doesn't exist"):
        load_keras_weights(without_arrays(), copy)


@pytest.mark.parametrize(
    "content, words",
    [(b"", "can't be read"), (b"PK\x03\x04 text", "can't be read"), (None, "no such")],
)
def test_what_is_no_hdf5_file_is_refused_in_one_line(tmp_path, content, words):
    path = tmp_path / "weights.h5"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=words) as caught:
        load_keras_weights(without_arrays(), path)
    assert "\n" not in str(caught.value)


def test_a_truncated_file_is_refused(copy):
    copy.write_bytes(copy.read_bytes()[:5_000_000])
    with pytest.raises(WeightsError, match="can't be read"):
        load_keras_weights(without_arrays(), copy)


def test_keras_newer_layout_is_refused(tmp_path):
    path = tmp_path / "new.weights.h5"
    with h5py.File(path, "w") as file:
        file["layers/conv2d/vars/0"] = np.zeros((7, 7, 3, 64), np.float32)
    with pytest.raises(WeightsError, match="not a weights file in the layout"):
        load_keras_weights(without_arrays(), path)


def test_the_settings_choose_the_weights(classifier, keras_file, tmp_path, monkeypatch):
    graph = nnx.state(classifier)
    load_weights(classifier, "none", tmp_path)
    assert nnx.state(classifier) == graph
    load_weights(classifier, str(keras_file), tmp_path)
    loaded = np.asarray(classifier.backbone.conv1_conv.kernel[...])
    asked = []
    monkeypatch.setattr(
        pretrained, "imagenet_file", lambda *given: asked.append(given) or keras_file
    )
    load_weights(classifier, "imagenet", tmp_path)
    assert asked == [(MODELS["resnet50"].keras_file, tmp_path)]
    np.testing.assert_array_equal(classifier.backbone.conv1_conv.kernel[...], loaded)


def test_a_network_without_weights_of_keras_refuses_them(tmp_path):
    custom = nnx.eval_shape(lambda: build(ModelConfig("cnn-a", "none"), rngs=nnx.Rngs(0)))
    with pytest.raises(WeightsError, match=r"model.h5: this model takes no weights of Keras"):
        load_weights(custom, "model.h5", tmp_path)
