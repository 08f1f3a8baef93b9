"""What the app tells beside a verdict: of each window, and of the model."""

import dataclasses
import runpy
from pathlib import Path

import httpx
import numpy as np
import pytest
from nearest_picture import TOYS, NearestPicture
from PIL import Image
from test_report import epoch

from flax_glitch.app import classify, guide, main
from flax_glitch.classes import CLASSES, DURATIONS
from flax_glitch.evaluation.report import CARD_FIGURES, plot_learning_curves
from flax_glitch.predict.predictor import Prediction

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "cross_validation.py"


@pytest.fixture(autouse=True)
def served(tmp_path, monkeypatch):
    """The app's own folder."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served"))
    (tmp_path / "served").mkdir()
    return tmp_path / "served"


@pytest.fixture
def run(tmp_path):
    """A run's folder with two of the three figures, and one of another kind."""
    folder = tmp_path / "run"
    (folder / "evaluation").mkdir(parents=True)
    for name in ("learning_curves", "evaluation/confusion_per_glitch", "evaluation/roc_per_glitch"):
        Image.effect_noise((40, 30), 50).save(folder / f"{name}.png")
    return folder


def verdict_on(windows):
    """A verdict whose windows each show a class, a share of it sure."""
    per_view = np.full((len(windows), len(CLASSES)), 1e-9)
    for row, (name, share) in zip(per_view, windows, strict=True):
        row[CLASSES.index(name)] = share
    names = tuple(f"{number}.png" for number in range(len(windows)))
    places = (names, "x", "H1", DURATIONS[: len(windows)], names)
    return Prediction(CLASSES, *places, per_view, per_view.mean(0))


def test_each_window_has_a_row_with_its_length_class_and_confidence():
    text = classify.verdict_of(verdict_on([("Blip", 0.612), ("Koi_Fish", 0.9999)]))
    assert '<th scope="row">0.5 s</th><td>Blip</td><td>61.2%</td>' in text
    assert '<th scope="row">1.0 s</th><td>Koi Fish</td><td>&gt;99.9%</td>' in text
    assert text.count("<caption>") == 1


def test_a_window_of_unknown_length_is_called_so():
    several = verdict_on([("Blip", 0.6), ("Whistle", 0.7)])
    text = classify.verdict_of(dataclasses.replace(several, durations=(0.5, None)))
    assert '<th scope="row">unknown length</th><td>Whistle</td>' in text


def test_of_a_single_window_nothing_is_repeated():
    assert "<table" not in classify.verdict_of(verdict_on([("Blip", 0.612)]))


def test_the_headings_of_a_card_are_below_that_of_the_page():
    assert guide.one_level_down("# name\ntext\n## part") == "## name\ntext\n### part"


def test_figures_are_found_in_a_run_and_in_its_evaluation_and_no_others(run, served):
    copies = guide.served(run)
    assert [path.name for path in copies] == ["confusion_per_glitch.png", "learning_curves.png"]
    assert all(served in path.parents for path in copies)
    assert copies[1].read_bytes() == (run / "learning_curves.png").read_bytes()


def test_the_page_serves_the_figures_with_alternative_texts_but_not_their_folder(run, served):
    page = main.build(NearestPicture(run), lambda: TOYS)
    address = main.launch(page)
    try:
        parts = [part["props"] for part in httpx.get(f"{address}config").json()["components"]]
        figures = [part for part in parts if "figure" in (part.get("elem_classes") or ())]
        replies = [httpx.get(figure["value"]["url"]) for figure in figures]
        refused = httpx.get(f"{address}gradio_api/file={run / 'learning_curves.png'}")
    finally:
        page.close(verbose=False)
    assert [reply.headers["content-type"] for reply in replies] == ["image/png"] * 2
    assert replies[1].content == (run / "learning_curves.png").read_bytes()
    assert [figure["alt_text"].split(":")[0] for figure in figures] == [
        "Confusion matrix",
        "Learning curves",
    ]
    assert refused.status_code == 403


def test_a_model_without_card_and_figures_has_its_tab_all_the_same(tmp_path):
    predictor = NearestPicture(tmp_path)
    predictor.card = ""
    parts = main.build(predictor, lambda: TOYS).config["components"]
    assert guide.NO_CARD in [part["props"].get("value") for part in parts]


def test_a_release_gets_the_figures_at_half_the_size_and_as_good_as_unchanged(
    tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(BENCHMARK.parent)
    path = tmp_path / "learning_curves.png"
    plot_learning_curves([epoch()], path)
    path.with_name("roc_per_glitch.png").write_bytes(path.read_bytes())
    goal = tmp_path / "released"
    goal.mkdir()
    runpy.run_path(str(BENCHMARK))["add_figures"](goal, tmp_path / "nothing", tmp_path)
    (written,) = goal.iterdir()
    assert written.name == path.name and written.name in CARD_FIGURES
    assert written.stat().st_size < path.stat().st_size / 2
    with Image.open(path) as before, Image.open(written) as after:
        pixels = [np.asarray(image.convert("RGB"), float) for image in (before, after)]
    assert np.abs(pixels[0] - pixels[1]).mean() < 1
