"""Runs stand side by side with figures that are theirs, and only if they judged the same."""

import dataclasses
import io
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from flax_glitch.checkpoint import Description
from flax_glitch.classes import CLASSES, DURATIONS
from flax_glitch.cli import main
from flax_glitch.data.records import Split
from flax_glitch.data.table import COLUMNS
from flax_glitch.evaluation.compare import (
    PUBLISHED,
    check_comparable,
    compare,
    read_system,
    trained_glitches,
)
from flax_glitch.evaluation.compare_report import as_markdown, as_text
from flax_glitch.evaluation.evaluate import Outputs, summary
from flax_glitch.evaluation.plots import accuracy_bars
from flax_glitch.evaluation.report import write_mistakes, write_report
from flax_glitch.models.systems import settings

FEW = 44


def answers(wrong, classes=CLASSES):
    """44 glitches, four windows each; every window of the wrong ones is called the fourth class."""
    labels = np.arange(FEW) % len(classes)
    verdicts = np.where(np.isin(np.arange(FEW), wrong), 3 % len(classes), labels).repeat(4)
    rows = [
        (f"{classes[label]}/{n}-{window}.png", "", "H1", f"id{n}", window, classes[label], "test")
        for n, label in enumerate(labels)
        for window in DURATIONS
    ]
    confidences = np.linspace(2, 6, len(verdicts), dtype=np.float32)
    logits = np.eye(len(classes), dtype=np.float32)[verdicts] * confidences[:, None]
    return Outputs(logits, pd.DataFrame(rows, columns=COLUMNS), classes)


