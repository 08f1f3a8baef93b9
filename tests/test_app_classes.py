"""The app on models of other classes than the 22: Gravity Spy's later ones, and anybody's."""

import csv
from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from gradio_client import Client, handle_file
from nearest_picture import TOYS, NearestPicture
from PIL import Image
from toy_pictures import toy_picture, toy_simulation

from flax_glitch.app import batch, classify, examples, guide, main
from flax_glitch.checkpoint import Description, arrays_of, save_model
from flax_glitch.classes import CLASSES, MORPHOLOGY, OUTLIER
from flax_glitch.config import ModelConfig, Preprocessing
from flax_glitch.models.classifier import build
from flax_glitch.predict.predictor import Predictor
from flax_glitch.predict.verdicts import Failure, Prediction
from flax_glitch.simulate import catalogue

O3 = (*CLASSES, "Fast_Scattering", "Low_Frequency_Blip")
OWN = ("Tomte", "Whistle", "Zebra_Stripes")
WITH_OUTLIERS = ("Tomte", "Whistle", OUTLIER, "Zebra_Stripes")


@pytest.fixture(
    scope="module",
    params=[O3, OWN, WITH_OUTLIERS],
    ids=["24 classes", "3 classes", "3 classes and outliers"],
)
def predictor(request, tmp_path_factory):
    """A model of so many classes that has learnt nothing."""
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    settings, preprocessing = ModelConfig("cnn-a", weights="none"), Preprocessing(size=32)
    model = build(settings, preprocessing, len(request.param), rngs=nnx.Rngs(0))
    description = Description("tiny", settings, preprocessing, {}, request.param)
    save_model(folder, arrays_of(model), description, "# tiny")
    return Predictor.from_checkpoint(folder)


@pytest.fixture(scope="module")
def page(predictor, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("served")))
        page = main.build(predictor, lambda: TOYS)
        main.launch(page)
        yield page
        page.close(verbose=False)


@pytest.fixture
def client(page, tmp_path):
    return Client(page.local_url, verbose=False, download_files=tmp_path / "downloads")


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "H1_abc_spectrogram_1.0.png"
    Image.fromarray(toy_picture("Whistle")).save(path)
    return path


def verdict_on(names, probabilities, **more):
    row = np.array(probabilities, float)
    given = (("a.png",), None, None, (None,), ("kaggle",), row[None], row)
    return Prediction(names, *given, **more)


def test_answers_are_in_the_models_classes(client, predictor, picture):
    answer, verdict, _ = client.predict(handle_file(picture), api_name="/classify")
    assert tuple(answer["probabilities"]) == predictor.classes in (O3, OWN)
    assert f"<h2>{answer['class'].replace('_', ' ')}</h2>" in verdict
    _, table, csv_file, _ = client.predict([handle_file(picture)], api_name="/batch")
    assert table["value"]["data"][0][1].startswith(answer["class"].replace("_", " "))
    (row,) = csv.DictReader(Path(csv_file["value"]).read_text().splitlines())
    assert [name for name in row if name.startswith("p(")] == [f"p({n})" for n in predictor.classes]


def test_the_page_says_how_many_classes_there_are_and_shows_as_many(page, predictor):
    count = len(predictor.classes)
    parts = [part["props"] for part in page.config["components"]]
    sliders = [part for part in parts if part.get("label") == "Classes shown"]
    assert [(part["maximum"], part["value"]) for part in sliders] == [(count, min(5, count))] * 2
    texts = [part["value"] for part in parts if isinstance(part.get("value"), str)]
    assert any(f"names one of {count} kinds" in text for text in texts)
    (guide_part,) = [text for text in texts if 'class="guide"' in text]
    assert guide_part.count("<li ") == count and OUTLIER not in guide_part


def test_the_guide_knows_later_classes_and_has_of_unknown_ones_the_name_alone():
    pictures = {"Whistle": toy_picture("Whistle")}
    text = guide.classes_of(("Whistle", "Fast_Scattering", "Zebra_Stripes"), pictures)
    whistle, later, unknown = text.split("<li ")[1:]
    assert "<img" in whistle and MORPHOLOGY["Whistle"] in whistle
    assert "<img" not in later and MORPHOLOGY["Fast_Scattering"] in later
    assert unknown.startswith('id="guide-2" tabindex="-1"><div><h3>Zebra Stripes</h3></div></li>')


def test_a_verdict_on_an_unknown_class_has_its_name_alone():
    text = classify.verdict_of(verdict_on(OWN, [0, 0, 1]))
    assert "<h2>Zebra Stripes</h2>" in text
    assert text.count("<p") == 2  # how sure, and under which prior


