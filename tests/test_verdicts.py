"""Verdicts as JSON, CSV and text."""

import csv
import dataclasses
import io
import json

import numpy as np
import pytest

from flax_glitch.checkpoint import Calibration
from flax_glitch.classes import CLASSES
from flax_glitch.files import harmless, restored
from flax_glitch.predict.verdicts import Failure, Prediction, percent, render

MODEL = {"name": "made", "sha256": "abc"}


def probabilities(label, value):
    row = np.full(22, (1 - value) / 21)
    row[CLASSES.index(label)] = value
    return row


VERDICT = Prediction(
    names=CLASSES,
    inputs=("a_0.5.png", "a_2.0.png"),
    gravityspy_id="a",
    ifo="H1",
    durations=(0.5, 2.0),
    geometry=("kaggle", "kaggle"),
    per_view=np.stack([probabilities("Blip", 0.9), probabilities("Tomte", 0.6)]),
    probabilities=probabilities("Blip", 0.8),
)
WHOLE = Prediction(
    names=CLASSES,
    inputs=("photo, big.png",),
    gravityspy_id=None,
    ifo=None,
    durations=(None,),
    geometry=("unknown",),
    per_view=probabilities("Helix", 0.3)[None],
    probabilities=probabilities("Helix", 0.3),
)
EVENT = Prediction(
    names=CLASSES,
    inputs=("H1 at 1126259462.400",),
    gravityspy_id="abc",
    ifo="H1",
    durations=(0.5, 1.0, 2.0, 4.0),
    geometry=("strain",) * 4,
    per_view=np.stack([probabilities("Chirp", 0.1 * n) for n in (6, 7, 8, 9)]),
    probabilities=probabilities("Chirp", 0.9),
    gps=1126259462.4,
    q=5.66,
)
CALIBRATION = Calibration(2.0, -3.0, tuple(np.linspace(0, 1, 101).tolist()), 99)
ODD = dataclasses.replace(
    WHOLE, raw=np.arange(22.0), ood_score=-2.5, calibration=CALIBRATION, inputs=("odd.png",)
)
LIKE = dataclasses.replace(ODD, ood_score=-3.5, inputs=("like.png",))
RESULTS = [VERDICT, Failure("bad.png", "is empty"), WHOLE]


def rendered(form, results=RESULTS, **more):
    return "".join(render(results, form, MODEL, CLASSES, **more))


def test_json_has_one_object_a_picture_and_all_of_a_glitch_carry_its_verdict():
    first, second, failed, whole = map(json.loads, rendered("json").splitlines())
    assert [first["input"], second["input"]] == ["a_0.5.png", "a_2.0.png"]
    assert [first["view"], second["view"]] == ["0.5", "2.0"]
    for item in (first, second):
        assert (item["gravityspy_id"], item["ifo"], item["views"]) == ("a", "H1", ["0.5", "2.0"])
        assert (item["class"], item["confidence"]) == ("Blip", pytest.approx(0.8))
        assert item["per_view"]["2.0"] == {"class": "Tomte", "confidence": pytest.approx(0.6)}
        assert sum(item["probabilities"].values()) == pytest.approx(1)
        assert item["model"] == MODEL
    assert failed == {"input": "bad.png", "error": "is empty"}
    assert (whole["gravityspy_id"], whole["views"]) == (None, ["unknown"])


def test_csv_reads_back_with_one_row_a_picture():
    rows = list(csv.DictReader(io.StringIO(rendered("csv"))))
    assert [row["input"] for row in rows] == [
        "a_0.5.png",
        "a_2.0.png",
        "bad.png",
        "photo, big.png",
    ]
    assert [row["class"] for row in rows] == ["Blip", "Blip", "", "Helix"]
    assert [row["view_class"] for row in rows] == ["Blip", "Tomte", "", "Helix"]
    assert rows[2]["error"] == "is empty"
    assert float(rows[1]["p(Blip)"]) == pytest.approx(0.8)