def write_run(folder, network, wrong, classes=CLASSES):
    folder.mkdir()
    config = settings("paper", network)
    provenance = {"best": {"epoch": 2}}
    described = Description(
        network,
        config.model,
        config.preprocessing,
        provenance,
        classes,
        sha256=f"hash of {network}",
    )
    (folder / "model.json").write_text(json.dumps(dataclasses.asdict(described)))
    records = [
        {"epoch": n, "training": {"accuracy": n / 8, "binary_accuracy": 0.97}, "validation": None}
        for n in (1, 2, 3)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    provenance = {"source": "set", "layout": "plain", "split": "test"}
    provenance["model"] = {"name": network, "sha256": f"hash of {network}"}
    outputs = answers(wrong, classes)
    write_report(folder / "evaluation", outputs, summary(outputs), provenance)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One run that gets 8 of 44 glitches wrong, and another that gets 2 of those and 1 more."""
    base = tmp_path_factory.mktemp("runs")
    write_run(base / "first", "resnet50", list(range(4, 12)))
    write_run(base / "second", "ann", [4, 5, 12])
    return base


@pytest.fixture
def copies(runs, tmp_path):
    shutil.copytree(runs, tmp_path / "copies")
    return tmp_path / "copies"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Where `compare` writes to, unless told otherwise."""
    monkeypatch.chdir(tmp_path)


def systems(base, *names):
    return [read_system(base / name) for name in names or ("first", "second")]


def code_of(*arguments):
    try:
        main(["compare", *map(str, arguments)])
    except SystemExit as end:
        return end.code
    return 0


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_pairs_count_the_glitches_that_one_alone_has_right(runs):
    (pair,) = compare(systems(runs))["pairs"]
    assert (pair["first"], pair["second"]) == ("first", "second")
    assert (pair["only_first"], pair["only_second"]) == (1, 6)
    # Of seven coins at most one falls otherwise: 8 of 128 ways, on either side.
    assert pair["p"] == pair["p_holm"] == pytest.approx(2 * 8 / 128)
    assert pair["accuracy"]["difference"] == pytest.approx((36 - 41) / 44)
    low, high = pair["accuracy"]["interval"]
    assert -0.3 < low < -5 / 44 < high < 0.05


def test_a_system_has_its_own_figures_and_the_reports(runs):
    first, second = compare(systems(runs))["systems"]
    assert first["training"] == {"accuracy": 0.25, "binary_accuracy": 0.97}  # of the epoch kept
    assert first["per_glitch"]["accuracy"] == pytest.approx(36 / 44)
    assert first["per_image"]["n"] == 176
    assert first["published"]["accuracy"] == 0.9631
    assert second["published"] is None


def test_the_reports_figures_agree_among_themselves():
    for figures in PUBLISHED.values():
        assert figures.get("recall_weighted", figures["accuracy"]) == figures["accuracy"]
        assert all(0.88 < figure < 1 for figure in figures.values())


def test_the_command_writes_a_folder_that_holds_all_it_shows(runs, tmp_path, capsys):
    out = tmp_path / "new" / "folder"
    shutil.copytree(runs, tmp_path / "runs")
    (tmp_path / "runs/first/evaluation/mistakes.png").write_bytes(b"drawn")
    assert code_of(tmp_path / "runs/first", tmp_path / "runs/second", "--out", out) == 0
    text = (out / "comparison.md").read_text()
    shown = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert {*shown, "comparison.md", "comparison.json"} == {path.name for path in out.iterdir()}
    assert (out / "first_mistakes.png").read_bytes() == b"drawn"
    assert json.loads((out / "comparison.json").read_text()) == compare(systems(runs))
    said = capsys.readouterr().out
    assert "first " in said and "theirs" in said and "81.82 (" in said
    assert max(map(len, said.splitlines()[:-1])) <= 80


def test_every_table_of_the_document_is_whole(runs):
    text = as_markdown(compare(systems(runs)), {})
    tables = re.findall(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE)
    assert len(tables) == 6
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1
    assert "| *theirs* | *resnet50* | - | *99.91* | *99.68* | *96.31* | - |" in text
    assert "The pictures above are others" in text
    assert "| Chirp | 2 | 50.0 | 50.0 |\n" in text and "| Helix | 2 | 50.0 | **100.0** |" in text


def test_one_run_is_a_table_without_pairs(runs):
    comparison = compare(systems(runs, "first"))
    assert comparison["pairs"] == []
    assert "McNemar" not in as_markdown(comparison, {}) and "**" not in as_text(comparison)


def test_figures_that_older_or_released_runs_lack_are_dashes(copies):
    (copies / "first/metrics.jsonl").unlink()
    text = as_markdown(compare(systems(copies, "first")), {})
    assert re.search(r"\| first \| resnet50 \| 24,157,718 \| - \| - \| 81\.82", text)


def test_a_system_that_was_trained_on_what_it_was_asked_is_told(copies):
    rows = [("H1", "id3", "train"), ("L1", "id3", "train"), ("H1", "id4", "test")]
    table = pd.DataFrame(rows, columns=["ifo", "id", "split"])
    table.to_csv(copies / "second/splits.csv", index=False)
    text = as_markdown(compare(systems(copies)), {})
    assert "**second was trained on 1 of these glitches**" in text
    assert "first was trained" not in text


def test_eight_bars_show_accuracies_intervals_and_hollow_marks_of_the_report(runs):
    first, second = compare(systems(runs))["systems"]
    axes = accuracy_bars([first, second] * 4, "title", "a report").axes[0]
    assert [bar.get_width() for bar in axes.patches[:2]] == [36 / 44, 41 / 44]
    (marks,) = (line for line in axes.lines if line.get_marker() == "D")
    assert marks.get_markerfacecolor() == "white" and list(marks.get_xdata()) == [0.9631] * 4
    assert axes.get_xlim()[0] <= first["per_glitch"]["intervals"]["accuracy"][0]


DAMAGES = {
    "evaluation/metrics.json": "{",
    "evaluation/predictions.csv": "path,truth\nx.png,Blip\n",
    "metrics.jsonl": "half a rec",
    "model.json": "[]",
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_named_in_one_line(name, copies, tmp_path):
    (copies / "second" / name).write_text(DAMAGES[name])
    message = code_of(copies / "first", copies / "second", "--out", tmp_path / "out")
    assert str(copies / "second" / name) in message and "\n" not in message
    assert not (tmp_path / "out").exists()


def without(text, *path):
    """JSON without what is at this place."""
    content = json.loads(text)
    part = content
    for name in path[:-1]:
        part = part[name]
    del part[path[-1]]
    return json.dumps(content)


@pytest.mark.parametrize(
    "path",
    [
        ("classes",),
        ("per_image",),
        ("per_glitch", "accuracy"),
        ("per_glitch", "f1_macro"),
        ("per_image", "recall_micro"),
        ("per_image", "intervals"),
        ("per_glitch", "intervals", "accuracy"),
        ("per_glitch", "per_class", "Blip", "recall"),
        ("provenance", "split"),
        ("provenance", "model", "sha256"),
    ],
)
def test_figures_that_are_missing_are_named_in_one_line(path, copies):
    file = copies / "second/evaluation/metrics.json"
    file.write_text(without(file.read_text(), *path))
    message = code_of(copies / "first", copies / "second")
    assert str(file) in message and path[-1] in message and "\n" not in message


@pytest.mark.parametrize("value", ['"high"', "null", "[0.5]", "NaN"])
def test_a_figure_that_is_no_number_is_refused_in_one_line(value, copies):
    file = copies / "second/evaluation/metrics.json"
    file.write_text(
        re.sub('"f1_macro": [0-9.]+,', f'"f1_macro": {value},', file.read_text(), count=1)
    )
    message = code_of(copies / "first", copies / "second")
    assert str(file) in message and "\n" not in message


def test_a_run_whose_best_epoch_is_not_known_is_compared_without_it(copies):
    file = copies / "second/model.json"
    file.write_text(without(file.read_text(), "provenance", "best"))
    assert compare(systems(copies, "second"))["systems"][0]["training"] is None


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "split,ifo\ntrain,H1\n", "ifo,id,split\nH1\n"])
def test_a_damaged_list_of_trained_glitches_is_named_in_one_line(text, copies):
    (copies / "second/splits.csv").write_text(text)
    message = code_of(copies / "first", copies / "second")
    assert str(copies / "second/splits.csv") in message and "\n" not in message


