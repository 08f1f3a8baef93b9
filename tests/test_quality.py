"""GWOSC's bit masks: which seconds are flagged, and by what."""

import numpy as np
import pytest

from flax_glitch.strain.quality import Flag, flags_of, mask_of, worded

NAMES = ["DATA", "CBC_CAT2", "NO_CBC_HW_INJ", "NO_CW_HW_INJ"]


@pytest.mark.parametrize("kind", [np.uint32, np.int32, np.int64])
def test_each_stretch_without_a_bit_is_a_flag_of_its_name(kind):
    mask = np.array([0b1101, 0b1111, 0b0111, 0b1001, 0b1001], kind)
    assert flags_of(mask, NAMES, 1000.0, 1.0) == [
        Flag("CBC_CAT2", 1000, 1001),
        Flag("CBC_CAT2", 1003, 1005),
        Flag("NO_CBC_HW_INJ", 1003, 1005),
    ]
    assert flags_of(np.full(5, 0b1111, kind), NAMES, 1000.0, 1.0) == []


def test_names_beyond_the_bits_of_a_mask_flag_nothing():
    assert flags_of(np.array([0xFFFFFFFF], np.uint32), ["x"] * 40, 0.0, 1.0) == []


def test_a_mask_made_of_flags_gives_them_back():
    flags = [Flag("A", 1001, 1003), Flag("NO_B", 1000, 1001), Flag("NO_B", 1004, 1006)]
    mask, names = mask_of([*flags, Flag("A", 990, 1000), Flag("A", 1005.5, 2000)], 1000.0, 6)
    assert (len(mask), names) == (6, ["A", "NO_B"])
    assert flags_of(mask, names, 1000.0, 1.0) == flags
    assert flags_of(*mask_of([], 1000.0, 6), 1000.0, 1.0) == []


def test_a_time_is_flagged_by_what_is_missing_then():
    flags = [Flag("CBC_CAT2", 1001, 1003), Flag("NO_CBC_HW_INJ", 1002, 1004)]
    assert worded(flags, 1000.9) == ()
    assert worded(flags, 1001.0) == ("fails CBC_CAT2",)
    assert worded(flags, 1002.5) == ("fails CBC_CAT2", "injected CBC_HW_INJ")
    assert worded(flags, 1003.0) == ("injected CBC_HW_INJ",)