def test_strain_has_one_object_and_row_a_glitch_with_its_time_and_q():
    (item,) = map(json.loads, rendered("json", [EVENT]).splitlines())
    assert item["input"] == "H1 at 1126259462.400" and "view" not in item
    assert (item["gps"], item["q"], item["ifo"], item["gravityspy_id"]) == (
        1126259462.4,
        5.66,
        "H1",
        "abc",
    )
    assert item["views"] == list(item["per_view"]) == ["0.5", "1.0", "2.0", "4.0"]
    assert item["per_view"]["4.0"] == {"class": "Chirp", "confidence": pytest.approx(0.9)}
    (row,) = csv.DictReader(io.StringIO(rendered("csv", [EVENT])))
    assert (row["gps"], row["q"], row["class"]) == ("1126259462.4", "5.66", "Chirp")
    assert (row["views"], row["view_class"]) == ("0.5 1.0 2.0 4.0", "")
    assert row["geometry"] == item["geometry"] == "strain"
    assert row["utc"] == item["utc"] == "2015-09-14T09:50:45.400Z"
    called = "H1 at 1126259462.400, 2015-09-14T09:50:45.400Z  0.5 1.0"
    assert rendered("table", [EVENT]).splitlines()[1].startswith(called)


def test_a_csv_names_its_model_and_can_do_without_its_header():
    rows = list(csv.DictReader(io.StringIO(rendered("csv"))))
    assert [row["model"] for row in rows] == ["abc", "abc", "", "abc"]
    header, rest = rendered("csv").split("\n", 1)
    assert header.startswith("input,") and rendered("csv", header=False) == rest


def test_the_table_has_a_row_a_glitch_and_none_for_failures():
    header, blip, helix, prior = rendered("table", top_k=2).splitlines()
    assert header.split() == ["glitch", "windows", "class", "confidence", "next"]
    assert blip.split()[:5] == ["a", "0.5", "2.0", "Blip", "80.0%"]
    assert helix.startswith("photo, big.png")
    assert prior == "prior: balanced"


@pytest.mark.parametrize(
    ("probability", "written"),
    [
        (0.0, "<0.1%"), (0.0004, "<0.1%"), (0.0006, "0.1%"), (0.5, "50.0%"), (0.998, "99.8%"),
        (0.9994, "99.9%"), (0.99951, ">99.9%"), (1.0, ">99.9%"),
    ],
)  # fmt: skip
def test_no_probability_is_written_as_0_or_100_per_cent(probability, written):
    assert percent(probability) == written


def test_json_and_csv_come_as_the_verdicts_do():
    def endless():
        while True:
            yield VERDICT

    for form in ("json", "csv"):
        pieces = render(endless(), form, MODEL, CLASSES)
        assert "a_0.5.png" in next(pieces) + next(pieces)


def test_json_has_the_score_of_what_is_unlike_training_the_logits_and_the_set_asked_for():
    odd, like, without = map(json.loads, rendered("json", [ODD, LIKE, WHOLE]).splitlines())
    assert (odd["ood_score"], odd["unlike_training"], like["unlike_training"]) == (
        -2.5,
        True,
        False,
    )
    assert odd["logits"] == dict(zip(CLASSES, range(22), strict=True)) and "set" not in odd
    assert [without[key] for key in ("ood_score", "unlike_training", "logits")] == [None] * 3
    (item,) = map(json.loads, rendered("json", [ODD], coverage=0.9).splitlines())
    assert item["set"] == ["Helix"] == list(ODD.classes(0.9))
    (item,) = map(json.loads, rendered("json", [ODD], coverage=0.98).splitlines())
    assert len(item["set"]) == 22 and item["set"][0] == "Helix"


