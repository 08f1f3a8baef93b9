"""What the page shows under a verdict, the report that one keeps, and who disagrees."""

import csv
import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from nearest_picture import NearestPicture, with_toy_evidence
from PIL import Image
from sklearn.datasets import load_sample_image
from toy_pictures import toy_picture

from flax_glitch import Predictor
from flax_glitch.app import classify, evidence, feedback, main
from flax_glitch.app.report import report_html
from flax_glitch.app.verdict import verdict_of
from flax_glitch.box import MODELS, find_model
from flax_glitch.data.table import open_source
from flax_glitch.strain.picture import VIRIDIS

SHAPE = (478, 568)
MODEL = "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def predictor():
    return NearestPicture()


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Two windows of a Koi Fish, by their names, and two of a Whistle that has none."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served"))
    (tmp_path / "served").mkdir()
    found = {}
    for label, name, window in (
        ("Koi_Fish", "L1_x.z_spectrogram_0.5.png", 0.5),
        ("Koi_Fish", "L1_x.z_spectrogram_2.0.png", 2.0),
        ("Whistle", "mine.png", 1.0),
        ("Whistle", "mine too.png", 4.0),
    ):
        Image.fromarray(toy_picture(label, window)).save(tmp_path / name)
        found.setdefault(label, []).append(str(tmp_path / name))
    return found


