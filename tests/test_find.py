"""From a question to its events, and which file of a folder holds one."""

import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from gwosc_server import RATE, write_strain

from flax_glitch import events, strain
from flax_glitch.events.find import find, list_strain, read_around
from flax_glitch.events.question import Question
from flax_glitch.events.triggers import Trigger, stable_id
from flax_glitch.strain.channels import StrainError
from flax_glitch.strain.files import Strain, block, read_strain
from flax_glitch.strain.gwosc import PRESETS


@pytest.fixture
def folder(tmp_path):
    """200 s of H1 as one file, 32 s of it in another, and L1 under a name that doesn't tell."""
    (tmp_path / "deeper").mkdir()
    noise = np.random.default_rng(0).standard_normal(200 * RATE)
    write_strain(tmp_path / "H-H1_MADE_4KHZ_R1-1000-200.hdf5", noise, 1000)
    write_strain(tmp_path / "H-H1_MADE_4KHZ_R1-1050-32.hdf5", noise[50 * RATE : 82 * RATE], 1050)
    write_strain(tmp_path / "deeper" / "mine.h5", noise[: 20 * RATE], 5000.5, detector="L1")
    (tmp_path / "readme.txt").write_text("not strain")
    return tmp_path


def test_files_are_known_by_their_name_or_by_their_content(folder):
    files = list_strain(folder)
    assert [(file.path.name, file.detector, file.start, file.end) for file in files] == [
        ("H-H1_MADE_4KHZ_R1-1000-200.hdf5", "H1", 1000.0, 1200.0),
        ("H-H1_MADE_4KHZ_R1-1050-32.hdf5", "H1", 1050.0, 1082.0),
        ("mine.h5", "L1", 5000.5, 5020.5),
    ]
    assert list_strain(folder / "deeper" / "mine.h5") == files[2:]


@pytest.mark.parametrize("gps", [1003.2, 1060.0, 1100.7, 1196.5])
def test_an_event_gets_the_same_block_as_of_its_whole_file(folder, gps):
    strain = read_around(list_strain(folder), "H1", gps)
    assert strain.duration < 70
    samples, event = block(strain, gps)
    whole, place = block(read_strain(folder / "H-H1_MADE_4KHZ_R1-1000-200.hdf5"), gps)
    assert event == place
    np.testing.assert_array_equal(samples, whole)


def test_a_time_or_detector_without_a_file_says_what_there_is(folder):
    files = list_strain(folder)
    with pytest.raises(StrainError, match=r"no strain of H1 at GPS 1200\.000: 2 of the 3 files"):
        read_around(files, "H1", 1200.0)
    with pytest.raises(StrainError, match=r"no strain of V1 at GPS 1100\.000: 0 of the 3 files"):
        read_around(files, "V1", 1100.0)


def test_a_question_finds_one_event_and_its_strain(folder):
    path = folder / "H-H1_MADE_4KHZ_R1-1050-32.hdf5"
    found = find(Question(gps=1060.5, strain=str(path)))
    assert found.triggers == [Trigger("H1", 1060.5, stable_id("H1", 1060.5))]
    strain = found.read("H1", 1060.5)
    assert (strain.start, strain.duration, found.faulty, found.table) == (1050, 32, [], None)


def test_a_file_of_two_detectors_is_there_for_both(tmp_path):
    path = tmp_path / "both.hdf"
    with h5py.File(path, "w") as file:
        for factor, detector in ((1, "H1"), (2, "L1")):
            name = f"{detector}/strain"
            file[name] = factor * np.random.default_rng(0).standard_normal(20 * RATE)
            file[name].attrs.update(start_time=1000.0, delta_t=1 / RATE)
    files = list_strain(tmp_path)
    assert [(file.detector, file.start, file.end) for file in files] == [
        ("H1", 1000, 1020),
        ("L1", 1000, 1020),
    ]
    one, other = (read_around(files, detector, 1010.0) for detector in ("H1", "L1"))
    np.testing.assert_array_equal(2 * one.values, other.values)
    assert (other.detector, other.channel) == ("L1", "L1/strain")


def test_a_question_finds_a_tables_events_and_the_folder_that_holds_their_strain(folder):
    table = folder / "table.csv"
    table.write_text("gps,detector\n1100,H1\n5010,L1\nsoon,L1\n")
    found = find(Question(triggers=str(table), strain=str(folder)))
    assert [(one.detector, one.gps) for one in found.triggers] == [("H1", 1100), ("L1", 5010)]
    assert [row.name for row in found.faulty] == ["table.csv, line 4"]
    assert found.table == table
    assert found.read("L1", 5010.0).detector == "L1"


def test_a_known_events_time_is_fetched_from_its_own_files(monkeypatch):
    asked = []

    def fetch(gps, detector, cache, *, event, progress):
        asked.append(event)
        return Strain(np.zeros(8), gps, float(RATE), detector)

    monkeypatch.setattr("flax_glitch.events.find.fetch", fetch)
    for preset in PRESETS:
        find(Question(gps=preset.gps, detector=preset.detector))
    assert asked == [preset.event for preset in PRESETS]


def test_no_message_below_the_faces_names_an_option():
    rooms = [Path(room.__file__).parent for room in (strain, events)]
    files = [file for room in rooms for file in sorted(room.glob("*.py"))]
    assert len(files) > 8
    named = {file.name: re.findall(r"--[a-z][a-z-]+", file.read_text()) for file in files}
    assert {file: options for file, options in named.items() if options} == {}


def test_a_folder_without_strain_or_with_a_foreign_file_is_an_error(tmp_path):
    with pytest.raises(StrainError, match="no strain files there"):
        list_strain(tmp_path)
    with pytest.raises(StrainError, match="no strain files there"):
        list_strain(tmp_path / "absent.hdf5")
    (tmp_path / "H-H1_MADE_4KHZ_R1-1000-32.hdf5").write_bytes(b"something else")
    assert len(list_strain(tmp_path)) == 1  # not opened before it is wanted
    (tmp_path / "foreign.hdf5").write_bytes(b"something else")
    with pytest.raises(StrainError, match=r"foreign\.hdf5"):
        list_strain(tmp_path)