def test_what_runs_of_the_first_version_were_trained_on_is_read_too(tmp_path):
    (tmp_path / "splits.csv").write_text("split,ifo,gravityspy_id,label\ntrain,H1,NA,Blip\n")
    assert trained_glitches(tmp_path) == {("H1", "NA")}


def test_a_cut_off_table_or_another_evaluations_is_refused(copies):
    table = copies / "second/evaluation/predictions.csv"
    table.write_text("\n".join(table.read_text().splitlines()[:20]))
    with pytest.raises(ValueError, match=r"isn't that of metrics\.json"):
        read_system(copies / "second")
    table.write_text((copies / "first/evaluation/predictions.csv").read_text()[:-40])
    with pytest.raises(ValueError, match="evaluate --source SOURCE --checkpoint"):
        read_system(copies / "second")


def test_a_run_that_is_not_evaluated_tells_the_command(copies):
    shutil.rmtree(copies / "second/evaluation")
    command = f"flax-glitch evaluate --source SOURCE --checkpoint {copies / 'second'}"
    assert command in code_of(copies / "first", copies / "second")


def test_an_evaluation_of_the_model_before_is_refused(copies):
    change(copies / "second/model.json", "hash of ann", "hash of more training")
    with pytest.raises(ValueError, match="trained on since it was evaluated"):
        read_system(copies / "second")


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("metrics.json", '"split": "test"', '"split": "all"', "on split all, .*first on test"),
        ("metrics.json", '"source": "set"', '"source": "o"', "on source o, "),
        ("metrics.json", '"layout": "plain"', '"layout": "kaggle"', "on layout kaggle"),
        ("metrics.json", '"Whistle"', '"Pizzicato"', "'Whistle' is none of the model's classes"),
        ("predictions.csv", "Whistle/43", "Whistle/99", "of 180 pictures 8 are others"),
        ("predictions.csv", ",Tomte,", ",Pizzicato,", "'Pizzicato' is none of the"),
        (
            "predictions.csv",
            ",id12,0.5,None_of_the_Above",
            ",id12,0.5,Tomte",
            "176 .* 1 .*Above/12",
        ),
        ("predictions.csv", "Whistle/43-1.0", "Whistle/43-0.5", "a picture is in it twice"),
    ],
)
def test_runs_that_judged_other_things_are_refused(name, old, new, message, copies):
    change(copies / "second/evaluation" / name, old, new)
    with pytest.raises(ValueError, match=message):
        check_comparable(systems(copies))