def plain_pictures():
    """Pictures that are no spectrograms, by what they are."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, SHAPE)
    return {
        "a green rectangle": np.full((*SHAPE, 3), (0, 255, 0), np.uint8),
        "the brightest colour": np.full((*SHAPE, 3), VIRIDIS[255], np.uint8),
        "a middling colour": np.full((*SHAPE, 3), VIRIDIS[128], np.uint8),
        "noise in viridis": VIRIDIS[noise],
        "noise in red, green and blue": random.integers(0, 256, (*SHAPE, 3), np.uint8),
        "a temple": load_sample_image("china.jpg"),
        "a flower": load_sample_image("flower.jpg"),
    }


@pytest.mark.parametrize("model", [name for name in MODELS if find_model(name)])
def test_what_is_no_spectrogram_is_headed_so_and_not_by_a_class(model):
    judge = Predictor(model)
    for kind, picture in plain_pictures().items():
        said = verdict_of(judge.predict(picture))
        assert "<h2>Unlike anything in training</h2>" in said, kind
        assert '<p class="confidence">nearest: ' in said and "confident" not in said, kind


def test_pictures_that_follow_are_of_a_new_glitch_unless_it_is_said_or_their_names_agree():
    half, two, other = (
        f"L1_{name}_spectrogram_{w}.png" for name, w in [("x", 0.5), ("x", 2.0), ("y", 2.0)]
    )
    assert classify.taken([half], None, False) == (None, [half])
    assert classify.taken([two], [half], False) == (None, [half, two])
    assert classify.taken([other], [half], False) == (None, [other])
    assert classify.taken(["b.png"], ["a.png"], False) == (None, ["b.png"])
    assert classify.taken(["b.png"], ["a.png"], True) == (None, ["a.png", "b.png"])


def test_windows_are_fused_and_the_answer_names_all_and_those_that_failed(
    predictor, pictures, tmp_path
):
    (tmp_path / "text.png").write_text("no picture")
    given = [*pictures["Koi_Fish"][::-1], str(tmp_path / "text.png")]
    answered, answer, verdict, figures = classify.judge(predictor, given)
    assert answer["inputs"] == ["L1_x.z_spectrogram_0.5.png", "L1_x.z_spectrogram_2.0.png"]
    assert [one["input"] for one in answer["failed"]] == ["text.png"]
    whole = predictor.predict(pictures["Koi_Fish"])
    assert answer["confidence"] == pytest.approx(whole.confidence)
    assert "<h2>Koi Fish</h2>" in verdict and "text.png is not a PNG" in verdict
    assert re.findall(r"<figcaption>(\S+ s: Koi Fish)", figures) == [
        "0.5 s: Koi Fish",
        "2.0 s: Koi Fish",
    ]
    assert str(tmp_path) not in verdict + figures + str(answer)
    assert answered[1] == tuple(map(Path, pictures["Koi_Fish"]))


def test_pictures_of_several_glitches_or_too_many_are_refused_in_a_sentence(predictor):
    _, answer, verdict, figures = classify.judge(predictor, [f"{n}.png" for n in range(5)])
    assert "5 pictures are too many for a glitch; give one to four" in verdict
    assert "probabilities" not in answer and figures == ""
    names = [f"H1_{name}_spectrogram_0.5.png" for name in "ab"]
    assert (
        "of several glitches (H1 a, H1 b); give those of one" in classify.judge(predictor, names)[2]
    )


def test_a_verdict_stands_where_no_evidence_is_found(predictor, pictures, monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError("secret")

    with_toy_evidence(monkeypatch)
    monkeypatch.setattr(evidence, "saliency", fail)
    evidence.warm_up(predictor)
    answered, *_, figures = classify.judge(predictor, pictures["Whistle"])
    shown, alike, report = classify.explained(predictor, answered)
    assert (shown, alike) == (figures, "") and "secret" in caplog.text
    assert "Whistle" in Path(report.value["path"]).read_text()
    for path in pictures["Whistle"]:
        Path(path).unlink()
    assert classify.explained(predictor, answered)[1:] == ("", classify.HIDDEN)


def test_a_report_tells_time_detector_model_and_settings_and_holds_no_foreign_html(
    predictor, pictures, monkeypatch
):
    with_toy_evidence(monkeypatch)
    (prediction, paths), *_ = classify.judge(predictor, pictures["Koi_Fish"])
    bad = "<img src=x onerror=alert(1)>"
    monkeypatch.setattr(predictor, "trained_on", bad)
    monkeypatch.setattr(predictor, "name", bad)
    names = (bad, *prediction.names[1:])
    strange = dataclasses.replace(
        prediction, names=names, inputs=(bad, bad), gps=1126259462.4, q=5.66, channel=bad
    )
    strange = dataclasses.replace(strange, probabilities=np.eye(len(names))[0], ifo="H1")
    monkeypatch.setattr(predictor, "classes", names)
    found = evidence.Answered.of(predictor, strange, paths)
    text = report_html(predictor, found, *evidence.shown(predictor, found))
    assert "<img src=x" not in text and text.count("&lt;img src=x") > 5
    for said in ("GPS 1126259462.400, 2015-09-14T09:50:45.400Z", MODEL, "5.66", "H1", "balanced"):
        assert said in text
    assert not re.findall(r'(?:src|href)="(?!data:)', text) and "url(" not in text


@pytest.fixture
def kept(predictor, pictures, tmp_path):
    """Says that glitches are of other classes, and returns the table of what was kept."""

    def keep(label, *more, given="Koi_Fish"):
        answered, *_ = classify.judge(predictor, pictures[given])
        table = feedback.save(tmp_path / "kept", *answered, label, *more, MODEL)
        return list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))

    return keep


def test_a_disagreement_is_a_row_and_pictures_that_training_takes(kept, pictures, tmp_path):
    kept("Tomte", "no fins")
    rows = kept("Blip", "=1+1", given="Whistle")
    assert [(row["verdict"], row["class"]) for row in rows] == [
        ("Koi_Fish", "Tomte"),
        ("Whistle", "Blip"),
    ]
    assert [row["note"] for row in rows] == ["no fins", "'=1+1"]
    assert {row["model"] for row in rows} == {MODEL} and rows[0]["gravityspy_id"] == "x.z"
    source = open_source(tmp_path / "kept")
    assert source.notices == () or not any("left out" in notice for notice in source.notices)
    table = source.table.set_index("path")
    assert sorted(table["label"]) == ["Blip", "Blip", "Tomte", "Tomte"]
    for row in rows:
        named = table.loc[row["pictures"].split("; ")]
        assert set(named["label"]) == {row["class"]} and named["id"].nunique() == 1
    assert sorted(table.loc[table["label"] == "Tomte", "duration"]) == [0.5, 2.0]
    assert table.loc[table["label"] == "Blip", "duration"].isna().all()
    copies = [path.read_bytes() for path in (tmp_path / "kept/Blip").iterdir()]
    assert sorted(copies) == sorted(Path(path).read_bytes() for path in pictures["Whistle"])


def test_who_thinks_again_has_the_glitch_in_its_last_class_alone(kept, tmp_path):
    kept("Tomte", "")
    rows = kept("Blip", "")
    assert [row["class"] for row in rows] == ["Tomte", "Blip"]
    assert set(open_source(tmp_path / "kept").table["label"]) == {"Blip"}


@pytest.mark.parametrize("label", ["..", "a/b", ".hidden", "a\\b"])
def test_a_class_that_is_no_folder_name_is_refused(kept, tmp_path, label):
    with pytest.raises(ValueError, match="can't be the name of a folder"):
        kept(label, "")
    assert not (tmp_path / "kept").exists()


def test_nothing_is_kept_of_pictures_that_are_gone(predictor, pictures, tmp_path):
    answered, *_ = classify.judge(predictor, pictures["Whistle"])
    Path(pictures["Whistle"][0]).unlink()
    with pytest.raises(OSError, match="No such file"):
        feedback.save(tmp_path / "kept", *answered, "Blip", "", MODEL)
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize(
    ("host", "share", "kept_in"),
    [
        ("127.0.0.1", False, feedback.FOLDER),
        ("localhost", False, feedback.FOLDER),
        ("0.0.0.0", False, None),
        ("127.0.0.1", True, None),
    ],
)
def test_only_who_sits_at_this_machine_may_write_on_it(host, share, kept_in):
    assert main.feedback_folder(host, share) == kept_in


def test_a_page_for_others_has_no_place_to_disagree(predictor, pictures):
    parts = [
        part["props"].get("label") for part in main.build(predictor, dict).config["components"]
    ]
    assert "I disagree" not in parts and "One to four windows" in str(parts)
