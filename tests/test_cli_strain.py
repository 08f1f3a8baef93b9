"""The commands that take strain: one event, tables of triggers, stopped and gone on with."""

import csv
import json
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pandas as pd
import pytest
import requests
from gwosc_server import RATE, write_masks, write_strain
from test_cli import run

from flax_glitch.data.pictures import load_picture
from flax_glitch.data.table import open_source
from flax_glitch.events.triggers import stable_id
from flax_glitch.predict.predictor import Predictor
from flax_glitch.strain.files import Strain, StrainError
from flax_glitch.strain.qtransform import QScan

NOISE = 1e-22 * np.random.default_rng(5).standard_normal(32 * RATE)
NAME = "H-H1_MADE_4KHZ_R1-1000-32.hdf5"
ROWS = ["1010,H1,a,Blip", "1012,H1,b,Blip", "1014.5,H1,c,Koi Fish", "1016,H1,d,", "1018,H1,e,Blip"]


class Transform:
    """Stands in for the transform, which takes long to compile; keeps what it was asked for."""

    def __init__(self):
        self.asked, self.stop_at = [], None

    def __call__(self, samples, event):
        if len(self.asked) == self.stop_at:
            raise KeyboardInterrupt
        self.asked.append(event)
        columns = np.abs(samples[:568] / samples.std()) * 8 + event
        return QScan(np.tile(columns.astype(np.float32), (4, 478, 1)), np.float32(5.66))


@pytest.fixture
def transform(monkeypatch):
    transform = Transform()
    monkeypatch.setattr("flax_glitch.strain.picture.q_scan", transform)
    return transform


