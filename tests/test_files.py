"""Files that many write, read and download at once."""

import hashlib
import multiprocessing
import os
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from gwosc_server import Server

from flax_glitch import files
from flax_glitch.files import BrokenOffError, download, is_intact, printable, seal, why, write_whole

SIZE, ROUNDS = 200_000, 100


def write_many(target, letter, start, failures):
    start.wait(60)
    for _ in range(ROUNDS):
        try:
            write_whole(target, letter * SIZE)
        except OSError as error:
            failures.put(str(error))


def test_writers_and_readers_in_many_processes_never_see_a_torn_file_nor_fail(tmp_path):
    target = tmp_path / "shared.txt"
    context = multiprocessing.get_context("spawn")
    start, failures = context.Barrier(3), context.Queue()
    writers = [
        context.Process(target=write_many, args=(target, letter, start, failures))
        for letter in "ab"
    ]
    for writer in writers:
        writer.start()
    start.wait(60)
    torn = reads = 0
    while any(writer.is_alive() for writer in writers):
        if target.exists():
            content = target.read_text()
            torn += content != content[:1] * SIZE
            reads += 1
    for writer in writers:
        writer.join()
    assert failures.empty()
    assert (torn, reads > 10) == (0, True)
    assert list(tmp_path.iterdir()) == [target]


def test_threads_write_the_same_file_and_none_fails(tmp_path):
    target = tmp_path / "shared.bin"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: write_whole(target, bytes([number]) * SIZE), range(64)))
    assert len(set(target.read_bytes())) == 1
    assert list(tmp_path.iterdir()) == [target]


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    target = tmp_path / "kept.txt"
    write_whole(target, "old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(target, "new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_seal_tells_a_file_from_any_other(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"content")
    assert not is_intact(path)
    seal(path)
    said = f"{hashlib.sha256(b'content').hexdigest()}  a.bin\n"
    assert (tmp_path / "a.bin.sha256").read_text() == said  # as sha256sum --check wants it
    assert is_intact(path) and is_intact(path, hashlib.md5(b"content").hexdigest())
    path.write_bytes(b"Content")
    assert not is_intact(path)
    assert not is_intact(tmp_path)


def test_names_stay_on_one_line():
    assert printable("a\nb\tc\x1b[31m\udce9 é") == "a?b?c?[31m? é"


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(files, "PAUSES", (0.01, 0.01))
    served = tmp_path / "served"
    served.mkdir()
    (served / "big.bin").write_bytes(bytes(range(256)) * 4000)
    server = Server(served)
    yield server
    server.server_close()


def fetch(server, tmp_path):
    address = f"{server.address}/archive/big.bin"
    return download(address, tmp_path / "cache" / "big.bin", progress=False)


@pytest.mark.parametrize("fault", [None, "broken", "slow", "busy", "no ranges"])
def test_of_many_who_want_a_file_one_downloads_it(server, tmp_path, fault):
    server.fault = fault
    with ThreadPoolExecutor(6) as pool:
        paths = list(pool.map(lambda _: fetch(server, tmp_path), range(6)))
    assert {path.read_bytes() for path in paths} == {bytes(range(256)) * 4000}
    assert len([span for _, span in server.asked if span is None]) <= 2
    assert not list((tmp_path / "cache").glob("*.part"))


def fetch_elsewhere(address, goal, start, answers):
    start.wait(60)
    answers.put(download(address, goal, progress=False).stat().st_size)


def test_two_processes_download_a_file_once(server, tmp_path):
    server.fault = "slow"
    context = multiprocessing.get_context("spawn")
    start, answers = context.Barrier(2), context.Queue()
    goal = tmp_path / "cache" / "big.bin"
    arguments = (f"{server.address}/archive/big.bin", goal, start, answers)
    both = [context.Process(target=fetch_elsewhere, args=arguments) for _ in range(2)]
    for process in both:
        process.start()
    assert [answers.get(timeout=60) for _ in both] == [256 * 4000] * 2
    for process in both:
        process.join()
    assert len(server.asked) == 1


def test_what_is_there_of_a_download_is_used_by_the_next(server, tmp_path):
    server.fault = "cut"
    with pytest.raises(BrokenOffError, match=r"broke off 3 times, at last after [\d,]+ bytes"):
        fetch(server, tmp_path)
    size = (tmp_path / "cache" / "big.bin.part").stat().st_size
    server.fault = None
    fetch(server, tmp_path)
    assert server.asked[-1][1] == f"bytes={size}-"


def test_a_file_that_is_there_is_used_without_a_lock_or_a_question(server, tmp_path):
    path = fetch(server, tmp_path)
    (tmp_path / "cache" / "lock").unlink()  # a cache may be read-only
    server.asked.clear()
    assert fetch(server, tmp_path) == path
    assert not server.asked and not (tmp_path / "cache" / "lock").exists()


def test_a_part_that_fits_no_longer_is_fetched_anew(server, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "big.bin.part").write_bytes(bytes(2_000_000))
    assert fetch(server, tmp_path).stat().st_size == 256 * 4000


def test_no_other_host_is_asked(server, tmp_path):
    server.fault = "elsewhere"
    with pytest.raises(OSError, match="localhost") as raised:
        fetch(server, tmp_path)
    assert why(raised.value).startswith("leads to another host, which isn't asked (")
    assert not (tmp_path / "cache" / "big.bin").exists()


def test_why_says_in_few_words_what_keeps_a_file_away(server, tmp_path):
    (tmp_path / "served" / "big.bin").rename(tmp_path / "away")
    with pytest.raises(OSError) as raised:
        fetch(server, tmp_path)
    assert why(raised.value) == "the answer is 404 Not Found"
    server.server_close()
    with pytest.raises(OSError) as raised:
        fetch(server, tmp_path)
    assert re.fullmatch(r"can't be reached \(.*Connection refused\)", why(raised.value))


def test_a_lock_is_waited_for_and_said(tmp_path, caplog):
    inside, order = threading.Event(), []

    def first():
        with files.locked(tmp_path / "lock"):
            inside.set()
            time.sleep(0.1)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(10)
    with files.locked(tmp_path / "lock", progress=True):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]
    assert "waiting for it" in caplog.text


def test_two_apps_that_start_on_a_cold_cache_draw_the_same_examples(tmp_path, monkeypatch):
    # Here, since the processes above import this file.
    from toy_pictures import toy_simulation

    from flax_glitch.app import examples
    from flax_glitch.classes import CLASSES
    from flax_glitch.simulate import catalogue

    together = threading.Barrier(2, timeout=20)

    def simulate(label, rng):
        together.wait()  # each picture is written by both at once
        return toy_simulation(label, rng)

    def start(number):
        return examples.pictures(CLASSES, tmp_path / f"spare{number}", tmp_path / "cache")

    monkeypatch.setattr(catalogue, "simulate", simulate)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(start, range(2))
    assert set(first) == set(second) == set(CLASSES)
    assert not list(tmp_path.glob("spare*"))
    assert not list(tmp_path.rglob("*.unfinished"))