def test_csv_and_table_mark_what_is_unlike_training_and_show_the_set():
    rows = list(csv.DictReader(io.StringIO(rendered("csv", [ODD, WHOLE]))))
    assert [rows[0][key] for key in ("ood_score", "unlike_training", "set")] == ["-2.5", "True", ""]
    assert [rows[1][key] for key in ("ood_score", "unlike_training")] == ["", ""]
    (row,) = csv.DictReader(io.StringIO(rendered("csv", [ODD], coverage=0.9)))
    assert row["set"] == "Helix"
    header, odd, like, note, _ = rendered("table", [ODD, LIKE], coverage=0.9).splitlines()
    assert "90% set" in header
    assert odd.split()[2:6] == ["Helix", "*", "30.0%", "Helix"]
    assert like.split()[2:5] == ["Helix", "30.0%", "Helix"]
    assert note == "* unlike anything in training"
    assert "*" not in rendered("table", [LIKE, WHOLE])


def test_every_form_of_an_answer_says_which_prior_it_is_under():
    results = [dataclasses.replace(WHOLE, prior="gravity-spy"), Failure("bad.png", "is empty")]
    item, failed = map(json.loads, rendered("json", results).splitlines())
    assert item["prior"] == "gravity-spy" and "prior" not in failed
    rows = csv.DictReader(io.StringIO(rendered("csv", results)))
    assert [row["prior"] for row in rows] == ["gravity-spy", ""]
    assert "prior: gravity-spy" in rendered("table", results).splitlines()


def test_none_of_the_above_is_doubted_as_any_class_where_the_model_learned_outliers():
    none = dataclasses.replace(ODD, probabilities=probabilities("None_of_the_Above", 0.9))
    assert none.unlike is False  # the score is then its own probability
    assert dataclasses.replace(none, knows_outliers=True).unlike is True
    assert dataclasses.replace(none, knows_outliers=True, ood_score=-3.5).unlike is False


def test_a_set_is_of_the_probabilities_before_the_prior_which_were_calibrated():
    other = dataclasses.replace(ODD, probabilities=probabilities("Blip", 0.9), own=ODD.own)
    before = dataclasses.replace(other, own=ODD.probabilities)
    assert before.label == "Blip" and before.classes(0.9) == ODD.classes(0.9) == ("Helix",)
    assert other.classes(0.9) == ("Blip",)


def test_a_set_needs_a_calibration_and_a_share():
    with pytest.raises(ValueError, match="isn't calibrated"):
        WHOLE.classes(0.9)
    with pytest.raises(ValueError, match=r"coverage 1\.0: give a share between 0 and 1"):
        ODD.classes(1.0)


def test_windows_of_unknown_length_keep_a_verdict_each():
    two = dataclasses.replace(VERDICT, durations=(None, None))
    first, second = map(json.loads, rendered("json", [two]).splitlines())
    assert first["views"] == [first["view"], second["view"]] == ["unknown", "unknown-2"]
    assert [one["class"] for one in first["per_view"].values()] == ["Blip", "Tomte"]


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("=cmd|'/c calc'!A0.png", "'=cmd|'/c calc'!A0.png"),
        ("@SUM(1).png", "'@SUM(1).png"),
        ("-1+1.png", "'-1+1.png"),
        ("\t+1.png", "' +1.png"),
        ("-7.5e-3", "-7.5e-3"),
        ("H1_a=b.png", "H1_a=b.png"),
        ("a\x1b[2J\n.png", "a [2J .png"),
    ],
)
def test_a_files_name_is_no_formula_in_csv(name, cell):
    for result in (Failure(name, "is no picture"), dataclasses.replace(WHOLE, inputs=(name,))):
        (row,) = csv.DictReader(io.StringIO(rendered("csv", [result])))
        assert row["input"] == cell


def test_a_cell_is_had_back_as_it_was():
    for cell in ("=a", "-b", "@", "-7", "'quoted'", "plain", ""):
        assert restored(harmless(cell)) == cell