@pytest.fixture
def place(tmp_path, monkeypatch, transform):
    """A folder with 32 s of H1 and a table of five triggers, of which the commands are run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "strain").mkdir()
    write_strain(tmp_path / "strain" / NAME, NOISE, 1000)
    write_table(tmp_path / "table.csv", ROWS)
    return tmp_path


def write_table(path, rows):
    path.write_text("".join(f"{row}\n" for row in ["gps,detector,id,label", *rows]))


@pytest.fixture(scope="module")
def predictor(trained):
    return Predictor.from_checkpoint(trained)


@pytest.fixture
def classify(predictor, cache, place, monkeypatch):
    """Runs the command with a small model, loaded once."""
    monkeypatch.setattr("flax_glitch.cli.classify.open_predictor", lambda *_: predictor)
    return lambda *arguments: run("classify", *arguments, "--cache", cache)


def draw(place, cache):
    return run("draw", *TABLE, "--out", place / "drawn", "--cache", cache)


TABLE = ("--triggers", "table.csv", "--strain", "strain")


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_an_event_in_a_file_gets_one_object_with_its_time_and_q(classify, place, capsys):
    assert classify("--gps", 1012.25, "--strain", f"strain/{NAME}", "--format", "json") == 0
    (item,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (item["input"], item["ifo"], item["gps"]) == ("H1 at 1012.250", "H1", 1012.25)
    assert item["utc"] == "1980-01-06T00:16:52.250Z"  # before any leap second
    assert item["q"] == pytest.approx(5.66) and list(item["per_view"]) == item["views"]
    assert item["views"] == ["0.5", "1.0", "2.0", "4.0"]
    assert item["gravityspy_id"] == stable_id("H1", 1012.25)


def test_the_channel_that_is_asked_for_is_used_and_stands_in_every_answer(classify, place, capsys):
    with h5py.File("frame.h5", "w") as file:
        for name in ("H1:DCS-CALIB_STRAIN_C01", "H1:DCS-CALIB_STRAIN_C02", "H1:INJ-STRAIN"):
            file[name] = NOISE
            file[name].attrs.update(x0=1000.0, dx=1 / RATE, channel=name)
    ask = ("--gps", 1012.25, "--strain", "frame.h5")
    assert classify(*ask) == (
        "error: frame.h5: has 2 channels that may be the strain: H1:DCS-CALIB_STRAIN_C01, "
        "H1:DCS-CALIB_STRAIN_C02; give --channel"
    )
    chosen = (*ask, "--channel", "DCS-CALIB_STRAIN_C02")
    said = {}
    for form in ("table", "json", "csv"):
        assert classify(*chosen, "--format", form) == 0
        said[form] = capsys.readouterr().out
    name = "H1:DCS-CALIB_STRAIN_C02"
    assert said["table"].endswith(f"channel: {name}\n")
    assert json.loads(said["json"])["channel"] == name
    assert [row["channel"] for row in csv.DictReader(said["csv"].splitlines())] == [name]
    assert "correct --channel" in classify(*ask, "--channel", "H1:GDS")


def test_an_event_in_a_folder_is_found_and_what_is_skipped_is_noted(classify, place, capsys):
    (place / "strain" / "foreign.h5").write_bytes(b"\0")
    assert classify("--gps", 1012.25, "--strain", "strain", "--format", "json") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["gps"] == 1012.25
    assert said.err == (
        "note: skipped strain/foreign.h5: holds something else; give HDF5 as from GWOSC, .npy, "
        ".gwf, or text with a column of strain\n"
    )
    wrong = ("--gps", 1012.25, "--strain", "strain", "--gps-start", 5)
    assert classify(*wrong) == 2


def test_data_that_is_flagged_is_said_to_be_in_every_answer(classify, place, capsys):
    write_masks(place / "strain" / NAME, 1000, 32, [(1012, "CBC_CAT1"), (1014, "NO_BURST_HW_INJ")])
    assert classify(*TABLE) == 0
    assert (
        "flagged: H1 at 1012.000: fails CBC_CAT1\nflagged: H1 at 1014.500: injected BURST_HW_INJ\n"
    ) in capsys.readouterr().out
    assert classify(*TABLE, "--out", "v.csv") == classify(*TABLE, "--out", "v.json") == 0
    found = [row["flags"] for row in read_csv(place / "v.csv")]
    assert found == ["", "fails CBC_CAT1", "injected BURST_HW_INJ", "", ""]
    objects = map(json.loads, (place / "v.json").read_text().splitlines())
    assert [item["flags"] for item in objects] == [[text] if text else [] for text in found]


def test_samples_alone_are_told_their_time_rate_and_detector(classify, place, transform):
    np.save("noise.npy", NOISE)
    alone = ("--gps", 1012.25, "--strain", "noise.npy", "--detector", "L1", "--gps-start", 1000)
    assert "--sample-rate" in classify(*alone)
    assert classify(*alone, "--sample-rate", RATE, "--pictures", "kept") == 0
    in_utc = ("--gps", "1980-01-06 00:16:52.25", "--gps-start", "1980-01-06T00:16:40Z")
    assert classify(*in_utc, *alone[2:6], "--sample-rate", RATE) == 0
    assert transform.asked == [12.25] * 2
    id = stable_id("L1", 1012.25)
    assert sorted(path.name for path in (place / "kept").iterdir()) == [
        f"L1_{id}_spectrogram_{duration}.png" for duration in ("0.5", "1.0", "2.0", "4.0")
    ]


def test_an_event_by_name_is_fetched(classify, monkeypatch, capsys):
    def fetch(gps, detector, cache, *, event=None, progress=True):
        assert (gps, detector, event) == (1126259462.4, "H1", "GW150914")
        return Strain(NOISE, 1126259446.0, float(RATE), detector)

    monkeypatch.setattr("flax_glitch.events.find.fetch", fetch)
    assert classify("--event", "gw150914", "--detector", " h1") == 0
    assert "H1 at 1126259462.400, 2015-09-14T09:50:45.400Z" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--gps", 1012.25, "--strain", "noise.npy"), "doesn't say its start; give --gps-start"),
        (
            ("--gps", 1012.25, "--strain", f"strain/{NAME}", "--sample-rate", 8192),
            "4096.0 by the file, and 8192.0 was given; correct --sample-rate or leave it out",
        ),
        (
            ("--gps", 1012.25, "--detector", "H1"),
            "offline? try again later, or give the strain file with --strain",
        ),
        (
            ("--triggers", "gravityspy", "--strain", "strain"),
            "later, or get it in another way and give it with --triggers",
        ),
    ],
)
def test_the_command_line_names_the_options_that_help(
    classify, place, monkeypatch, arguments, words
):
    def unreachable(*_, **__):
        raise requests.ConnectionError("no route")

    np.save("noise.npy", NOISE)
    monkeypatch.setattr(requests.Session, "send", unreachable)
    said = classify(*arguments)
    assert said.endswith(words) and said.count("\n") == 0


def test_a_rows_reason_names_the_option_that_helps(classify, place, monkeypatch):
    def unreachable(*_, **__):
        raise StrainError("GWOSC can't be reached", "strain")

    monkeypatch.setattr("flax_glitch.events.find.fetch", unreachable)
    table = (*TABLE[:2], "--strain", "gwosc", "--out", "v.csv")
    assert classify(*table) == "error: 5 of 5 inputs failed"
    assert {row["error"] for row in read_csv(place / "v.csv")} == {
        "GWOSC can't be reached, or give the strain file with --strain"
    }


def test_two_calls_draw_the_same_table_at_once(place, cache):
    def drawn(_):
        return draw(place, cache)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(drawn, range(2))) == [0, 0]
    pictures = list((place / "drawn").rglob("*.png"))
    assert len(pictures) == 4 * len(ROWS)
    assert {load_picture(path).geometry for path in pictures} == {"full"}
    assert {path.suffix for path in (place / "drawn").rglob("*.*")} == {".png"}


def test_a_table_gets_a_row_a_trigger_and_failed_ones_keep_their_reason(classify, place, capsys):
    write_table(place / "table.csv", [*ROWS, "1001,H1,early,", "1016,L1,x,", "soon,H1,y,"])
    assert classify(*TABLE, "--out", "verdicts.csv") == "error: 3 of 8 inputs failed"
    rows = read_csv(place / "verdicts.csv")
    assert [row["gravityspy_id"] for row in rows if row["class"]] == list("abcde")
    reasons = {row["input"]: row["error"] for row in rows if row["error"]}
    assert "time 'soon' is neither GPS seconds nor UTC" in reasons["table.csv, line 9"]
    assert "1.00 s before GPS 1001" in reasons["H1 at 1001.000"]
    assert "no strain of L1 at GPS 1016.000" in reasons["L1 at 1016.000"]
    assert (place / "verdicts.csv").read_text().count("\n") == 1 + 8
    assert capsys.readouterr().out.splitlines()[-1] == "wrote 8 rows to verdicts.csv"


@pytest.fixture
def rich(place):
    """Gives the table columns of all kinds, and a row that has no strain."""
    table = """GPStime;ifo;gravityspy_id;ml_label;confidence;=snr;note
