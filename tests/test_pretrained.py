"""Keras' official weight files: read as Keras reads them, strictly, and downloaded with care."""

import hashlib
import http.server
import threading
from types import MappingProxyType

import h5py
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from keras_oracle import flax_place, keras_resnet

from flax_glitch.config import ModelConfig
from flax_glitch.models import pretrained
from flax_glitch.models.classifier import build
from flax_glitch.models.pretrained import (
    WeightsError,
    imagenet_file,
    load_keras_weights,
    load_weights,
    read_keras_weights,
)
from flax_glitch.models.resnet import ResNet50

VGG16 = "weights/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
CONTENT = bytes(range(256)) * 12_000


@pytest.fixture(scope="module")
def theirs():
    pytest.importorskip("keras")
    return keras_resnet()


@pytest.fixture(scope="module")
def keras_file(theirs, tmp_path_factory):
    """A file in the official layout with the made weights of Keras' ResNet50."""
    path = tmp_path_factory.mktemp("weights") / "resnet50.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array([layer.name.encode() for layer in theirs.layers])
        for layer in theirs.layers:
            group = file.create_group(layer.name)
            names = [f"{variable.path}:0".encode() for variable in layer.weights]
            group.attrs["weight_names"] = np.array(names, "S")
            for variable in layer.weights:
                group[f"{variable.path}:0"] = np.asarray(variable)
    return path


@pytest.fixture
def copy(keras_file, tmp_path):
    """A copy of that file, open to be spoilt."""
    path = tmp_path / "copy.h5"
    path.write_bytes(keras_file.read_bytes())
    return path


@pytest.fixture(scope="module")
def classifier():
    return nnx.eval_shape(lambda: build(ModelConfig(), rngs=nnx.Rngs(0)))


def without_arrays():
    return nnx.eval_shape(lambda: ResNet50(rngs=nnx.Rngs(0)))


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


def test_the_weights_of_a_keras_file_arrive_in_their_places(keras_file, theirs):
    ours = without_arrays()
    load_keras_weights(ours, keras_file)
    found = dict(nnx.to_flat_state(nnx.state(ours)))
    assert len(found) == len(theirs.variables) == 318
    for variable in theirs.variables:
        array = found[flax_place(variable.path)][...]
        assert array.dtype == jnp.float32
        np.testing.assert_array_equal(array, np.asarray(variable), err_msg=variable.path)


def test_keras_itself_reads_the_file_of_these_tests_and_gets_the_same(keras_file, theirs):
    before = [np.asarray(variable) for variable in theirs.variables]
    for variable in theirs.variables:
        variable.assign(jnp.zeros(variable.shape))
    theirs.load_weights(keras_file)
    for variable, array in zip(theirs.variables, before, strict=True):
        np.testing.assert_array_equal(np.asarray(variable), array)


def test_a_real_official_file_is_read_as_keras_reads_it(shared_data):
    keras = pytest.importorskip("keras")
    model = keras.applications.VGG16(include_top=False, weights=str(shared_data / VGG16))
    shapes = {variable.path: tuple(variable.shape) for variable in model.variables}
    arrays = read_keras_weights(shared_data / VGG16, shapes)
    for variable in model.variables:
        np.testing.assert_array_equal(arrays[variable.path], np.asarray(variable))


