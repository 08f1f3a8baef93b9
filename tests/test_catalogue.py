"""Sets of simulated glitches: Gravity Spy's layout, the pixels simulated, whole after any end."""

import csv
import errno
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy_pictures import toy_simulation

from flax_glitch.classes import CLASSES, DURATIONS
from flax_glitch.config import UsageError
from flax_glitch.data.builder import read_picture
from flax_glitch.data.table import open_source
from flax_glitch.files import SIMULATED_MARK, write_whole
from flax_glitch.simulate import catalogue
from flax_glitch.simulate.catalogue import draw_glitches
from flax_glitch.simulate.glitches import simulate
from flax_glitch.strain.picture import spectrogram

CLASSES_DRAWN = ("Blip", "Koi_Fish")


@pytest.fixture(autouse=True)
def simulated(monkeypatch):
    """The glitches simulated, toys: what real ones are like is another test's matter."""
    made = []

    def toy(label, rng):
        made.append(toy_simulation(label, rng))
        return made[-1]

    monkeypatch.setattr(catalogue, "simulate", toy)
    return made


def draw(out, per_class=2, seed=5, classes=CLASSES_DRAWN):
    draw_glitches(out, per_class, seed, classes=classes, progress=False)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")}


def pictures(folder):
    return {name: content for name, content in contents(folder).items() if name.endswith(".png")}


def test_every_class_gets_four_windows_a_glitch_under_gravity_spy_names(tmp_path):
    draw(tmp_path, per_class=1, classes=CLASSES)
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == set(CLASSES)
    names = [path.name for path in tmp_path.glob("*/*")]
    parts = [re.fullmatch(r"[HL]1_(\w{10})_spectrogram_(\d\.\d)\.png", name) for name in names]
    found = {(part[1], float(part[2])) for part in parts}
    ids = {id for id, _ in found}
    assert len(ids) == 22
    assert found == {(id, window) for id in ids for window in DURATIONS}


def test_the_reader_cuts_the_simulated_pixels_out_of_kaggles_geometry(tmp_path, simulated):
    draw(tmp_path, per_class=3)
    source = open_source(tmp_path)
    assert (source.layout, source.notices) == ("simulated", ())
    expected = {
        (glitch.label, glitch.detector, duration, spectrogram(energies).tobytes())
        for glitch in simulated
        for duration, energies in zip(DURATIONS, glitch.energies, strict=True)
    }
    read = [
        (row["label"], row["ifo"], row["duration"], read_picture(source.root, row))
        for row in source.table.to_dict("records")
    ]
    assert {picture.geometry for *_, picture in read} == {"kaggle"}
    assert {(*place, picture.pixels.tobytes()) for *place, picture in read} == expected


def test_a_real_simulation_comes_out_as_its_scan(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(catalogue, "simulate", simulate)
    draw(tmp_path, per_class=1, seed=1, classes=["Blip"])
    scan = simulate("Blip", np.random.default_rng([1, CLASSES.index("Blip"), 0]))
    rows = open_source(tmp_path).table.to_dict("records")
    assert [row["duration"] for row in rows] == list(DURATIONS)
    for row in rows:
        assert row["ifo"] == scan.detector
        pixels = read_picture(tmp_path, row).pixels
        np.testing.assert_array_equal(pixels, scan.views[row["duration"]])


def test_one_line_at_the_top_and_at_the_left_is_black(tmp_path):
    draw(tmp_path)
    with Image.open(next(tmp_path.glob("*/*.png"))) as image:
        picture = np.array(image.convert("RGB"))
    assert picture.shape == (479, 569, 3)
    assert not picture[0].any() and not picture[:, 0].any()
    assert picture[1:, 1:].any(-1).all()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_glitches(tmp_path, simulated):
    draw(tmp_path / "first")
    draw(tmp_path / "again")
    draw(tmp_path / "other", seed=6)
    assert contents(tmp_path / "first") == contents(tmp_path / "again")
    assert not pictures(tmp_path / "first").keys() & pictures(tmp_path / "other").keys()
    assert len({glitch.energies.tobytes() for glitch in simulated}) == 8


def test_neither_more_glitches_nor_other_classes_nor_their_order_change_a_glitch(tmp_path):
    draw(tmp_path / "all", per_class=2)
    draw(tmp_path / "one", per_class=1, classes=("koi fish",))
    assert len(pictures(tmp_path / "one")) == 4
    assert pictures(tmp_path / "one").items() <= pictures(tmp_path / "all").items()
    draw(tmp_path / "one", per_class=2, classes=CLASSES_DRAWN[::-1])
    assert contents(tmp_path / "one") == contents(tmp_path / "all")


def test_what_is_there_is_not_simulated_again(tmp_path, simulated):
    draw(tmp_path, per_class=1)
    assert len(simulated) == 2
    draw(tmp_path, per_class=2)
    assert len(simulated) == 4
    next(tmp_path.glob("Blip/*_2.0.png")).unlink()
    before = contents(tmp_path)
    draw(tmp_path, per_class=2)
    assert [glitch.label for glitch in simulated[4:]] == ["Blip"]
    assert before.items() < contents(tmp_path).items()


def test_a_whole_set_needs_no_leave_to_write(tmp_path, monkeypatch):
    draw(tmp_path)
    before = contents(tmp_path)
    for name in ("write_text", "unlink", "mkdir"):
        monkeypatch.setattr(Path, name, lambda *_, **__: pytest.fail("wrote something"))
    draw(tmp_path)
    assert contents(tmp_path) == before


def test_a_call_that_ends_early_is_continued_by_the_next(tmp_path, monkeypatch):
    draw(tmp_path / "whole")
    calls = []

    def until_killed(target, content):
        calls.append(target)
        if len(calls) == 7:
            target.with_name(".x.unfinished").write_bytes(b"half a picture")
            raise KeyboardInterrupt
        write_whole(target, content)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(catalogue, "write_whole", until_killed)
        draw(tmp_path / "killed")
    assert len(pictures(tmp_path / "killed")) == 6
    draw(tmp_path / "killed")
    next(tmp_path.glob("killed/*/.x.unfinished")).unlink()
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_a_call_that_is_killed_writing_the_manifest_is_continued_too(tmp_path, monkeypatch):
    def until_killed(target, content):
        target.with_name(".x.unfinished").write_text(content[:20])
        raise KeyboardInterrupt

    draw(tmp_path / "whole")
    draw(tmp_path / "killed")
    (tmp_path / "killed" / "manifest.csv").unlink()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(catalogue, "write_whole", until_killed)
        draw(tmp_path / "killed")
    draw(tmp_path / "killed")
    (tmp_path / "killed" / ".x.unfinished").unlink()
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_the_manifest_lists_the_glitches_and_a_line_says_that_they_are_simulated(tmp_path):
    draw(tmp_path, per_class=1, seed=6)
    draw(tmp_path)
    with (tmp_path / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["label"], row["seed"], row["number"]) for row in rows] == [
        (label, *place) for label in CLASSES_DRAWN for place in (("5", "0"), ("5", "1"), ("6", "0"))
    ]
    assert {row["q"] for row in rows} == {"5.66"}
    table = open_source(tmp_path).table
    found = set(zip(table.ifo, table.id, table.label, strict=True))
    assert {(row["ifo"], row["gravityspy_id"], row["label"]) for row in rows} == found
    assert (tmp_path / SIMULATED_MARK).read_text().startswith("Simulated by flax_glitch")
    with Image.open(next(tmp_path.glob("*/*.png"))) as image:
        assert image.info["Comment"] == catalogue.NOTE


