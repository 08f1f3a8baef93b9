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


def test_of_text_only_files_named_as_gwoscs_are_taken(tmp_path):
    for name in ("H-H1_LOSC_4_V2-1000-32.txt.gz", "L-L1_LOSC_4_V2-1000-32.txt", "notes.txt"):
        (tmp_path / name).write_text("")
    files, _ = list_strain(tmp_path)
    assert [(file.detector, file.start, file.end) for file in files] == [
        ("H1", 1000, 1032),
        ("L1", 1000, 1032),
    ]


def test_files_are_known_by_their_name_or_by_their_content(folder):
    files, notice = list_strain(folder)
    assert [(file.path.name, file.detector, file.start, file.end) for file in files] == [
        ("H-H1_MADE_4KHZ_R1-1000-200.hdf5", "H1", 1000.0, 1200.0),
        ("H-H1_MADE_4KHZ_R1-1050-32.hdf5", "H1", 1050.0, 1082.0),
        ("mine.h5", "L1", 5000.5, 5020.5),
    ]
    assert list_strain(folder / "deeper" / "mine.h5") == (files[2:], notice)
    assert notice == ""


@pytest.mark.parametrize("gps", [1003.2, 1060.0, 1100.7, 1196.5])
def test_an_event_gets_the_same_block_as_of_its_whole_file(folder, gps):
    strain = read_around(list_strain(folder)[0], "H1", gps)
    assert strain.duration < 70
    samples, event = block(strain, gps)
    whole, place = block(read_strain(folder / "H-H1_MADE_4KHZ_R1-1000-200.hdf5"), gps)
    assert event == place
    np.testing.assert_array_equal(samples, whole)


def test_a_time_or_detector_without_a_file_says_what_there_is(folder):
    files, _ = list_strain(folder)
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
    files, _ = list_strain(tmp_path)
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


def test_a_folder_without_strain_is_an_error_and_foreign_files_are_skipped(tmp_path):
    with pytest.raises(StrainError, match="no strain files there"):
        list_strain(tmp_path)
    with pytest.raises(StrainError, match="no strain files there"):
        list_strain(tmp_path / "absent.hdf5")
    for name in ("foreign.hdf5", "other.gwf"):
        (tmp_path / name).write_bytes(b"\0something else")
    with h5py.File(tmp_path / "L1-OMICRON.h5", "w") as file:
        file["triggers"] = np.zeros(4, [("time", float), ("snr", float)])
    with pytest.raises(StrainError, match=r"L1-OMICRON\.h5: has no data set strain/Strain"):
        list_strain(tmp_path)
    (tmp_path / "H-H1_MADE_4KHZ_R1-1000-32.hdf5").write_bytes(b"something else")
    files, notice = list_strain(tmp_path)
    assert len(files) == 1  # not opened before it is wanted
    assert re.fullmatch(r"skipped .*L1-OMICRON\.h5: has no data set .*, and 2 more", notice)


def split(folder, begin, seconds, whole, size, **options):
    """Writes what lies in the whole from a second on as files of a size, in seconds."""
    for start in range(begin, begin + seconds, size):
        part = whole[(start - 1000) * RATE : (start - 1000 + size) * RATE]
        write_strain(folder / f"H-H1_MADE-{start}-{size}.hdf5", part, start, **options)


@pytest.mark.parametrize("size", [4, 16, 64, 96])
@pytest.mark.parametrize("gps", [1003.3, 1096.1, 1130.0, 1188.5])
def test_files_that_go_on_from_each_other_are_joined(tmp_path, size, gps):
    whole = np.random.default_rng(0).standard_normal(192 * RATE)
    split(tmp_path, 1000, 192, whole, size)
    strain = read_around(list_strain(tmp_path)[0], "H1", gps)
    assert strain.duration < 70
    samples, event = block(strain, gps)
    expected, place = block(Strain(whole, 1000.0, float(RATE), "H1"), gps)
    np.testing.assert_array_equal(samples, expected)
    assert event == pytest.approx(place)


def test_a_gap_other_rates_other_channels_and_damaged_files_are_not_joined(tmp_path):
    whole = np.random.default_rng(0).standard_normal(100 * RATE)
    split(tmp_path, 1000, 16, whole, 16)
    split(tmp_path, 1020, 20, whole, 20)  # after a gap
    assert read_around(list_strain(tmp_path)[0], "H1", 1030.0).start == 1020
    write_strain(tmp_path / "H-H1_16K-1040-8.hdf5", whole[: 8 * 4 * RATE], 1040, rate=4 * RATE)
    with h5py.File(tmp_path / "H-H1_OTHER-1040-8.hdf5", "w") as file:
        file["other"] = whole[: 8 * RATE]
        file["other"].attrs.update(x0=1040.0, dx=1 / RATE)
    (tmp_path / "H-H1_BAD-1040-8.hdf5").write_bytes(b"nothing")
    strain = read_around(list_strain(tmp_path)[0], "H1", 1030.0)
    assert (strain.start, strain.end, np.isnan(strain.values).any()) == (1020, 1040, False)


def test_an_event_is_found_in_a_folder_and_its_detector_too_if_it_is_the_only_one(folder):
    (folder / "foreign.h5").write_bytes(b"\0")
    found = find(Question(gps=5010.0, strain=str(folder)))
    assert [one.detector for one in found.triggers] == ["L1"]
    assert "foreign.h5" in found.notice
    with pytest.raises(StrainError, match="there is strain of none of the 3 files at GPS 7000"):
        find(Question(gps=7000.0, strain=str(folder)))
    noise = np.random.default_rng(0).standard_normal(20 * RATE)
    write_strain(folder / "L-L1_MADE-1100-20.hdf5", noise, 1100, detector="L1")
    with pytest.raises(StrainError, match="there is strain of H1 and L1 at GPS 1110") as caught:
        find(Question(gps=1110.0, strain=str(folder)))
    assert caught.value.cure == "give detector"
    assert find(Question(gps=1110.0, detector="L1", strain=str(folder))).read("L1", 1.0).end == 1120
