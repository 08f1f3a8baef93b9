"""Keras' official weight files: downloaded with care."""

import hashlib
import http.server
import inspect
import sys
import threading

import pytest

from flax_glitch import files
from flax_glitch.models import pretrained
from flax_glitch.models.pretrained import WeightsError, imagenet_file
from flax_glitch.models.systems import MODELS, KerasFile

CONTENT = bytes(range(256)) * 12_000


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT, from where it is asked to, and as badly as the server's `fault` says."""

    def do_GET(self):
        self.server.asked.append(self.headers["Range"])
        if self.server.fault == "busy" and len(self.server.asked) == 1:
            return self.send_error(503)
        start = int((self.headers["Range"] or "bytes=0-")[6:-1])
        start = 0 if self.server.fault == "no ranges" else start
        if start >= len(CONTENT):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
            return self.end_headers()
        body = CONTENT[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.fault == "truncated":
            body = body[:600_000]
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
    monkeypatch.setattr(files, "PAUSES", (0.01, 0.01, 0.01))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked, server.fault = [], None
        server.official = KerasFile("resnet/weights_notop.h5", md5)
        server.base = f"http://127.0.0.1:{server.server_port}/"
        server.cache = tmp_path / "cache"
        server.part = server.cache / "weights" / "weights_notop.h5.part"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def fetch(server):
    return imagenet_file(server.official, server.cache, base=server.base)


def test_a_file_is_downloaded_once_with_a_progress_bar(server, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    path = fetch(server)
    assert path.read_bytes() == CONTENT
    assert path == server.cache / "weights" / "weights_notop.h5"
    assert "3.07M/3.07M" in capsys.readouterr().err
    assert fetch(server) == path
    assert server.asked == [None]
    assert not server.part.exists()


def test_a_broken_download_goes_on_where_it_stopped(server):
    server.fault = "truncated"
    with pytest.raises(WeightsError, match=r"broke off 4 times, at last after 2,[\d,]+ bytes"):
        fetch(server)
    size = server.part.stat().st_size
    server.fault = None
    assert fetch(server).read_bytes() == CONTENT
    assert server.asked[0] is None and server.asked[4:] == [f"bytes={size}-"]


def test_a_download_that_breaks_off_now_and_then_ends_well_at_once(server):
    server.fault = "truncated"
    server.part.parent.mkdir(parents=True)
    server.part.write_bytes(CONTENT[:2_000_000])
    assert fetch(server).read_bytes() == CONTENT


def test_a_busy_server_is_asked_again(server):
    server.fault = "busy"
    assert fetch(server).read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_a_server_that_knows_no_ranges_sends_everything_again(server):
    server.part.parent.mkdir(parents=True)
    server.part.write_bytes(CONTENT[:1000])
    server.fault = "no ranges"
    assert fetch(server).read_bytes() == CONTENT


def test_a_whole_download_that_was_not_yet_renamed_is_used(server):
    server.part.parent.mkdir(parents=True)
    server.part.write_bytes(CONTENT)
    assert fetch(server).read_bytes() == CONTENT
    assert server.asked == [f"bytes={len(CONTENT)}-"]


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


def test_ours_starts_from_the_file_of_vgg16():
    assert MODELS["vgg16-rows"].keras_file == MODELS["vgg16"].keras_file


@pytest.mark.parametrize("name", ["resnet50", "vgg16", "xception"])
def test_the_addresses_are_those_of_keras_own_source(name):
    module = pytest.importorskip(f"keras.src.applications.{name.removesuffix('50')}")
    address, md5 = MODELS[name].keras_file
    known = "BASE_WEIGHTS_PATH" if name == "resnet50" else "WEIGHTS_PATH_NO_TOP"
    assert (pretrained.BASE + address).startswith(getattr(module, known))
    assert md5 in inspect.getsource(module)