def test_a_class_name_cannot_smuggle_html_into_the_page():
    names = ("<img src=x>", "<script>${1}", "{{x}}")
    result = verdict_on(names, [0.4, 0.35, 0.25])
    answer = {"probabilities": dict(zip(names, result.probabilities, strict=True))}
    for text in (
        classify.verdict_of(result),
        classify.bars_of(answer, 3),
        guide.classes_of(names, {"<img src=x>": toy_picture("Blip")}),
    ):
        assert "<img src=x" not in text and "<script" not in text
        assert "${" not in text and "{{" not in text


def test_examples_are_simulated_of_the_models_own_classes(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "simulate", toy_simulation)
    found = examples.pictures(OWN, tmp_path, tmp_path)
    assert list(found) == ["Tomte", "Whistle"]
    drawn = {path.parent.name for path in tmp_path.glob("examples-*/*/*.png")}
    assert drawn == {"Tomte", "Whistle"}
    shown = examples.files(found, tmp_path / "served")
    assert [caption for _, caption in shown] == ["Whistle", "Tomte"]
    assert len(examples.files(TOYS, tmp_path / "served")) == 8
    assert examples.pictures(("Zebra_Stripes",), tmp_path / "no", tmp_path / "no") == {}


@pytest.mark.parametrize("names, has_examples", [(OWN, True), (("Lion", "Zebra"), False)])
def test_only_a_model_that_has_examples_invites_to_click_one(names, has_examples):
    predictor = NearestPicture.__new__(NearestPicture)
    predictor.classes = names
    _, invitation, _ = classify.classify(predictor, None)
    assert "upload files" in invitation
    assert ("or click an example" in invitation) == has_examples


def test_none_of_the_above_is_an_answer_and_unlike_a_doubt(monkeypatch):
    names = ("Blip", "Whistle", "None_of_the_Above")
    monkeypatch.setattr(Prediction, "unlike", False)
    answer = classify.verdict_of(verdict_on(names, [0, 0, 1]))
    assert "a glitch that is none of the 2 other classes" in answer and "Unlike" not in answer
    monkeypatch.setattr(Prediction, "unlike", True)
    doubt = classify.verdict_of(verdict_on(names, [1, 0, 0]))
    assert "The class that is named may mean nothing" in doubt
    assert "other classes" not in doubt
    strange = classify.verdict_of(verdict_on(names, [0, 0, 1]))
    assert "such colours" in strange and strange.count("note") == 1
    assert batch.table_of([verdict_on(names, [0, 0, 1])])[0][3] == batch.UNLIKE
    learned = classify.verdict_of(verdict_on(names, [0, 0, 1], knows_outliers=True))
    assert "may mean nothing" in learned and learned.count("note") == 1


@pytest.mark.parametrize("windows", [(0.5, 1.0, 2.0, 4.0, 8.0), (0.5, 8.0)])
def test_a_window_of_8_s_loses_no_other_glitch_of_a_batch(predictor, picture, tmp_path, windows):
    paths = [str(picture)]
    for window in windows:
        paths.append(str(tmp_path / f"L1_x_spectrogram_{window}.png"))
        Image.fromarray(toy_picture("Whistle", min(window, 4.0), int(window))).save(paths[-1])
    results = []
    list(batch.classify(predictor, paths, results))
    answered = {path for one in results if isinstance(one, Prediction) for path in one.inputs}
    assert str(picture) in answered
    faults = [one.error for one in results if isinstance(one, Failure)]
    if len(windows) == 5:
        assert [fault for fault in faults if "one of 5 views of its glitch" not in fault] == []
        assert len(faults) == 5
    else:
        assert not faults
        assert "0.5, unknown" in [row[6] for row in batch.table_of(results)]


def test_what_a_batch_has_answered_is_kept_when_something_goes_wrong(
    predictor, tmp_path, monkeypatch, caplog
):
    paths = [str(tmp_path / f"{number}.png") for number in range(20)]
    for path in paths:
        Image.fromarray(toy_picture("Whistle")).save(path)
    forward, calls = predictor.forward, []

    def fail_later(views, mask):
        calls.append(len(views))
        if len(calls) > 1:
            raise RuntimeError("secret")
        return forward(views, mask)

    monkeypatch.setattr(predictor, "forward", fail_later)
    results = []
    list(batch.classify(predictor, paths, results))
    failed = [result for result in results if isinstance(result, Failure)]
    assert (len(results), len(failed)) == (20, 4)
    assert {result.error for result in failed} == {classify.UNEXPECTED}
    assert "secret" in caplog.text