1010;H1;a;Blip;-0.5;9.25;=HYPERLINK("x")
1012;H1;-b;Koi Fish;1e-3;-7;\x1b[31mred
5;H1;c;Blip;;;
"""
    (place / "table.csv").write_text(table)
    return ["GPStime", "table_ifo", "table_gravityspy_id", "ml_label", "table_confidence"]


def test_the_tables_columns_are_carried_into_csv_as_harmless_cells(classify, place, rich):
    assert classify(*TABLE, "--out", "v.csv") == "error: 1 of 3 inputs failed"
    failed, one, two = sorted(read_csv(place / "v.csv"), key=lambda row: row["gravityspy_id"])[:3]
    two, one = sorted((one, two), key=lambda row: row["gravityspy_id"])
    assert list(one)[-7:] == [*rich, "'=snr", "note"]
    assert [one[name] for name in (*rich, "'=snr")] == ["1010", "H1", "a", "Blip", "-0.5", "9.25"]
    assert one["note"] == '\'=HYPERLINK("x")' and two["note"] == " [31mred"
    assert (two["gravityspy_id"], two["'=snr"]) == ("'-b", "-7")
    assert (failed["class"], failed["GPStime"], failed["ml_label"]) == ("", "5", "Blip")
    assert classify(*TABLE, "--out", "v.csv") == "error: 1 of 1 inputs failed"  # "-b" is done


def test_the_tables_columns_are_carried_into_json_as_they_are(classify, place, rich):
    classify(*TABLE, "--out", "v.json")
    items = [json.loads(line) for line in (place / "v.json").read_text().splitlines()]
    tables = {item["table"]["gravityspy_id"]: item["table"] for item in items}
    assert tables["a"] == {
        "GPStime": "1010", "ifo": "H1", "gravityspy_id": "a", "ml_label": "Blip",
        "confidence": "-0.5", "=snr": "9.25", "note": '=HYPERLINK("x")',
    }  # fmt: skip
    assert tables["-b"]["note"] == "\x1b[31mred" and tables["c"]["GPStime"] == "5"


def test_parquet_has_the_rows_of_csv_and_is_gone_on_with(classify, place, rich, transform):
    transform.stop_at = 1
    assert classify(*TABLE, "--out", "v.parquet") == 130
    assert not (place / "v.parquet").exists()
    transform.stop_at = None
    assert classify(*TABLE, "--out", "v.parquet") == "error: 1 of 3 inputs failed"
    first = pd.read_parquet("v.parquet").set_index("table_gravityspy_id").sort_index()
    assert first["gps"].loc[["a", "-b"]].tolist() == [1010, 1012]
    assert first["=snr"].loc[["a", "-b"]].tolist() == [9.25, -7]
    assert first["note"].loc["a"] == '=HYPERLINK("x")' and first["gravityspy_id"].loc["-b"] == "-b"
    assert "1010" in first["input"].loc["a"] and first["p(Blip)"].dtype == float
    asked = len(transform.asked)
    assert classify(*TABLE, "--out", "v.parquet") == "error: 1 of 1 inputs failed"
    again = pd.read_parquet("v.parquet").set_index("table_gravityspy_id").sort_index()
    pd.testing.assert_frame_equal(first, again)
    assert len(transform.asked) == asked
    assert [path.name for path in place.glob("v.*")] == ["v.parquet"]
    (place / "v.parquet").write_text("my notes")
    assert "v.parquet: is no Parquet; give --overwrite" in classify(*TABLE, "--out", "v.parquet")


def test_at_the_end_it_says_how_many_labels_agree_with_rows_of_earlier_calls_too(
    classify, place, transform, capsys
):
    assert classify(*TABLE, "--out", "v.csv") == 0
    named = {row["gravityspy_id"]: row["class"] for row in read_csv(place / "v.csv")}
    write_table(place / "table.csv", [f"1010,H1,a,{named['a']}", "1012,H1,b,Fast Scattering"])
    capsys.readouterr()
    assert classify(*TABLE, "--out", "v.csv") == 0
    assert capsys.readouterr().out.splitlines() == [
        "the table's labels agree: 1 of 2 (50.0%)",
        f"  {named['a']}: 1 of 1",
        "  Fast_Scattering: 0 of 1",
        "wrote 0 rows to v.csv, after 5 that were there",
    ]
    assert classify(*TABLE, "--format", "csv") == 0
    said = capsys.readouterr()
    assert said.out.count("\n") == 3 and said.err.endswith("  Fast_Scattering: 0 of 1\n")


def test_a_file_is_only_lost_where_that_is_said(classify, place, transform):
    event = ("--gps", 1012.25, "--strain", f"strain/{NAME}", "--out", "v.csv")
    assert classify(*event) == 0
    first = (place / "v.csv").read_text()
    assert classify(*event) == 2 and (place / "v.csv").read_text() == first
    assert classify(*event, "--overwrite") == 0
    write_table(place / "table.csv", ROWS)
    assert "with other columns of the table" in classify(*TABLE, "--out", "v.csv")
    assert (place / "v.csv").read_text() == first
    assert classify(*TABLE, "--out", "v.csv", "--overwrite") == 0
    assert len(read_csv(place / "v.csv")) == 5


def test_no_control_bytes_of_a_table_reach_the_terminal(classify, place, capsys):
    (place / "table.csv").write_text("gps,\x1b[2Jx\n5,H1\n")
    said = classify(*TABLE)
    assert "it has gps, ?[2Jx" in said
    (place / "table.csv").write_text("gps,ifo,label\n1010,H1,\x1b[2J\x9b5m\nsoon\x1b,H1,\n")
    for form in ("table", "csv", "json"):
        said = classify(*TABLE, "--format", form)
        printed = capsys.readouterr()
        for text in (said, printed.out, printed.err.replace("\r", "")):
            assert not set(text) & {"\x1b", "\x9b"}


def test_a_table_without_a_detector_takes_the_one_that_is_given(classify, place, cache, capsys):
    (place / "table.csv").write_text("time,snr\n1010.5,8\n")
    assert classify(*TABLE).endswith("it has time, snr; give --detector")
    assert classify(*TABLE, "--detector", "H1", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["input"] == "H1 at 1010.500"
    assert run("draw", *TABLE, "--detector", "H1", "--out", "drawn", "--cache", cache) == 0


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_stopped_table_goes_on_and_ends_as_if_it_had_never_been(
    classify, place, transform, suffix
):
    whole, stopped = f"whole.{suffix}", f"stopped.{suffix}"
    assert classify(*TABLE, "--out", whole) == 0
    assert len(transform.asked) == 5
    transform.stop_at = 9  # after a batch of four
    assert classify(*TABLE, "--out", stopped) == 130
    kept = (place / stopped).read_text()
    assert 0 < len(kept) < len((place / whole).read_text())
    (place / stopped).write_text(kept + "H1 at 10")  # as a kill leaves it
    transform.stop_at = None
    assert classify(*TABLE, "--out", stopped) == 0
    assert len(transform.asked) == 10
    assert (place / stopped).read_text() == (place / whole).read_text()
    assert classify(*TABLE, "--out", stopped) == 0 and len(transform.asked) == 10


def test_of_a_table_stopped_while_it_is_drawn_the_rows_that_are_done_are_there(
    classify, place, transform
):
    rows = [f"{1010 + number},H1,id{number}," for number in range(10)]
    write_table(place / "table.csv", rows)
    transform.stop_at = 7
    assert classify(*TABLE, "--out", "v.csv", "--pictures", "kept") == 130
    assert [row["gravityspy_id"] for row in read_csv(place / "v.csv")] == [
        f"id{number}" for number in range(4)
    ]  # a batch
    assert len(list((place / "kept").iterdir())) == 7 * 4


def test_failed_rows_are_tried_again(classify, place, transform):
    file = place / "strain" / NAME
    write_strain(place / "strain" / "L-L1_MADE_4KHZ_R1-1000-32.hdf5", NOISE, 1000, detector="L1")
    file.rename(place / "away")
    assert classify(*TABLE, "--out", "v.csv") == "error: 5 of 5 inputs failed"
    (place / "away").rename(file)
    assert classify(*TABLE, "--out", "v.csv") == 0
    assert [row["error"] for row in read_csv(place / "v.csv")] == [""] * 5


def test_drawn_pictures_get_the_verdicts_of_the_table_itself(classify, place, cache):
    assert draw(place, cache) == 0
    assert classify(*TABLE, "--out", "table.jsonl") == 0
    assert classify("drawn", "--out", "pictures.jsonl") == 0
    direct, drawn = (
        {
            item["gravityspy_id"]: item
            for item in map(json.loads, (place / name).read_text().splitlines())
        }
        for name in ("table.jsonl", "pictures.jsonl")
    )
    assert set(direct) == set(drawn) == set("abcde")
    for id, item in direct.items():
        assert drawn[id]["class"] == item["class"]
        assert drawn[id]["probabilities"] == pytest.approx(item["probabilities"], abs=1e-4)


def test_a_stopped_drawing_goes_on_and_draws_nothing_twice(place, cache, transform):
    transform.stop_at = 3
    assert draw(place, cache) == 130
    found = sorted(path.relative_to(place / "drawn") for path in place.rglob("*.png"))
    assert len(found) == 12  # whole glitches, and no unfinished file
    assert not list(place.rglob("*.unfinished"))
    transform.stop_at = None
    assert draw(place, cache) == 0
    assert len(transform.asked) == 5
    assert sorted(path.parent.name for path in place.rglob("*_0.5.png")) == [
        "Blip", "Blip", "Blip", "Koi_Fish", "drawn",
    ]  # fmt: skip


def test_what_couldnt_be_drawn_is_listed_and_tried_again(place, cache, transform):
    rows = [*ROWS, "1020,H1,new,../up", "1016,V1,far,Blip", "x,H1,,"]
    write_table(place / "table.csv", rows)
    listed = place / "drawn" / "failures.csv"
    assert draw(place, cache) == f"error: 3 of 8 triggers failed; {listed} says why"
    reasons = {row["id"]: row["error"] for row in read_csv(listed)}
    assert "label '../up' can't be a folder's name" in reasons["new"]
    assert "no strain of V1" in reasons["far"] and "time 'x'" in reasons[""]
    assert len(transform.asked) == 5
    write_table(place / "table.csv", [*ROWS, "1020,H1,new,Whistle"])
    assert draw(place, cache) == 0
    assert len(transform.asked) == 6 and not listed.exists()


def test_labels_of_any_name_are_drawn_and_unknown_ones_are_listed(place, cache, capsys):
    write_table(place / "table.csv", ["1010,H1,a,Fast Scattering", "1012,H1,b,Koi_Fihs"])
    assert draw(place, cache) == 0
    assert {path.parent.name for path in place.rglob("*.png")} == {"Fast_Scattering", "Koi_Fihs"}
    said = capsys.readouterr().err
    assert "doesn't know, taken as they are called: Koi_Fihs (did you mean Koi_Fish?)" in said


def test_the_training_set_is_drawn_with_its_own_split(place, cache, monkeypatch):
    table = place / "trainingset_v1d1_metadata.csv"
    rows = ["1010,H1,a,Blip,test", "1012,H1,b,Blip,train", "1014,H1,c,Tomte,validation"]
    table.write_text("\n".join(["event_time,ifo,gravityspy_id,label,sample_type", *rows]))
    monkeypatch.setattr("flax_glitch.events.find.training_set_table", lambda cache: table)
    arguments = ("--triggers", "gravityspy", "--strain", "strain", "--out", "drawn")
    assert run("draw", *arguments, "--cache", cache) == 0
    table = open_source(place / "drawn").table
    assert {name: list(rows["id"].unique()) for name, rows in table.groupby("split")} == {
        "train": ["b"],
        "validation": ["c"],
        "test": ["a"],
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x.png", "--event", "GW150914"], "--event and pictures: give one of them"),
        (["--gps", "5", "--triggers", "t.csv"], "--gps and --triggers: give one of them"),
        (["--gps", "5"], "--gps: give --detector too"),
        (["--event", "GW150914", "--strain", "gwosc"], "--event: give --detector too"),
        (["--triggers", "t.csv"], "--triggers: give --strain FOLDER or --strain gwosc too"),
        (["--gps", "5", "--detector", "H1", "--gps-start", "2"], "--gps-start: no use with --gps"),
        (["x.png", "--strain", "f", "--pictures", "p"], "--pictures and --strain: no use with"),
        (["--detector", "H1"], "no input: name pictures or folders, or give --event"),
        (["--triggers", "t.csv", "--strain", "f", "--out", "v.txt"], "end it in .csv, .json, .jso"),
        (
            ["--triggers", "t.csv", "--strain", "f", "--out", "v.txt", "--format", "table"],
            "give --format csv or json",
        ),
        (["x.png", "--out", "v.json", "--format", "csv"], "its name says json, --format csv; give"),
        (["x.png", "--format", "parquet"], "--format parquet: give --out FILE.parquet too"),
        (["--gps", "noon", "--detector", "H1"], "'noon': give GPS seconds, such as"),
        (["--gps", "2015-09-14", "09:50:45"], "put quotes around a time with a space"),
        (["--gps", "5", "--detector", "H1", "--gps-start", "noon"], "or UTC, such as"),
    ],
)
def test_arguments_that_contradict_each_other_are_one_line_and_end_with_2(
    arguments, message, capsys
):
    assert run("classify", *arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and message in said and said.count("\n") == 1


@pytest.mark.parametrize("missing", ["--triggers", "--strain", "--out"])
def test_draw_needs_table_strain_and_goal(missing, capsys):
    given = {"--triggers": "t.csv", "--strain": "f", "--out": "o"}
    del given[missing]
    assert run("draw", *(word for pair in given.items() for word in pair)) == 2
    assert missing in capsys.readouterr().err


def test_work_that_fails_is_one_line(place, cache, monkeypatch):
    def offline(*_, **__):
        raise StrainError("GWOSC can't be reached")

    assert "nowhere.csv: No such file" in run(
        "draw", "--triggers", "nowhere.csv", *TABLE[2:], "--out", "o"
    )
    assert "no strain files there" in run("draw", *TABLE[:2], "--strain", "drawn", "--out", "o")
    monkeypatch.setattr("flax_glitch.events.find.fetch", offline)
    code = run("draw", *TABLE[:2], "--strain", "gwosc", "--out", "o", "--cache", cache)
    assert code.startswith("error: 5 of 5 triggers failed")