def test_progress_is_a_bar_on_stderr_and_nothing_where_nothing_is_left(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    draw_glitches(tmp_path, 1, 0, classes=["Blip"])
    out, err = capsys.readouterr()
    assert "1/1" in err and out == ""
    draw_glitches(tmp_path, 1, 0, classes=["Blip"])
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"per_class": 0}, "0 glitches a class can't be drawn; give at least 1"),
        ({"seed": -1}, "--seed -1: give 0 to "),
        (
            {"classes": ["Blip", "Pizzicato"]},
            "no class to simulate: Pizzicato; choose from 1080Lines, ",
        ),
        ({"classes": ["Koi_Fihs"]}, r"Koi_Fihs \(did you mean Koi_Fish\?\); choose from"),
        ({"classes": []}, "no class to draw"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(tmp_path, arguments, said):
    with pytest.raises(UsageError, match=said) as raised:
        draw(tmp_path / "new", **arguments)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "new").exists()


def test_two_calls_that_begin_at_once_share_the_folder(tmp_path, monkeypatch):
    draw(tmp_path / "alone")
    make = Path.mkdir

    def overtaken(path, *arguments, **named):
        make(path, *arguments, **named)
        if path == tmp_path / "shared":
            monkeypatch.undo()
            monkeypatch.setattr(catalogue, "simulate", toy_simulation)
            draw(tmp_path / "shared")

    monkeypatch.setattr(Path, "mkdir", overtaken)
    draw(tmp_path / "shared")
    assert contents(tmp_path / "shared") == contents(tmp_path / "alone")


def test_the_manifest_lists_what_another_call_has_drawn_meanwhile(tmp_path, monkeypatch):
    def with_another_call(label, rng):
        monkeypatch.setattr(catalogue, "simulate", toy_simulation)
        draw(tmp_path, per_class=1, classes=["Whistle"])
        return toy_simulation(label, rng)

    monkeypatch.setattr(catalogue, "simulate", with_another_call)
    draw(tmp_path, per_class=1, classes=["Blip"])
    rows = (tmp_path / "manifest.csv").read_text().splitlines()[1:]
    assert [row.split(",")[2] for row in rows] == ["Blip", "Whistle"]


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "Blip").mkdir()
    (tmp_path / "Blip" / "H1_real_spectrogram_1.0.png").touch()
    before = contents(tmp_path)
    with pytest.raises(UsageError, match="holds other things; give a new or empty folder"):
        draw(tmp_path)
    assert contents(tmp_path) == before
    (tmp_path / "empty").mkdir()
    draw(tmp_path / "empty", per_class=1)


def test_a_file_in_the_place_of_the_folder_and_a_full_disk_end_in_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"file: .*; what is drawn is kept"):
        draw(tmp_path / "file")

    def fill(*arguments, **named):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fill)
    with pytest.raises(ValueError, match="full: No space left on device; what is drawn is kept"):
        draw(tmp_path / "full")