@pytest.mark.parametrize("names", [[], ["first", "first"], ["first", "./first"]])
def test_no_run_and_the_same_run_twice_are_wrong_usage(names, runs, monkeypatch, capsys):
    monkeypatch.chdir(runs)
    assert code_of(*names) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_run_is_found_by_its_name_in_checkpoints(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(runs, tmp_path / "checkpoints")
    assert code_of("first", "second") == 0
    assert (tmp_path / "comparison/comparison.md").is_file()


@pytest.mark.parametrize("count", [3, 24])
def test_models_of_other_classes_are_compared_with_each_other(count, tmp_path):
    classes = (*(f"Class_{number}" for number in range(count - 1)), "Blip")
    write_run(tmp_path / "first", "cnn-a", [0, 1], classes)
    write_run(tmp_path / "second", "ann", [1, 2], classes)
    assert code_of(tmp_path / "first", tmp_path / "second", "--out", tmp_path / "out") == 0
    text = (tmp_path / "out/comparison.md").read_text()
    assert f"{count - 1} of {count} right" in text
    assert text.count("| Class 1 |") == 1


def test_models_of_different_classes_are_refused_with_the_names(copies):
    write_run(copies / "third", "cnn-a", [], ("70Hz_Line", *CLASSES[:21]))
    message = code_of(copies / "first", copies / "third")
    assert (
        message.endswith("70Hz_Line only in third, Whistle only in first") and "\n" not in message
    )


def pictures_of(outputs):
    records = []
    for number in range(len(outputs.table)):
        file = io.BytesIO()
        Image.new("RGB", (32, 40), (number, 0, 0)).save(file, "PNG")
        records.append({"image": file.getvalue()})
    half = len(records) // 2
    return [
        Split("validation", outputs.table[:half], CLASSES, records[:half]),
        Split("test", outputs.table[half:], CLASSES, records[half:]),
    ]


def test_the_gallery_shows_the_surest_mistakes_first_each_with_its_own_picture(
    tmp_path, monkeypatch
):
    drawn = []
    monkeypatch.setattr("flax_glitch.evaluation.plots.gallery", lambda *given: drawn.append(given))
    monkeypatch.setattr("flax_glitch.evaluation.report.save_figure", lambda *given: None)
    outputs = answers([4, 5, 12, 13, 14, 15, 43])
    write_mistakes(tmp_path, outputs, pictures_of(outputs))
    ((pictures, captions, title),) = drawn
    wrong = [4 * glitch + view for glitch in (4, 5, 12, 13, 14, 15, 43) for view in range(4)]
    assert [picture[0, 0, 0] for picture in pictures] == wrong[::-1][:24]
    assert captions[0] == f"Whistle, 4 s\n→ Blip, {outputs.probabilities[175].max():.0%}"
    assert title == "28 of 176 pictures taken for another class, the 24 surest"


def test_a_gallery_is_drawn_and_goes_once_there_are_no_mistakes(tmp_path):
    outputs = answers([43])
    write_mistakes(tmp_path, outputs, pictures_of(outputs))
    with Image.open(tmp_path / "mistakes.png") as image:
        assert min(image.size) > 400
    write_mistakes(tmp_path, answers([]), pictures_of(outputs))
    assert not list(tmp_path.iterdir())
