"""Tables of triggers in the formats that the field writes, made here by the same libraries."""

import gzip
import tracemalloc

import h5py
import numpy as np
import pytest
from astropy.table import Table

from flax_glitch.events import tables
from flax_glitch.events.triggers import Trigger, TriggerError, read_triggers, stable_id
from flax_glitch.strain.formats import StrainError

T1, T2 = 1126259462.391, 1134216192.934
LIGOLW = """<?xml version='1.0' encoding='utf-8'?>
<!DOCTYPE LIGO_LW SYSTEM "http://ldas-sw.ligo.caltech.edu/doc/ligolwAPI/html/ligolw_dtd.txt">
<LIGO_LW>
  <Table Name="process:table">
    <Column Type="int_4s" Name="process:end_time"/>
    <Stream Delimiter="," Type="Local" Name="process:table">1</Stream>
  </Table>
  <Table Name="sngl_burst:table">
    <Column Type="lstring" Name="sngl_burst:ifo"/>
    <Column Type="int_4s" Name="sngl_burst:peak_time"/>
    <Column Type="int_4s" Name="sngl_burst:peak_time_ns"/>
    <Column Type="real_8" Name="sngl_burst:chisq"/>
    <Column Type="lstring" Name="sngl_burst:comment"/>
    <Stream Delimiter="," Type="Local" Name="sngl_burst:table">
      "L1",1134216192,934000000,,"a, b &amp; \\"c\\"",
      "H1",1126259462,391000000,7.5,"",
    </Stream>
  </Table>
</LIGO_LW>
"""


def found(path, detector=None):
    """Detector and time of the triggers, none of which is faulty."""
    triggers, faulty = read_triggers(path, detector)
    assert not faulty
    return [(one.detector, round(one.gps, 6)) for one in triggers]


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("GPS time,ifo,label\n1126259462.391,H1,Koi Fish\n", {"label": "Koi Fish"}),
        ("GPStime;IFO;label\r\n1126259462.391;H1;Koi Fish\r\n", {"label": "Koi Fish"}),
        ("# made by hand\n\ngps\tdetector\tlabel\n1126259462.391\tH1\t\n", {"label": ""}),
        ('time   ifo "Q value"\n 1126259462.391   H1\t"5, 6" \n', {"Q value": "5, 6"}),
        ('gps,ifo,"a\nb"\n# no row, "it says\n"1126259462.391","H1","c ""d"""', {"a\nb": 'c "d"'}),
        ("end_time,end_time_ns,ifo\n1126259462,391000000,H1\n", {"end_time": "1126259462"}),
        ("Peak time [s],peak_time_ns,Detector\n1126259462,391000000,H1\n", {"Detector": "H1"}),
        ("tc,channel,snr\n1126259462.391,H1:GDS-CALIB_STRAIN,9,extra\n", {"snr": "9"}),
        ("# time frequency snr\n# H1:GDS-CALIB_STRAIN\n1126259462.391 60.1 8\n", {"snr": "8"}),
        (
            "# central time [s]\n# central frequency [Hz]\n# snr []\n1126259462.391 60.1 8\n",
            {"snr []": "8"},
        ),
    ],
    ids=["comma", "semicolon and CRLF", "tab and comment", "white space", "quotes",
         "nanoseconds", "units", "channel", "named in a comment", "omicron"],
)  # fmt: skip
def test_text_is_read_whatever_its_delimiter_comments_and_names(tmp_path, text, row):
    for name, content in [("t.csv", text.encode()), ("t.txt.gz", gzip.compress(text.encode()))]:
        (tmp_path / name).write_bytes(content)
        (trigger,), faulty = read_triggers(tmp_path / name, "H1")
        assert not faulty
        assert trigger == Trigger("H1", T1, stable_id("H1", T1), row.get("label") or None)
        assert trigger.row.items() >= row.items()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_text_is_read_in_the_encodings_of_spreadsheets(tmp_path, encoding):
    path = tmp_path / "t.csv"
    path.write_text("gps,ifo,who\n1126259462.391,H1,Jürgen\n", encoding=encoding)
    assert read_triggers(path)[0][0].row["who"] == "Jürgen"


def test_lines_are_counted_as_an_editor_does(tmp_path):
    (tmp_path / "t.csv").write_text("# a\n\ngps,ifo\n# b\n1e9,H1\nsoon,H1\n")
    assert [row.name for row in read_triggers(tmp_path / "t.csv")[1]][-1] == "t.csv, line 6"


@pytest.mark.parametrize("time", ["1.12626e+09", "1.126259e9", "1.1262594e+09"])
def test_a_time_with_too_few_digits_is_refused_by_row(tmp_path, time):
    (tmp_path / "t.csv").write_text(f"gps,ifo\n{time},H1\n1.126259462391e+09,H1\n")
    (trigger,), (row,) = read_triggers(tmp_path / "t.csv")
    assert trigger.gps == T1
    assert row.reason == f"time {time} has too few digits for a glitch; write all of them"


