"""Which file of a folder holds an event."""

import numpy as np
import pytest
from gwosc_server import RATE, write_strain

from flax_glitch.events.find import list_strain, read_around
from flax_glitch.strain.files import block, read_strain
from flax_glitch.strain.formats import StrainError


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
