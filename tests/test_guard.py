"""What strangers may not do to the app: its guard, seen over the wire."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from nearest_picture import TOYS, NearestPicture

from flax_glitch.app import main, protect
from flax_glitch.strain import remote

pytestmark = pytest.mark.filterwarnings("ignore:The copy keyword is deprecated")  # Gradio's queue

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The address of an app and its folder."""
    folder = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        patch.setattr(remote, "HOST", "http://127.0.0.1:9")
        page = main.build(NearestPicture(), lambda: TOYS)
        yield main.launch(page, links={"abc.gradio.live"}), folder
        page.close(verbose=False)


@pytest.fixture
def address(served):
    return served[0]


def upload(address, size=10, headers=(), name="a.png"):
    files = {"files": (name, bytes(size))}
    return httpx.post(f"{address}gradio_api/upload", files=files, headers=dict(headers), timeout=30)


def call(address, name, data, headers=()):
    return httpx.post(
        f"{address}gradio_api/call/{name}", json={"data": data}, headers=dict(headers)
    )


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:7860", 200),
        ("localhost", 200),
        ("LOCALHOST:7860", 200),
        ("[::1]:7860", 200),
        ("192.168.1.5:7860", 200),
        ("glitch.local", 200),
        ("abc.gradio.live", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example:7860", 421),
        ("localhost.evil.example", 421),
        ("other.gradio.live", 421),
        ("127.0.0.1:x[", 421),
    ],
)
def test_only_names_that_no_stranger_can_own_are_answered(address, host, status):
    assert httpx.get(address, headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    ("origin", "refused"),
    [
        ("http://evil.example", True),
        ("null", True),
        ("http://localhost:3000", True),
        ("https://abc.gradio.live", False),
        (None, False),
    ],
)
def test_pages_of_other_sites_can_neither_upload_nor_call(address, origin, refused):
    headers = {"Origin": origin or address.rstrip("/")}
    for reply in (upload(address, headers=headers), call(address, "classify", [None], headers)):
        assert (reply.status_code == 403) == refused
        assert "access-control-allow-origin" not in reply.headers


def test_no_page_of_another_site_may_read_an_answer(address):
    asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    for host in ("127.0.0.1:7860", "192.168.1.5:7860"):
        headers = asked | {"Host": host}
        for reply in (httpx.options(address, headers=headers), httpx.get(address, headers=headers)):
            assert "access-control-allow-origin" not in reply.headers


def test_no_site_may_show_the_page_in_a_frame_unless_asked(address, tmp_path, monkeypatch):
    assert "frame-ancestors 'none'" in httpx.get(address).headers["content-security-policy"]
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    page = main.build(NearestPicture(), lambda: TOYS)
    try:
        reply = httpx.get(main.launch(page, embed=True), headers={"Host": "any.example"})
        assert reply.status_code == 200
        assert "frame-ancestors" not in reply.headers["content-security-policy"]
    finally:
        page.close(verbose=False)


@pytest.mark.parametrize("path", ["component_server", "process_recording", "vibe-edit/", "run/x"])
def test_what_the_page_does_not_need_is_not_offered(address, path):
    files = {"files": ("a.png", b"x")}
    assert httpx.post(f"{address}gradio_api/{path}", files=files).status_code == 403


