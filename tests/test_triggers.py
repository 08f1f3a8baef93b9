"""Tables of triggers under the column names of three houses, and what is wrong with them."""

from collections import Counter

import pytest
from gwosc_server import Server

from flax_glitch import files
from flax_glitch.classes import CLASSES
from flax_glitch.events.triggers import (
    TRAINING_SET,
    Trigger,
    TriggerError,
    read_triggers,
    stable_id,
    training_set_table,
)
from flax_glitch.strain.channels import StrainError


@pytest.fixture
def table(tmp_path):
    """Writes a table."""

    def write(*lines):
        path = tmp_path / "table.csv"
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    return write


@pytest.mark.parametrize(
    ("header", "row", "trigger"),
    [
        (
            "event_time,ifo,peak_time,peak_time_ns,snr,gravityspy_id,label,sample_type",
            "1134216192.934,L1,1134216192,934082031,10.1,zT1Ws3HIqT,Scratchy,train",
            Trigger("L1", 1134216192.934, "zT1Ws3HIqT", "Scratchy"),
        ),
        (
            "ifo,peak_time,peak_time_ns,gravityspy_id,ml_label",
            "H1,1134216192,500000000,zT1Ws3HIqT,Fast_Scattering",
            Trigger("H1", 1134216192.5, "zT1Ws3HIqT", "Fast_Scattering"),
        ),
        (
            "time,frequency,snr,channel",
            "1134216192.5,60.1,8,H1:GDS-CALIB_STRAIN",
            Trigger("H1", 1134216192.5, stable_id("H1", 1134216192.5)),
        ),
        (
            "\ufeffGPS , Detector,id,label",
            " 1134216192.5 , l1 ,my.own-1,",
            Trigger("L1", 1134216192.5, "my.own-1"),
        ),
    ],
    ids=["gravity spy", "gravity spy O3", "omicron", "ours"],
)
def test_a_row_is_read_by_whatever_names_its_columns_have(table, header, row, trigger):
    assert read_triggers(table(header, row)) == ([trigger], [])


def test_the_training_sets_own_table_is_read_whole(shared_data):
    triggers, faulty = read_triggers(shared_data / "triggers" / "o1_training_glitches.csv")
    assert (len(triggers), faulty) == (6667, [])
    assert Counter(trigger.label for trigger in triggers)["Blip"] == 1763
    assert {trigger.label for trigger in triggers} == set(CLASSES)
    assert [one.gps for one in triggers if one.id == "mTMgAnw7qx"] == [1126403127.218]


def test_triggers_come_by_detector_and_time_so_that_neighbours_share_a_file(table):
    path = table("gps,detector", "30,L1", "20,H1", "10,L1")
    assert [(one.detector, one.gps) for one in read_triggers(path)[0]] == [
        ("H1", 20.0),
        ("L1", 10.0),
        ("L1", 30.0),
    ]


def test_times_of_a_table_may_be_utc(table):
    triggers, faulty = read_triggers(
        table("time,ifo,id", "2015-09-14 09:50:45.4,H1,a", "2015-09-14T09:50:45.4Z,L1,b")
    )
    assert not faulty and [trigger.gps for trigger in triggers] == [1126259462.4] * 2


def test_an_id_that_is_missing_is_ten_letters_that_depend_on_detector_and_time():
    ids = [stable_id("H1", 1126259462.4), stable_id("L1", 1126259462.4), stable_id("H1", 1e9)]
    assert ids[0] == "MzpyuuZZny"  # of every version: file names and tables hold it
    assert all(len(id) == 10 and id.isalpha() for id in ids) and len(set(ids)) == 3


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("yesterday,H1,a,", "time 'yesterday' is neither GPS seconds nor UTC"),
        ("nan,H1,a,", "time 'nan' is neither GPS seconds nor UTC"),
        ("-5,H1,a,", "time '-5' is neither GPS seconds nor UTC"),
        (",H1,a,", "time '' is neither GPS seconds nor UTC"),
        ("5,Hanford,a,", "detector 'HANFORD' is none such as H1"),
        ("5,H1,../../x,", "id '../../x' can't be part of a file name"),
        pytest.param(f"5,H1,{'x' * 100},", "can't be part of a file name", id="long"),
        ("7,H1,first,", "repeats H1_first of an earlier row"),
        ("5", "detector '' is none such as H1"),
    ],
)
def test_a_faulty_row_is_named_with_its_reason_and_the_others_are_read(table, row, reason):
    triggers, faulty = read_triggers(table("gps,detector,id,label", "4,H1,first,", row, "6,L1,b,"))
    assert [trigger.id for trigger in triggers] == ["first", "b"]
    assert [row.name for row in faulty] == ["table.csv, line 3"] and reason in faulty[0].reason


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["snr,label", "8,Blip"],
            r"no column for the time \(known: gps, gps_time, event_time, .*\) nor for the "
            r"detector \(known: detector, ifo, channel\); it has snr, label",
        ),
        (["gps,snr", "8,9"], r"no column for the detector \(known: .*; it has gps, snr"),
        ([], "it has none"),
        (["gps,detector"], "a table without rows"),
    ],
)
def test_a_table_without_its_columns_or_rows_says_which(table, lines, message):
    with pytest.raises(TriggerError, match=message):
        read_triggers(table(*lines))


@pytest.fixture
def zenodo(tmp_path, monkeypatch):
    """A stand-in for Zenodo that serves a table of two thousand rows."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(files, "PAUSES", (0.01, 0.01, 0.01))
    monkeypatch.setattr(files, "TIMEOUT", 0.3)
    served = tmp_path / "served"
    served.mkdir()
    rows = "".join(f"{1126400000 + n}.5,H1,id{n},Blip\n" for n in range(2000))
    (served / TRAINING_SET.rpartition("/")[2]).write_text(
        f"event_time,ifo,gravityspy_id,label\n{rows}"
    )
    server = Server(served)
    yield server
    server.server_close()


@pytest.mark.parametrize("fault", [None, "broken", "busy", "no ranges"])
def test_the_training_sets_table_is_fetched_once_and_a_broken_download_goes_on(
    zenodo, tmp_path, fault
):
    zenodo.fault = fault
    path = training_set_table(tmp_path / "cache", zenodo.address)
    assert len(read_triggers(path)[0]) == 2000
    zenodo.fault = "silent"
    asked = len(zenodo.asked)
    assert training_set_table(tmp_path / "cache", zenodo.address) == path
    assert len(zenodo.asked) == asked


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("silent", "can't be reached .*; offline. try again later"),
        ("elsewhere", "leads to another host"),
        ("cut", "broke off 4 times"),
    ],
)
def test_a_table_that_cant_be_fetched_is_one_line(zenodo, tmp_path, fault, message):
    zenodo.fault = fault
    with pytest.raises(StrainError, match=message) as raised:
        training_set_table(tmp_path / "cache", zenodo.address)
    assert raised.value.cure == "table"
    assert "\n" not in str(raised.value) and TRAINING_SET in str(raised.value)


def test_something_else_than_the_table_is_not_kept(zenodo, tmp_path):
    (page,) = zenodo.folder.iterdir()
    right = page.read_text()
    page.write_text("<html>Log in to this network</html>\n")
    with pytest.raises(TriggerError, match="no column for the time"):
        training_set_table(tmp_path / "cache", zenodo.address)
    page.write_text(right)
    assert len(read_triggers(training_set_table(tmp_path / "cache", zenodo.address))[0]) == 2000
