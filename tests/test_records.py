"""Prepared data sets: written once, whole or continued, the same pixels as the files."""

import errno
import itertools
import json
import os
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pandas as pd
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from toy_pictures import toy_simulation

from flax_glitch.classes import CLASSES, DURATIONS
from flax_glitch.data import builder as builder_module
from flax_glitch.data import records as records_module
from flax_glitch.data.layouts import SPLITS, SourceError
from flax_glitch.data.pictures import PictureError, load_picture, resize
from flax_glitch.data.records import prepare
from flax_glitch.data.table import COLUMNS, count_glitches, glitch_numbers, open_source
from flax_glitch.simulate import catalogue

SIZE = 32

PREPARE_UP_TO = """
import itertools, os, sys, time
from pathlib import Path
from flax_glitch.data import builder, records
read, count = builder.read_picture, itertools.count(1)
folder, cache, most, go_on = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
def read_up_to(root, row):
    os.write(1, b"read\\n")
    if next(count) > most:
        while not Path(go_on).exists():
            time.sleep(0.02)
    return read(root, row)
builder.read_picture = read_up_to
records.prepare(folder, 32, cache=cache)
"""

NO_TENSORFLOW_NO_NETWORK = """
import logging, socket, sys
def refuse(*args, **kwargs):
    raise RuntimeError("tried the network")
socket.socket.connect = socket.getaddrinfo = refuse
from pathlib import Path
from flax_glitch.data.batches import training_batches
from flax_glitch.data.records import prepare
logging.getLogger("absl").setLevel(logging.WARNING)
prepared = prepare(Path(sys.argv[1]), 32, cache=Path(sys.argv[2]), progress=False)
train = prepared.split("train")
list(training_batches(train, train.alone, 4, seed=0, epoch=0))
if "tensorflow" in sys.modules:
    raise RuntimeError("TensorFlow was imported")
"""


@pytest.fixture
def folder(tmp_path):
    """Four glitches in each of two classes, four windows each, and one picture of its own."""
    random = np.random.default_rng(0)
    for label in ("Whistle", "Blip"):
        (tmp_path / "source" / label).mkdir(parents=True)
        names = [f"H1_{label}{n}_spectrogram_{d}.png" for n in range(4) for d in DURATIONS]
        for name in [*names, "other.png"]:
            pixels = random.integers(0, 256, (60, 70, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "source" / label / name)
    return tmp_path / "source"


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def assert_equal(one, other):
    pd.testing.assert_frame_equal(one.table, other.table)
    assert one._replace(table=None) == other._replace(table=None)


def quietly(source, cache, size=SIZE):
    return prepare(source, size, cache=cache, progress=False)


@pytest.fixture
def start():
    """Starts a script in another process, which ends with the test at the latest."""
    processes = []

    def start(script, *arguments):
        command = [sys.executable, "-c", script, *map(str, arguments)]
        pipe = subprocess.PIPE
        processes.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True))
        return processes[-1]

    yield start
    for process in processes:
        with process:  # waits for its end and closes its pipes
            process.kill()


def assert_holds_all(prepared, folder, size=SIZE):
    """Compares every record with its file, bit for bit, and the split with the source's."""
    source = open_source(folder)
    for name in SPLITS:
        split = prepared.split(name)
        rows = source.table[source.table["split"] == name].reset_index(drop=True)
        pd.testing.assert_frame_equal(split.table, rows)
        for picture, path in zip(split, split.table["path"], strict=True):
            pixels = resize(load_picture(folder / path).pixels, size)
            np.testing.assert_array_equal(picture, pixels)


def test_records_are_the_files_pixels_bit_for_bit_in_the_sources_split(folder, cache):
    prepared = quietly(folder, cache)
    assert prepared.layout == "folder"
    assert_holds_all(prepared, folder)


def test_labels_and_entries_need_no_decoding_and_the_views_of_a_glitch_are_neighbours(
    folder, cache, monkeypatch
):
    split = quietly(folder, cache).split("train")
    monkeypatch.setattr(records_module, "Image", None)
    assert split.classes == ("Blip", "Whistle")
    np.testing.assert_array_equal(split.labels, split.table["label"] == "Whistle")
    numbers = glitch_numbers(split.table)
    changes = sum(one != other for one, other in itertools.pairwise(numbers))
    assert changes == count_glitches(split.table) - 1
    assert set(split.table["duration"].dropna()) == set(DURATIONS)


