"""Which channel of a file is taken for its strain, and when none is."""

import pytest

from flax_glitch.strain.channels import SeveralDetectorsError, StrainError, choose

FRAME = ["H1:GDS-CALIB_STRAIN", "H1:INJ-STRAIN", "H1:GDS-CALIB_STATE_VECTOR", "H1:PEM-MIC_DQ"]
CLEANED = ["V1:Hrec_hoft_20000Hz", "V1:Hrec_hoft_16384Hz_clean", "V1:Hrec_hoft_16384Hz"]
PUBLIC = ["L1:GWOSC-4KHZ_R1_STRAIN", "L1:GWOSC-4KHZ_R1_DQMASK", "L1:GWOSC-4KHZ_R1_INJMASK"]
BOTH = ["H1:DCS-CALIB_STRAIN_C01", "L1:GDS-CALIB_STRAIN", "L1:GDS-CALIB_STRAIN_CLEAN"]
VERSIONS = ["H1:DCS-CALIB_STRAIN_C01", "H1:DCS-CALIB_STRAIN_C02"]
KAGRA = ["K1:CAL-CS_PROC_C00_STRAIN_DBL_DQ", "K1:PEM-ACC_STRAINGAUGE"]


@pytest.mark.parametrize(
    ("names", "detector", "channel", "expected"),
    [
        (FRAME, None, None, "H1:GDS-CALIB_STRAIN"),
        (FRAME, None, "INJ-STRAIN", "H1:INJ-STRAIN"),
        (FRAME, None, "H1:PEM-MIC_DQ", "H1:PEM-MIC_DQ"),
        ([*FRAME, "H1:GDS-CALIB_STRAIN_CLEAN"], "H1", None, "H1:GDS-CALIB_STRAIN"),
        ([*FRAME, *VERSIONS[:1]], None, None, "H1:DCS-CALIB_STRAIN_C01"),
        (CLEANED, None, None, "V1:Hrec_hoft_16384Hz"),
        (PUBLIC, None, None, "L1:GWOSC-4KHZ_R1_STRAIN"),
        (BOTH, "L1", None, "L1:GDS-CALIB_STRAIN"),
        (BOTH, "H1", None, "H1:DCS-CALIB_STRAIN_C01"),
        (["G1:DER_DATA_H"], None, None, "G1:DER_DATA_H"),
        (KAGRA, None, None, "K1:CAL-CS_PROC_C00_STRAIN_DBL_DQ"),
        (["X1:OWN-STRAIN"], None, None, "X1:OWN-STRAIN"),
        (["data"], None, None, "data"),
        (VERSIONS, None, "DCS-CALIB_STRAIN_C02", "H1:DCS-CALIB_STRAIN_C02"),
    ],
)
def test_the_best_known_channel_is_the_strain_or_the_one_that_is_asked_for(
    names, detector, channel, expected
):
    for order in (names, names[::-1]):
        assert choose("a.gwf", order, detector, channel) == expected


@pytest.mark.parametrize(
    ("names", "channel", "said", "cure"),
    [
        (FRAME[1:], None, "no channel known as strain; it has H1:GDS-CALIB_STATE_", "give channel"),
        (["H1:GDS-CALIB_STRAIN_INJ1_O3Replay"], None, "has no channel known as", "give channel"),
        (["V1:DQ"], None, "has no channel known as strain; it has V1:DQ", "give channel"),
        ([], None, "has no channel known as strain; it has none", "give channel"),
        (VERSIONS, None, "has 2 channels that may be the strain: H1:DCS-CAL", "give channel"),
        (["a", "b"], None, "has 2 channels that may be the strain: a, b", "give channel"),
        (FRAME, "H1:GDS", "has no channel H1:GDS; it has H1:GDS-CALIB_STATE", "correct channel"),
        (BOTH, None, "holds strain of H1 and L1", "give detector"),
        ([f"H1:M{n:02}" for n in range(99)], None, "H1:M10, H1:M11, 87 more", "give channel"),
    ],
)
def test_where_there_is_none_or_no_single_one_the_names_are_told(names, channel, said, cure):
    with pytest.raises(StrainError) as caught:
        choose("a.gwf", names, None, channel)
    assert str(caught.value).startswith("a.gwf: ") and said in str(caught.value)
    assert caught.value.cure == cure


def test_a_file_of_several_detectors_says_which():
    with pytest.raises(SeveralDetectorsError) as caught:
        choose("a.gwf", BOTH, None, None)
    assert caught.value.detectors == ["H1", "L1"]
