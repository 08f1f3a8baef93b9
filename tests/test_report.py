"""A report's files are complete, readable and whole, whatever happens."""

import csv
import json

import numpy as np
import pytest
from flax_glitch.data.prepared import Entry
from PIL import Image

from flax_glitch.classes import CLASSES
from flax_glitch.evaluation import report
from flax_glitch.evaluation.evaluate import Outputs, summary

FIGURES = [
    f"{figure}_{kind}.png"
    for figure in ("confusion", "precision_recall", "reliability", "roc")
    for kind in ("per_glitch", "per_image")
]


def made_up(glitches=44, classes=22):
    """Two views of each glitch, the second with an unknown window."""
    rng = np.random.default_rng(0)
    labels = (np.arange(glitches) % classes).repeat(2)
    logits = rng.normal(size=(len(labels), 22)).astype(np.float32)
    logits[np.arange(len(labels)), labels] += 2
    entries = tuple(
        Entry(
            f"{CLASSES[label]}/{n}.png", f"1238.{n // 2}", "L1", (0.5, None)[n % 2], CLASSES[label]
        )
        for n, label in enumerate(labels)
    )
    return Outputs(logits, entries)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    outputs = made_up()
    folder = tmp_path_factory.mktemp("report") / "new" / "folder"
    report.write_report(folder, outputs, summary(outputs), {"checkpoint": "abc"})
    return folder, outputs


def rows_of(folder):
    with (folder / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_report_is_these_files_and_no_others(written):
    names = {path.name for path in written[0].iterdir()}
    assert names == {"metrics.json", "predictions.csv", "per_class.md", *FIGURES}


def test_metrics_json_holds_the_summary_and_where_it_comes_from(written):
    folder, outputs = written
    content = json.loads((folder / "metrics.json").read_text())
    assert content == summary(outputs) | {"provenance": {"checkpoint": "abc"}}


def test_predictions_read_back_as_they_were(written):
    folder, outputs = written
    rows = rows_of(folder)
    table = np.array([[float(row[f"p({name})"]) for name in CLASSES] for row in rows])
    np.testing.assert_allclose(table, outputs.probabilities, rtol=1e-5)
    assert [row["truth"] for row in rows] == [entry.label for entry in outputs.entries]
    assert [row["path"] for row in rows] == [entry.path for entry in outputs.entries]
    assert rows[1]["gravityspy_id"] == "1238.0"
    assert [row["duration"] for row in rows[:2]] == ["0.5", ""]


def test_predictions_hold_the_answer_to_the_picture_and_to_its_glitch(written):
    folder, outputs = written
    for row, alone, glitch in zip(
        rows_of(folder), outputs.probabilities, outputs.glitches, strict=True
    ):
        fused = outputs.glitch_probabilities[glitch]
        assert row["verdict"] == CLASSES[alone.argmax()]
        assert float(row["confidence"]) == pytest.approx(alone.max(), rel=1e-5)
        assert row["glitch_verdict"] == CLASSES[fused.argmax()]
        assert float(row["glitch_confidence"]) == pytest.approx(fused.max(), rel=1e-5)


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_whole_pictures_of_print_resolution(written, name):
    with Image.open(written[0] / name) as image:
        image.load()
        assert min(image.size) > 800
        assert image.convert("L").getextrema() == (0, 255)


def test_the_table_per_class_has_every_class_of_both_kinds(written):
    folder, outputs = written
    text = (folder / "per_class.md").read_text()
    row = summary(outputs)["per_glitch"]["per_class"]["Koi_Fish"]
    cells = [f"{row[name]:.4f}" for name in ("precision", "recall", "f1", "average_precision")]
    assert f"| Koi Fish | 2 | {' | '.join(cells)} |" in text.split("## Per glitch")[1]
    assert text.count("| Wandering Line |") == 2


def test_a_report_on_one_picture_is_written_and_shows_what_is_not_defined(tmp_path):
    outputs = Outputs(made_up().logits[:1], made_up().entries[:1])
    result = summary(outputs)
    report.write_report(tmp_path, outputs, result, {})
    assert json.loads((tmp_path / "metrics.json").read_text())["per_image"]["roc_auc"] is None
    assert "| Blip | 0 | - | - | - | - |" in (tmp_path / "per_class.md").read_text()
    assert "not defined" in report.as_text(result)


def test_a_file_name_that_is_no_text_does_not_cost_the_table(tmp_path):
    odd = Entry('Blip/caf\udce9, "x".png', "a", "H1", None, "Blip")
    outputs = Outputs(np.eye(22, dtype=np.float32)[3:4], (odd,))
    report.write_report(tmp_path, outputs, summary(outputs), {})
    assert rows_of(tmp_path)[0]["path"] == 'Blip/caf\\udce9, "x".png'


def test_a_failure_leaves_the_earlier_file_and_no_rubbish(tmp_path, monkeypatch):
    path = tmp_path / "learning_curves.png"
    path.write_text("earlier")

    def fail(figure, new, **settings):
        new.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        report.plot_learning_curves([epoch()], path)
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_learning_curves_are_written_over_the_earlier_ones(tmp_path):
    path = tmp_path / "learning_curves.png"
    path.write_text("earlier")
    report.plot_learning_curves([epoch()], path)
    with Image.open(path) as image:
        assert image.format == "PNG"


def epoch():
    names = ("loss", "accuracy", "precision_macro", "recall_macro", "pr_auc", "roc_auc")
    return {
        "epoch": 1,
        "learning_rate": 1e-4,
        "training": dict.fromkeys(names, 0.5),
        "validation": None,
        "pictures_per_second": 10.0,
        "seconds": 3.0,
    }


def test_the_text_table_shows_both_kinds_with_their_intervals():
    result = summary(made_up(classes=7))
    text = report.as_text(result)
    low, high = result["per_glitch"]["intervals"]["accuracy"]
    (line,) = (line for line in text.splitlines() if line.startswith("accuracy"))
    assert line.endswith(
        f"{100 * result['per_glitch']['accuracy']:.2f} ({100 * low:.1f} to {100 * high:.1f})"
    )
    assert "over the 7 of 22 classes" in text
    assert max(len(line) for line in text.splitlines()) <= 80