def test_no_glitch_is_in_two_splits(folder, cache):
    prepared = quietly(folder, cache)
    each = [count_glitches(prepared.split(name).table) for name in SPLITS]
    assert sum(each) == count_glitches(prepared.table) == 10


def test_a_split_counts_as_a_sequence_does(folder, cache):
    split = quietly(folder, cache).split("train")
    np.testing.assert_array_equal(split[-1], split[len(split) - 1])
    np.testing.assert_array_equal(split[np.int64(1)], split[1])
    with pytest.raises(IndexError):
        split[len(split)]


def test_tfds_alone_reads_the_data_set(folder, cache):
    prepared = quietly(folder, cache)
    builder = tfds.builder_from_directory(prepared.directory)
    assert builder.name == "gravity_spy"
    assert tuple(builder.info.features["label"].names) == prepared.classes
    for name in SPLITS:
        split = prepared.split(name)
        records = builder.as_data_source(name)
        for number, row in split.table.iterrows():
            np.testing.assert_array_equal(records[number]["image"], split[number])
            assert records[number]["label"] == prepared.classes.index(row["label"])
            assert records[number]["gravityspy_id"].decode() == row["id"]
            assert records[number]["duration"] == np.nan_to_num(row["duration"])


def test_records_keep_their_order_over_several_files(folder, cache, monkeypatch):
    monkeypatch.setattr(builder_module, "_RECORDS_A_SHARD", 5)
    prepared = quietly(folder, cache)
    assert len(list(prepared.directory.glob("*train*"))) > 1
    assert_holds_all(prepared, folder)


def test_the_second_call_reads_no_picture(folder, cache, monkeypatch):
    first = quietly(folder, cache)
    monkeypatch.setattr(builder_module, "read_picture", None)
    assert_equal(quietly(folder, cache), first)
    assert not (first.directory.parent / "work").exists()


def test_a_changed_picture_and_another_size_are_prepared_anew(folder, cache):
    first = quietly(folder, cache)
    picture = folder / first.split("train").table["path"][0]
    Image.new("RGB", (80, 80), "red").save(picture)
    assert_holds_all(quietly(folder, cache), folder)
    assert_holds_all(quietly(folder, cache, size=24), folder, size=24)


def test_unreadable_pictures_are_listed_counted_and_left_out(folder, cache):
    (folder / "Blip" / "other.png").write_bytes(b"")
    bad = "H1_Whistle0_spectrogram_2.0.png"
    (folder / "Whistle" / bad).write_bytes((folder / "Whistle" / bad).read_bytes()[:900])
    prepared = quietly(folder, cache)
    assert sorted("Blip" in line for line in prepared.unreadable) == [False, True]
    assert any(bad in line for line in prepared.unreadable)
    assert any("unreadable pictures, left out: 2 (" in notice for notice in prepared.notices)
    assert sum(len(prepared.split(name)) for name in SPLITS) == len(prepared.table) == 32
    assert_equal(quietly(folder, cache), prepared)


def test_a_picture_that_can_be_read_again_is_no_longer_left_out(folder, cache, monkeypatch):
    def refuse(root, row):
        raise PictureError(f"{row['path']}: can't be read (Permission denied)")

    monkeypatch.setattr(builder_module, "read_picture", refuse)
    with pytest.raises(SourceError, match="no picture can be read"):
        quietly(folder, cache)
    monkeypatch.undo()
    prepared = quietly(folder, cache)
    assert prepared.unreadable == ()
    assert_holds_all(prepared, folder)
    (folder / "Blip" / "other.png").chmod(0o600)
    assert quietly(folder, cache).directory != prepared.directory