def kept(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_uploads_are_refused_when_the_quota_is_in_use_and_let_in_when_it_has_aged(
    served, monkeypatch
):
    address, folder = served
    monkeypatch.setattr(protect, "MAX_KEPT", 5 * MEGABYTE)
    replies = [upload(address, MEGABYTE, name=f"{number}.png") for number in range(7)]
    statuses = [reply.status_code for reply in replies]
    assert statuses[:4] == [200] * 4 and statuses[-1] == 507
    assert "try again in some minutes" in replies[-1].text
    assert kept(folder) <= 5 * MEGABYTE
    old = time.time() - protect.RECENT - 1
    for path in folder.rglob("*.png"):
        os.utime(path, (old, old))
    assert upload(address, MEGABYTE, name="new.png").status_code == 200
    assert kept(folder) <= 5 * MEGABYTE


def test_uploads_under_way_at_once_share_the_quota(served, monkeypatch):
    address, folder = served
    before = kept(folder)
    monkeypatch.setattr(protect, "MAX_KEPT", before + 5 * MEGABYTE)
    with ThreadPoolExecutor(12) as pool:
        names = [f"at once {number}.png" for number in range(12)]
        replies = list(pool.map(lambda name: upload(address, MEGABYTE, name=name), names))
    assert {reply.status_code for reply in replies} == {200, 507}
    assert kept(folder) <= before + 5 * MEGABYTE


def test_uploads_leave_the_disk_some_room(address, monkeypatch):
    monkeypatch.setattr(protect, "MIN_FREE", 1 << 60)
    assert upload(address).status_code == 507


def test_an_upload_says_its_length_and_is_not_too_long(address, monkeypatch):
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    reply = httpx.post(f"{address}gradio_api/upload", content=iter([b"x"]), headers=headers)
    assert reply.status_code == 411
    monkeypatch.setattr(protect, "MAX_REQUEST", MEGABYTE)
    reply = upload(address, MEGABYTE + 1)
    assert (reply.status_code, reply.text) == (413, "Too much at once: at most 1 MB.")


STRAIN = ["1016.5", "H1", None, None, None, "", "balanced"]

WRONG = [
    *(("classify", [value, "balanced"]) for value in ("x", 5, [], {"path": 5})),
    *(("classify", [None, value]) for value in ("nope", 5, {"a": 1}, ["balanced"])),
    ("classify", [[]] * 40),
    *(("batch", [value, "balanced"]) for value in ("x", {"a": 1}, [1, 2], [None])),
    *(
        ("strain", [*STRAIN[:place], value, *STRAIN[place + 1 :]])
        for place, value in [(1, "Z9"), (2, "x"), (4, "fast"), (4, {"x": 1}), (6, 5)]
    ),
]


@pytest.mark.parametrize(("name", "data"), WRONG)
def test_arguments_of_a_wrong_type_are_answered_by_400_and_no_traceback(
    address, name, data, capfd, caplog
):
    with caplog.at_level(logging.INFO):
        reply = call(address, name, data)
    assert reply.status_code == 400
    assert "?view=api" in reply.text and len(reply.text) < 300
    said = capfd.readouterr()
    assert "Traceback" not in said.err + said.out + caplog.text


@pytest.mark.parametrize("name", ["classify", "batch"])
def test_a_file_that_nobody_uploaded_is_neither_read_nor_copied(served, tmp_path, name):
    address, folder = served
    (tmp_path / "secret.png").write_bytes(b"secret")
    file = {"path": str(tmp_path / "secret.png"), "meta": {"_type": "gradio.FileData"}}
    reply = call(address, name, [file if name == "classify" else [file], "balanced"])
    assert reply.status_code == 400
    assert not list(folder.rglob("secret*"))


@pytest.mark.parametrize("place", range(7))
def test_an_argument_left_out_is_told_and_no_traceback(address, place, capfd):
    reply = call(address, "strain", [*STRAIN[:place], None, *STRAIN[place + 1 :]])
    if reply.status_code == 200:
        event = reply.json()["event_id"]
        answer = httpx.get(f"{address}gradio_api/call/strain/{event}", timeout=60).text
        assert "event: complete" in answer
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("path", ["call/nope", "call/v2/nope", "call/classify"])
def test_functions_that_are_not_there_are_answered_by_400(address, path, capfd):
    reply = httpx.post(f"{address}gradio_api/{path}", json={"data": [1, 2, 3]})
    assert reply.status_code == 400
    queue = {"fn_index": 999, "data": [], "session_hash": "a"}
    assert httpx.post(f"{address}gradio_api/queue/join", json=queue).status_code == 400
    assert "Traceback" not in capfd.readouterr().err


def test_who_asks_for_an_event_that_is_none_gets_an_end_and_leaves_no_traceback(address, capfd):
    reply = httpx.get(f"{address}gradio_api/call/classify/nothing", timeout=20)
    assert "event: error" in reply.text
    assert "Traceback" not in capfd.readouterr().err


def test_wrong_passwords_are_tried_one_a_pause_and_right_ones_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(protect, "LOGIN_PAUSE", 0.3)
    page = main.build(NearestPicture(), lambda: TOYS)
    login = f"{main.launch(page, accounts=[('ada', 'lovelace')])}login"

    def try_in(password):
        return httpx.post(login, data={"username": "ada", "password": password}).status_code

    try:
        began = time.monotonic()
        assert try_in("lovelace") == 200
        assert time.monotonic() - began < 0.3
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(try_in, "abcd")) == [400] * 4
        assert time.monotonic() - began > 4 * 0.3
    finally:
        page.close(verbose=False)


def test_an_upload_that_never_ends_is_given_up(monkeypatch, tmp_path):
    monkeypatch.setattr(protect, "PATIENCE", 0.1)
    sent = []

    async def stall(scope, receive, send):
        await asyncio.sleep(60)

    async def keep(message):
        sent.append(message)

    guard = protect.Guard(stall, tmp_path, "127.0.0.1")
    headers = [(b"host", b"127.0.0.1"), (b"content-length", b"9")]
    scope = {"type": "http", "method": "POST", "path": protect.UPLOAD, "headers": headers}
    asyncio.run(asyncio.wait_for(guard(scope, None, keep), 10))
    assert sent[0]["status"] == 400


def test_a_second_interrupt_ends_at_once_and_leaves_no_folder(tmp_path):
    code = """
import os, sys, time
sys.path.insert(0, "tests")
from pathlib import Path
from flax_glitch.app import main, strain
from nearest_picture import NearestPicture, TOYS
main.Predictor.from_checkpoint = classmethod(lambda cls, folder: NearestPicture())
main.examples.pictures = lambda classes, spare: TOYS
main.evidence.warm_up = lambda predictor: None
strain.finish = lambda: time.sleep(60)
from flax_glitch.cli import main
main(["app", "--no-browser", "--checkpoint", "any"])
"""
    root = Path(__file__).parents[1]
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for line in process.stdout:
            if "flax_glitch is at" in line:
                break
        process.send_signal(signal.SIGINT)
        for line in process.stderr:
            if "Ending" in line:
                break
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=5)
        assert not list(tmp_path.glob("flax_glitch-*"))
    finally:
        process.kill()
        process.communicate()