def test_astropys_ecsv_is_read(tmp_path):
    table = Table({"time": [T1, T2], "ifo": ["H1", "L1"], "label": ["Koi Fish", ""]})
    table.write(tmp_path / "t.ecsv")
    assert found(tmp_path / "t.ecsv") == [("H1", T1), ("L1", T2)]
    assert read_triggers(tmp_path / "t.ecsv")[0][0].label == "Koi Fish"


@pytest.mark.parametrize("name", ["t.xml", "t.xml.gz"])
def test_ligo_lw_is_read_from_its_table_of_events(tmp_path, name):
    content = LIGOLW.encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert found(tmp_path / name) == [("H1", T1), ("L1", T2)]
    one, other = (trigger.row for trigger in read_triggers(tmp_path / name)[0])
    assert (one["chisq"], one["comment"]) == ("7.5", "")
    assert (other["chisq"], other["comment"]) == ("", 'a, b & "c"')


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ligolw_dtd.txt\">", 'x" [<!ENTITY a "b">]>', "declares the entity a"),
        ("</LIGO_LW>", "", "no element found"),
        ("sngl_burst", "process", "has no table sngl_burst or sngl_inspiral"),
        (",7.5,", ",", "has 9 values in 5 columns"),
    ],
)  # fmt: skip
def test_xml_that_is_cut_or_could_grow_is_refused(tmp_path, old, new, message):
    (tmp_path / "t.xml").write_text(LIGOLW.replace(old, new))
    with pytest.raises(TriggerError, match=message):
        read_triggers(tmp_path / "t.xml")


def test_omicrons_hdf5_is_read_and_its_file_names_the_detector(tmp_path):
    records = np.array([(T2, 60.0, 8.5), (T1, 30.0, 9.5)], "f8,f4,f4")
    records.dtype.names = ("time", "frequency", "snr")
    path = tmp_path / "L1-GDS_CALIB_STRAIN_OMICRON-1126259440-60.h5"
    with h5py.File(path, "w") as file:
        file["segments"] = np.array([(1.0, 2.0)], [("start", "f8"), ("end", "f8")])
        file["triggers"] = records
    assert found(path) == [("L1", T1), ("L1", T2)]
    assert read_triggers(path)[0][0].row["snr"] == "9.5"
    assert found(path.rename(tmp_path / "t.h5"), "H1") == [("H1", T1), ("H1", T2)]
    with pytest.raises(TriggerError, match="no column for the detector") as raised:
        read_triggers(tmp_path / "t.h5")
    assert raised.value.cure == "give detector"


def test_pycbcs_merged_triggers_are_read(tmp_path):
    with h5py.File(tmp_path / "t.hdf", "w") as file:
        for detector, time in (("H1", T1), ("L1", T2)):
            file[f"{detector}/end_time"] = [time]
            file[f"{detector}/snr"] = np.array([7.25], np.float32)
            file[f"{detector}/search/end_time"] = [5.0, 6.0]
            file[f"{detector}/gating/file/time"] = [5.0, 6.0]
    assert found(tmp_path / "t.hdf") == [("H1", T1), ("L1", T2)]
    assert read_triggers(tmp_path / "t.hdf")[0][0].row["snr"] == "7.25"


def test_links_and_times_of_single_precision_are_refused(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["H1/end_time"] = [T1]
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["H1"] = h5py.ExternalLink("other.h5", "H1")
        file["V1/end_time"] = h5py.ExternalLink("other.h5", "H1/end_time")
    with pytest.raises(TriggerError, match="has no records with a time"):
        read_triggers(tmp_path / "t.h5")
    with h5py.File(tmp_path / "t.h5", "a") as file:
        file["L1/end_time"] = np.array([T1], np.float32)
    with pytest.raises(TriggerError, match="float32 values, a minute apart"):
        read_triggers(tmp_path / "t.h5")


def test_what_would_grow_beyond_a_tables_size_is_refused_before(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "MAX_BYTES", 1 << 20)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"gps,ifo\n" + bytes([10]) * (1 << 26)))
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file.create_dataset("H1/end_time", (1 << 26,), "f8", chunks=True, compression="gzip")
    tracemalloc.start()
    for name in ("t.csv.gz", "t.h5"):
        with pytest.raises(TriggerError, match="has more than 1,048,576 bytes"):
            read_triggers(tmp_path / name)
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PAR1\0\0\0", "is no table; give text such as CSV"),
        (b"\x89HDF\r\n\x1a\nbroken", "can't be read"),
        (gzip.compress(b"gps,ifo\n1,H1\n" * 999)[:40], "can't be decompressed"),
        (b"", "it has none"),
        (b"gps,ifo\n" + b"5" * 200_000, "is no CSV table"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(tmp_path, content, message):
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(StrainError, match=message) as raised:
        read_triggers(tmp_path / "t")
    assert "\n" not in str(raised.value)