def test_a_source_without_any_readable_picture_is_refused(tmp_path, cache):
    (tmp_path / "source" / "Blip").mkdir(parents=True)
    (tmp_path / "source" / "Blip" / "a.png").touch()
    with pytest.raises(SourceError, match=r"no picture can be read, such as .*a\.png"):
        quietly(tmp_path / "source", cache)


def test_a_split_without_pictures_is_empty(tmp_path, cache):
    (tmp_path / "source" / "Blip").mkdir(parents=True)
    Image.new("RGB", (40, 40)).save(tmp_path / "source" / "Blip" / "a.png")
    prepared = quietly(tmp_path / "source", cache)
    assert [len(prepared.split(name)) for name in SPLITS] == [1, 0, 0]
    assert list(prepared.split("test")) == []
    assert prepared.split("test").labels.shape == (0,)
    assert set(tfds.builder_from_directory(prepared.directory).as_data_source()) == {"train"}


def test_the_v1d0_file_is_prepared(tmp_path, cache):
    with h5py.File(tmp_path / "v1d0.h5", "w") as file:
        for number, split in enumerate(SPLITS):
            file[f"Chirp/{split}/id{number}/0.5.png"] = np.full((1, 140, 170), 0.2 * number)
    prepared = quietly(tmp_path / "v1d0.h5", cache)
    for number, name in enumerate(SPLITS):
        (picture,), row = prepared.split(name), prepared.split(name).table.iloc[0]
        assert (picture == 51 * number).all()
        assert (row["path"], row["key"]) == ("v1d0.h5", f"Chirp/{name}/id{number}/0.5.png")


def test_a_killed_prepare_is_continued(folder, cache, tmp_path, start):
    process = start(PREPARE_UP_TO, folder, cache, 10, tmp_path / "never")
    while len(list(cache.glob("gravity_spy/*/w*k/*.png"))) < 10:
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    (work,) = cache.glob("gravity_spy/*/work")
    # What TFDS leaves when it is killed while it writes.
    (work.parent / "incomplete.ABC_1.1.0").mkdir()
    process = start(PREPARE_UP_TO, folder, cache, 34, tmp_path / "never")
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert out.count("read") == 34 - 10
    prepared = quietly(folder, cache)
    assert_holds_all(prepared, folder)
    assert {path.name for path in work.parent.iterdir()} == {
        builder_module.VERSION,
        "index.json",
        "lock",
    }


def test_of_two_processes_one_writes_and_the_other_waits_and_says_so(
    folder, cache, tmp_path, start
):
    writes = start(PREPARE_UP_TO, folder, cache, 0, tmp_path / "go")
    assert writes.stdout.readline() == "read\n"
    waits = start(PREPARE_UP_TO, folder, cache, 0, tmp_path / "go")
    assert "another process prepares this" in waits.stderr.readline()
    (tmp_path / "go").touch()
    answers = [process.communicate() for process in (writes, waits)]
    assert (writes.returncode, waits.returncode) == (0, 0), answers
    assert "read" not in answers[1][0]
    assert_holds_all(quietly(folder, cache), folder)


def test_preparing_and_reading_take_no_tensorflow_no_network_and_say_nothing(folder, cache, start):
    process = start(NO_TENSORFLOW_NO_NETWORK, folder, cache)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert (out, err) == ("", "")