def test_a_real_file_of_another_network_is_refused_with_all_faults_in_one_line(shared_data):
    with pytest.raises(WeightsError) as caught:
        load_keras_weights(without_arrays(), shared_data / VGG16)
    message = str(caught.value)
    assert "missing: conv1_bn/beta" in message
    assert "… and 306 more" in message
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
    assert "misshapen: conv1_conv/kernel (3, 3, 3, 64) instead of (7, 7, 3, 64)" in message


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
    with pytest.raises(WeightsError, match=r"older training.*4d473c1dd8becc155b73f8504c6f6626"):
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
    assert asked == [("resnet50", tmp_path)]
    np.testing.assert_array_equal(classifier.backbone.conv1_conv.kernel[...], loaded)


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT, from where it is asked to, and as badly as the server's `fault` says."""

    def do_GET(self):
        self.server.asked.append(self.headers["Range"])
        start = int((self.headers["Range"] or "bytes=0-")[6:-1])
        start = 0 if self.server.fault == "no ranges" else start
        if start >= len(CONTENT):
            return self.send_error(416)
        body = CONTENT[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.fault == "truncated":
            body = body[:1_500_000]
        self.wfile.write(b"\0" * len(body) if self.server.fault == "wrong" else body)
        return None

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A local server of the official file; its own `base`, `cache` and `fault`."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "*")
    md5 = hashlib.md5(CONTENT).hexdigest()
    official = MappingProxyType({"resnet50": ("resnet/weights_notop.h5", md5)})
    monkeypatch.setattr(pretrained, "OFFICIAL", official)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked, server.fault = [], None
        server.base = f"http://127.0.0.1:{server.server_port}/"
        server.cache = tmp_path / "cache"
        server.part = server.cache / "weights" / "weights_notop.part"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def fetch(server):
    return imagenet_file("resnet50", server.cache, base=server.base)


def test_a_file_is_downloaded_once_with_a_progress_bar(server, capsys):
    path = fetch(server)
    assert path.read_bytes() == CONTENT
    assert path == server.cache / "weights" / "weights_notop.h5"
    assert "3.07M/3.07M" in capsys.readouterr().err
    assert fetch(server) == path
    assert server.asked == [None]
    assert not server.part.exists()


def test_a_broken_download_goes_on_where_it_stopped(server):
    server.fault = "truncated"
    with pytest.raises(WeightsError, match="broke off after 1,500,000 of 3,072,000 bytes"):
        fetch(server)
    server.fault = None
    assert fetch(server).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=1500000-"]


def test_a_server_that_knows_no_ranges_sends_everything_again(server):
    server.part.parent.mkdir(parents=True)
    server.part.write_bytes(CONTENT[:1000])
    server.fault = "no ranges"
    assert fetch(server).read_bytes() == CONTENT


def test_a_whole_download_that_was_not_yet_renamed_is_used(server):
    server.part.parent.mkdir(parents=True)
    server.part.write_bytes(CONTENT)
    assert fetch(server).read_bytes() == CONTENT


def test_a_file_of_another_md5_is_refused_and_not_kept(server):
    server.fault = "wrong"
    with pytest.raises(WeightsError, match=r"MD5 is \w{32} and should be \w{32}"):
        fetch(server)
    assert not list(server.cache.rglob("*.*"))
    server.fault = None
    assert fetch(server).read_bytes() == CONTENT


def test_without_a_network_one_line_says_what_to_do(server):
    server.shutdown()
    server.server_close()
    with pytest.raises(WeightsError) as caught:
        fetch(server)
    message = str(caught.value)
    assert "\n" not in message
    assert "refused" in message
    assert f"{server.base}resnet/weights_notop.h5" in message
    assert "--weights FILE" in message
    assert "--weights none" in message


def test_the_copy_that_keras_has_is_used_if_it_is_the_right_one(server, tmp_path):
    copy = tmp_path / "home" / ".keras" / "models" / "weights_notop.h5"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(CONTENT)
    assert fetch(server) == copy
    assert server.asked == []
    copy.write_bytes(CONTENT[:-1])
    assert fetch(server) != copy


def test_a_spoilt_file_in_the_cache_is_downloaded_again(server):
    fetch(server).write_bytes(b"spoilt")
    assert fetch(server).read_bytes() == CONTENT


def test_a_cache_that_can_not_be_written_is_an_error_in_one_line(server):
    server.cache.write_text("a file where the folder should be")
    with pytest.raises(WeightsError, match="the download failed"):
        fetch(server)


def test_the_addresses_are_those_of_keras_own_source():
    pytest.importorskip("keras")
    from keras.src.applications import resnet

    address, md5 = pretrained.OFFICIAL["resnet50"]
    assert resnet.BASE_WEIGHTS_PATH in pretrained.BASE + address
    assert resnet.WEIGHTS_HASHES["resnet50"][1] == md5
