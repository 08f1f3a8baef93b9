"""Public strain: what is asked for, what is kept, and what bad networks do to it."""

import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import gwosc.api.v2
import numpy as np
import pytest
from gwosc_server import RATE, Server, write_masks, write_strain

from flax_glitch import files
from flax_glitch.strain import remote
from flax_glitch.strain.files import StrainError, block, read_strain
from flax_glitch.strain.gwosc import PRESETS, fetch, find_event

EVENT = 1126259462.4
SMALL = "H-H1_GWOSC_4KHZ_R1-1126259447-32.hdf5"
START = 1126256640
BULK = f"H-H1_GWOSC_O1_4KHZ_R1-{START}-4096.hdf5"
NEXT = f"H-H1_GWOSC_O1_4KHZ_R1-{START + 4096}-4096.hdf5"
HELD = 300
"""Seconds at the start of the long files that hold data."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder, random = tmp_path_factory.mktemp("public"), np.random.default_rng(0)
    write_strain(folder / SMALL, 1e-21 * random.normal(size=32 * RATE), 1126259447)
    write_masks(folder / SMALL, 1126259447, 32, [(int(EVENT), "CBC_CAT2")])
    for name, start in ((BULK, START), (NEXT, START + 4096)):
        values = 1e-21 * random.normal(size=HELD * RATE)
        write_strain(folder / name, values, start, seconds=4096)
    return folder


@pytest.fixture
def server(folder, monkeypatch):
    with Server(folder) as server:
        monkeypatch.setenv("no_proxy", "*")
        monkeypatch.setattr(gwosc.api.v2, "JSON_CACHE", {})
        monkeypatch.setattr(remote, "HOST", server.address)
        monkeypatch.setattr("flax_glitch.strain.gwosc.PACKAGED", folder / "no box")
        monkeypatch.setattr(files, "PAUSES", (0.01, 0.01, 0.01))
        yield server


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def quietly(gps, cache, **options):
    return fetch(gps, "H1", cache, progress=False, **options)


def expected(folder, gps):
    """The 65 s that hold 32 s before and after the time, of the long file."""
    first = int(gps) - 32
    return read_strain(folder / BULK, around=(first, first + 65))


def test_of_a_named_event_the_small_file_is_fetched_once(server, folder, cache):
    strain = quietly(EVENT, cache, event="GW150914")
    assert [path for path, _ in server.asked if "hdf5" in path] == [f"/archive/{SMALL}"]
    whole = read_strain(folder / SMALL)
    given = ~np.isnan(strain.values)
    np.testing.assert_array_equal(strain.values[given], whole.values)
    assert strain.start + given.argmax() / RATE == whole.start
    assert (strain.detector, strain.sample_rate) == ("H1", 4096)
    server.asked.clear()
    again = quietly(EVENT, cache, event="GW150914")
    assert not server.asked
    np.testing.assert_array_equal(again.values, strain.values)
    samples, event = block(again, EVENT)
    assert (len(samples), event) == (32 * 8192, pytest.approx(15.4))


@pytest.mark.parametrize("detector", ["H1", "L1"])
def test_strain_of_the_first_event_is_in_the_box(cache, detector, monkeypatch):
    monkeypatch.setattr(remote, "HOST", "http://nowhere.invalid")
    for gps in (EVENT, EVENT + 10, EVENT - 10.0):
        strain = fetch(gps, detector, cache)
        assert (strain.detector, strain.start, strain.duration) == (detector, 1126259446.0, 32.0)
    with pytest.raises(StrainError, match=r"nowhere.invalid"):
        fetch(EVENT + 13, detector, cache)  # too near the end of the file


def test_the_flags_of_the_data_are_fetched_and_kept(server, cache):
    for _ in range(2):
        strain = quietly(EVENT, cache, event="GW150914")
        assert strain.flagged(EVENT) == ("fails CBC_CAT2",)
        assert strain.flagged(EVENT + 1) == ()


def test_of_a_long_file_only_the_needed_blocks_are_fetched(server, folder, cache):
    gps = START + 150.7
    strain = quietly(gps, cache)
    np.testing.assert_array_equal(strain.values, expected(folder, gps).values)
    assert (strain.start, strain.duration) == (START + 118, 65)
    assert server.sent < 0.5 * (folder / BULK).stat().st_size
    assert len(server.asked) < 12
    ranges = [given for path, given in server.asked if "archive" in path]
    assert len(set(ranges)) == len(ranges)
    server.asked.clear()
    np.testing.assert_array_equal(quietly(gps, cache).values, strain.values)
    assert not server.asked


def test_times_in_one_file_are_asked_for_once(server, cache):
    for gps in (START + 100.0, START + 200.0):
        quietly(gps, cache)
    assert sum("api" in path for path, _ in server.asked) == 1


def test_what_lies_in_two_files_is_put_together(server, folder, cache):
    gps = START + 4096 + 1.5
    strain = quietly(gps, cache)
    values = strain.values
    assert (strain.start, strain.duration) == (START + 4096 - 31, 65)
    assert np.isnan(values[: 31 * RATE]).all()  # a gap at the end of the first file
    later = read_strain(folder / NEXT, around=(START + 4096, START + 4096 + 34))
    np.testing.assert_array_equal(values[31 * RATE :], later.values)
    assert {path for path, _ in server.asked if "archive" in path} == {
        f"/archive/{BULK}",
        f"/archive/{NEXT}",
    }


@pytest.mark.parametrize("fault", ["broken", "slow", "busy", "no ranges"])
@pytest.mark.parametrize("event", ["GW150914", None])
def test_a_bad_network_gives_the_same_strain(server, folder, cache, tmp_path, fault, event):
    gps = EVENT if event else START + 150.7
    good = quietly(gps, tmp_path / "good", event=event)
    server.fault = fault
    np.testing.assert_array_equal(quietly(gps, cache, event=event).values, good.values)


def test_without_ranges_the_long_file_is_fetched_once_and_kept(server, cache, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    server.fault = "no ranges"
    fetch(START + 100.0, "H1", cache)
    assert "hdf5: 100%" in capsys.readouterr().err
    server.asked.clear()
    fetch(START + 200.0, "H1", cache)
    assert not server.asked


def test_a_broken_download_goes_on_where_it_stopped(server, cache):
    server.fault = "cut"
    with pytest.raises(StrainError) as caught:
        quietly(EVENT, cache, event="GW150914")
    (part,) = cache.rglob("*.part")
    size = part.stat().st_size
    assert f"{SMALL}: broke off 4 times, at last after {size:,} bytes; try again" in str(
        caught.value
    )
    server.fault = None
    quietly(EVENT, cache, event="GW150914")
    assert server.asked[-1] == (f"/archive/{SMALL}", f"bytes={size}-")
    assert not list(cache.rglob("*.part"))


def test_the_cache_forgets_what_was_fetched_longest_ago(server, cache, monkeypatch):
    quietly(START + 50.0, cache)
    (kept,) = (cache / "strain").glob("H-H1_GWOSC-*.hdf5")
    os.utime(kept, (1, 1))
    monkeypatch.setattr("flax_glitch.strain.gwosc.KEPT", kept.stat().st_size * 1.5)
    quietly(START + 150.0, cache)
    (left,) = (cache / "strain").glob("H-H1_GWOSC-*.hdf5")
    assert left != kept
    assert not kept.with_name(f"{kept.name}.sha256").exists()


def test_a_damaged_cache_is_fetched_again(server, cache):
    good = quietly(START + 150.7, cache)
    (path,) = cache.rglob("*.hdf5")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    server.asked.clear()
    np.testing.assert_array_equal(quietly(START + 150.7, cache).values, good.values)
    assert server.asked


@pytest.mark.parametrize("fault", [None, "no ranges"])
def test_several_at_once_get_what_one_gets(server, folder, cache, fault):
    server.fault = fault
    times = [START + 50.0, START + 150.0] * 2
    with ThreadPoolExecutor(4) as pool:
        strains = list(pool.map(lambda gps: quietly(gps, cache), times))
    for gps, strain in zip(times, strains, strict=True):
        np.testing.assert_array_equal(strain.values, expected(folder, gps).values)


@pytest.mark.parametrize("event", ["GW150914", None])
def test_no_other_host_is_asked(server, cache, event):
    gps = EVENT if event else START + 150.7
    server.fault = "elsewhere"
    with pytest.raises(StrainError, match=r"leads to another host.*localhost"):
        quietly(gps, cache, event=event)
    server.fault, server.files = None, server.elsewhere
    gwosc.api.v2.JSON_CACHE.clear()
    with pytest.raises(StrainError, match=r"leads to another host.*localhost"):
        quietly(gps, cache, event=event)
    assert not cache.exists() or not list(cache.rglob("*.hdf5"))


def impatient(monkeypatch):
    monkeypatch.setattr(files, "TIMEOUT", 0.05)
    monkeypatch.setattr(gwosc.api.v2, "TIMEOUT", 0.05)


def test_a_server_that_doesn_t_answer_is_given_up(server, cache, monkeypatch):
    impatient(monkeypatch)
    server.fault = "silent"
    with pytest.raises(StrainError, match=r"can't be reached \(.*timed out.*later"):
        quietly(EVENT, cache)
    assert len(server.asked) <= 4


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse where Linux is silent")
def test_a_server_that_can_t_be_connected_to_is_given_up(server, cache, monkeypatch):
    impatient(monkeypatch)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as stack:
        monkeypatch.setattr(remote, "HOST", f"http://127.0.0.1:{full.getsockname()[1]}")
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        with pytest.raises(StrainError, match=r"can't be reached \(no answer in time\); offline"):
            quietly(EVENT, cache)


def test_without_a_network_one_line_says_what_to_do(server, cache):
    server.server_close()
    for ask in (lambda: quietly(EVENT, cache), lambda: find_event("GW151226")):
        with pytest.raises(StrainError) as caught:
            ask()
        assert "\n" not in str(caught.value)
        assert "Connection refused" in str(caught.value)
        assert "; offline? try again later" in str(caught.value)
        assert caught.value.cure == "strain"


def test_names_and_times_without_public_strain_are_told(server, cache):
    with pytest.raises(StrainError, match=r"GPS 900000000.5: there is no public strain; gwosc"):
        quietly(900000000.5, cache)
    with pytest.raises(StrainError, match="event GW999999: GWOSC has none of that name; give a"):
        find_event("GW999999")
    asked = len(server.asked)
    for name in ("../runs/O1", "", "a;b"):
        with pytest.raises(StrainError, match="give a name of GWOSC's, such as GW150914"):
            find_event(name)
    for gps in (float("nan"), -1.0, "2015-02-30"):
        with pytest.raises(ValueError, match="give GPS seconds, such as"):
            fetch(gps, "H1", cache)
    with pytest.raises(StrainError, match="give H1, L1, V1, K1 or G1"):
        fetch(EVENT, "X1", cache)
    assert len(server.asked) == asked


def test_an_event_has_a_time(server):
    assert find_event("GW151226") == ("GW151226", 1135136350.6)
    asked = len(server.asked)
    for name in ("GW150914", "gw150914", " GW 150914 "):  # known, so that a local file will do
        assert find_event(name) == ("GW150914", EVENT)
    assert len(server.asked) == asked
    assert {(preset.name, preset.detector) for preset in PRESETS} >= {
        ("GW150914", "H1"),
        ("GW150914", "L1"),
        ("Koi Fish", "H1"),
    }


def test_an_event_with_its_time_in_its_name_is_found_by_the_date_alone(server):
    assert find_event("gw190814") == ("GW190814_211039", 1249852257.0)
    both = "event GW190828: there are GW190828_063405 and GW190828_065509; give one of them"
    with pytest.raises(StrainError, match=both):
        find_event("GW190828")
    with pytest.raises(StrainError, match="GWOSC has none of that name"):
        find_event("GW19082")


@pytest.mark.parametrize("name", ["S190521g", "s190521G", "MS230101ab"])
def test_a_superevent_is_said_to_be_one(server, name):
    with pytest.raises(StrainError, match=r"is a superevent, .* which GWOSC doesn't; give a name"):
        find_event(name)
    assert not server.asked


@pytest.mark.parametrize("name", ["1126259462.4", "2015-09-14 09:50:45"])
def test_a_time_in_the_place_of_a_name_is_said_to_be_one(server, name):
    with pytest.raises(StrainError, match="is a time, no event's name; give it as the time"):
        find_event(name)
    assert not server.asked