def test_progress_is_a_bar_on_stderr(folder, cache, capfd, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    prepare(folder, SIZE, cache=cache)
    out, err = capfd.readouterr()
    assert out == ""
    assert "34/34" in err


def test_a_full_disk_ends_in_one_line_and_keeps_what_is_done(folder, cache, monkeypatch):
    whole = builder_module.write_whole

    def fill(target, content):
        if target.name == "000020.png":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        whole(target, content)

    monkeypatch.setattr(builder_module, "write_whole", fill)
    with pytest.raises(SourceError, match=r"No space left.*free some space") as raised:
        quietly(folder, cache)
    assert "\n" not in str(raised.value)
    assert list(cache.glob("gravity_spy/*/w*k/*.png"))
    monkeypatch.undo()
    assert_holds_all(quietly(folder, cache), folder)


def test_a_disk_that_fills_while_tfds_writes_ends_in_one_line_too(folder, cache, monkeypatch):
    def fill(*args, **kwargs):
        # As array_record said it on a full disk.
        raise RuntimeError("write() failed: No space left on device; writing a; at byte 1404928")

    monkeypatch.setattr(builder_module.GravitySpy, "download_and_prepare", fill)
    with pytest.raises(SourceError, match=r"write\(\) failed: No space.*; free some space"):
        quietly(folder, cache)
    monkeypatch.undo()
    assert_holds_all(quietly(folder, cache), folder)


def test_a_cache_that_cannot_be_written_is_named_in_one_line(folder, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SourceError, match=r"can't be prepared: .*file.*another cache") as raised:
        quietly(folder, tmp_path / "file" / "cache")
    assert "\n" not in str(raised.value)


def test_a_refused_source_leaves_nothing_in_the_cache(folder, cache):
    (folder / "Whistle" / "H1_Blip0_spectrogram_0.5.png").touch()
    with pytest.raises(SourceError, match="H1_Blip0 is under two labels"):
        quietly(folder, cache)
    assert not cache.exists()


def test_too_small_a_size_is_refused(folder, cache):
    with pytest.raises(SourceError, match="size 8: pictures need at least 16"):
        quietly(folder, cache, size=8)


def test_the_projects_own_glitches_are_simulated_once_as_a_config_of_that_name(cache, monkeypatch):
    monkeypatch.setattr(records_module, "_GLITCHES_A_CLASS", 1)
    monkeypatch.setattr(catalogue, "simulate", toy_simulation)
    first = quietly("simulated", cache)
    assert first.layout == "simulated"
    assert first.classes == tuple(first.split("train").table["label"].unique()) == CLASSES
    config = tfds.builder_from_directory(first.directory).builder_config.name
    assert config.startswith(f"simulated-{SIZE}-")
    monkeypatch.setattr(catalogue, "draw_glitches", None)
    assert_equal(quietly("simulated", cache), first)


def test_simulating_goes_on_where_it_was_killed(cache, monkeypatch):
    monkeypatch.setattr(records_module, "_GLITCHES_A_CLASS", 1)
    made = []

    def until_killed(label, rng):
        made.append(label)
        if len(made) == 20:
            raise KeyboardInterrupt
        return toy_simulation(label, rng)

    monkeypatch.setattr(catalogue, "simulate", until_killed)
    with pytest.raises(KeyboardInterrupt):
        quietly("simulated", cache)
    assert len(quietly("simulated", cache).split("train")) == 4 * 22
    assert len(made) == 20 + 3


def test_the_index_is_plain_json_beside_the_data_set(folder, cache):
    prepared = quietly(folder, cache)
    index = json.loads((prepared.directory.parent / "index.json").read_text())
    assert tuple(index["table"]) == COLUMNS


def test_the_real_pictures_come_out_as_they_are_and_fast_the_second_time(shared_data, cache):
    folder = shared_data / "gravityspy"
    prepared = quietly(folder, cache, size=64)
    assert_holds_all(prepared, folder, size=64)
    began = time.perf_counter()
    quietly(folder, cache, size=64)
    assert time.perf_counter() - began < 1


def test_only_some_classes_are_taken_and_the_others_told_of_without_writing_anew(
    folder, cache, monkeypatch
):
    all_of_them = quietly(folder, cache)
    monkeypatch.setattr(builder_module, "read_picture", None)
    model = ("Chirp", "Whistle")
    some = quietly(folder, cache).only(model)
    assert some.directory == all_of_them.directory
    (notice,) = [notice for notice in some.notices if "other classes" in notice]
    assert notice == "pictures of other classes, left out: 17 (Blip)"
    for name in SPLITS:
        split, whole = some.split(name), all_of_them.split(name)
        assert split.classes == model
        assert set(split.labels) == {1}
        wanted = np.flatnonzero(whole.table["label"] == "Whistle")
        for picture, number in zip(split, wanted, strict=True):
            np.testing.assert_array_equal(picture, whole[number])
    with pytest.raises(SourceError, match=r"none of the classes here \(Blip, Whistle\)"):
        quietly(folder, cache).only(("Chirp", "Helix"))
