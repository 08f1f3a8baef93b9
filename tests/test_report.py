"""A report's files are complete, readable and whole, whatever happens."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from flax_glitch.classes import CLASSES
from flax_glitch.data.table import COLUMNS
from flax_glitch.evaluation import report
from flax_glitch.evaluation.evaluate import Outputs, summary

FIGURES = [
    f"{figure}_{kind}.png"
    for figure in ("confusion", "precision_recall", "reliability", "roc")
    for kind in ("per_glitch", "per_image")
]


def made_up(glitches=44, present=22, classes=CLASSES):
    """Two views of each glitch, the second with an unknown window."""
    rng = np.random.default_rng(0)
    labels = (np.arange(glitches) % present).repeat(2)
    logits = rng.normal(size=(len(labels), len(classes))).astype(np.float32)
    logits[np.arange(len(labels)), labels] += 2
    names = [classes[label] for label in labels]
    rows = [
        (f"{name}/{n}.png", "", "L1", f"1238.{n // 2}", (0.5, np.nan)[n % 2], name, "test")
        for n, name in enumerate(names)
    ]
    return Outputs(logits, pd.DataFrame(rows, columns=COLUMNS), classes)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    outputs = made_up()
    folder = tmp_path_factory.mktemp("report") / "new" / "folder"
    report.write_report(folder, outputs, summary(outputs), {"checkpoint": "abc"})
    return folder, outputs


def read(folder):
    text = {"path": str, "key": str, "ifo": str, "id": str, "label": str, "split": str}
    return pd.read_csv(folder / "predictions.csv", dtype=text, keep_default_na=False, na_values="")


def test_a_report_is_these_files_and_no_others(written):
    names = {path.name for path in written[0].iterdir()}
    assert names == {"metrics.json", "predictions.csv", "per_class.md", *FIGURES}


def test_metrics_json_holds_the_classes_the_summary_and_where_it_comes_from(written):
    folder, outputs = written
    content = json.loads((folder / "metrics.json").read_text())
    whole = {"classes": list(CLASSES), **summary(outputs), "provenance": {"checkpoint": "abc"}}
    assert content == whole


def test_predictions_are_the_table_with_answers_and_probabilities(written):
    folder, outputs = written
    found = read(folder)
    answers = ["verdict", "confidence", "glitch_verdict", "glitch_confidence"]
    columns = [f"p({name})" for name in CLASSES]
    assert list(found) == [*COLUMNS, *answers, *columns]
    table = found[list(COLUMNS)].fillna({"key": ""})
    pd.testing.assert_frame_equal(table, outputs.table, check_dtype=False)
    np.testing.assert_allclose(found[columns], outputs.probabilities, rtol=1e-5)
    first = (folder / "predictions.csv").read_text().splitlines()[1]
    assert first.startswith("1080Lines/0.png,,L1,1238.0,0.5,1080Lines,test,")


def test_predictions_hold_the_answer_to_the_picture_and_to_its_glitch(written):
    folder, outputs = written
    found = read(folder)
    fused = outputs.glitch_probabilities[outputs.glitches]
    for kind, probabilities in (("", outputs.probabilities), ("glitch_", fused)):
        verdicts = [CLASSES[number] for number in probabilities.argmax(axis=1)]
        assert found[f"{kind}verdict"].tolist() == verdicts
        np.testing.assert_allclose(found[f"{kind}confidence"], probabilities.max(axis=1), rtol=1e-5)


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
    outputs = Outputs(made_up().logits[:1], made_up().table[:1], CLASSES)
    result = summary(outputs)
    report.write_report(tmp_path, outputs, result, {})
    assert json.loads((tmp_path / "metrics.json").read_text())["per_image"]["roc_auc"] is None
    assert "| Blip | 0 | - | - | - | - |" in (tmp_path / "per_class.md").read_text()
    assert "not defined" in report.as_text(result)


def test_a_file_name_that_is_no_text_does_not_cost_the_table(tmp_path):
    odd = ('Blip/caf\udce9, "x".png', "", "H1", "a", np.nan, "Blip", "test")
    table = pd.DataFrame([odd], columns=COLUMNS, dtype=object)
    outputs = Outputs(np.eye(22, dtype=np.float32)[3:4], table, CLASSES)
    report.write_report(tmp_path, outputs, summary(outputs), {})
    assert read(tmp_path)["path"][0] == 'Blip/caf\\udce9, "x".png'


def test_a_failure_leaves_the_earlier_file_and_no_rubbish(tmp_path, monkeypatch):
    path = tmp_path / "learning_curves.png"
    path.write_text("earlier")

    def fail(figure, new, **settings):
        new.write(b"half")
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
    result = summary(made_up(present=7))
    text = report.as_text(result)
    low, high = result["per_glitch"]["intervals"]["accuracy"]
    (line,) = (line for line in text.splitlines() if line.startswith("accuracy"))
    assert line.endswith(
        f"{100 * result['per_glitch']['accuracy']:.2f} ({100 * low:.1f} to {100 * high:.1f})"
    )
    assert "over the 7 of 22 classes" in text
    assert max(len(line) for line in text.splitlines()) <= 80


@pytest.mark.parametrize("count", [3, 24])
@pytest.mark.parametrize("present", [1, 3])
def test_a_model_of_other_classes_has_a_report_of_its_own(count, present, tmp_path):
    classes = tuple(f"Class_{number}" for number in range(count))
    outputs = made_up(present=present, classes=classes)
    measured = summary(outputs)
    report.write_report(tmp_path, outputs, measured, {})
    assert json.loads((tmp_path / "metrics.json").read_text())["classes"] == list(classes)
    assert f"over the {present} of {count} classes" in report.as_text(measured)
    assert (tmp_path / "per_class.md").read_text().count("| Class 2 |") == 2
    assert list(read(tmp_path))[-1] == f"p(Class_{count - 1})"
    assert {path.name for path in tmp_path.glob("*.png")} == set(FIGURES)


def test_a_bar_in_a_name_stays_in_its_cell():
    table = report.markdown_table(("Class", "n"), [("a|b", "3")])
    assert table.splitlines()[2] == r"| a\|b | 3 |"
