"""Classes are data: folders of 24 and of three classes are trained on, measured and served."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from test_cli import run

from flax_glitch.checkpoint import read_description
from flax_glitch.classes import CLASSES
from flax_glitch.cli.training import evaluate_checkpoint
from flax_glitch.config import Config, DataConfig, ModelConfig, Preprocessing, TrainingConfig
from flax_glitch.training.start import train

O3 = (*CLASSES, "Fast_Scattering", "Low_Frequency_Blip")
OWN = ("Blip", "Crown", "Zebra")
FOLDERS = {"Low_Frequency_Blip": "Blip_Low_Frequency"}
"""Of O3's release, which has another name for a class."""


@pytest.fixture(scope="module", params=[O3, OWN], ids=["24", "3"])
def source(request, tmp_path_factory):
    """Seven glitches of each class, in two windows; a bar's height tells the class."""
    folder = tmp_path_factory.mktemp("source")
    random = np.random.default_rng(0)
    for number, label in enumerate(request.param):
        (folder / FOLDERS.get(label, label)).mkdir()
        for glitch in range(7):
            for window in (0.5, 2.0):
                pixels = random.integers(0, 60, (48, 48, 3), np.uint8)
                pixels[2 * number : 2 * number + 2] = 230
                name = f"L1_{number}g{glitch}_spectrogram_{window}.png"
                Image.fromarray(pixels).save(folder / FOLDERS.get(label, label) / name)
    return folder, request.param


@pytest.fixture(scope="module")
def model(source, cache, tmp_path_factory):
    """A run on them."""
    config = Config(
        Preprocessing(48, colour="grayscale", normalise="unit"),
        DataConfig(str(source[0]), batch_size=16),
        ModelConfig("compact", "none", batch_norm_momentum=0.5),
        training=TrainingConfig(epochs=2),
    )
    folder = tmp_path_factory.mktemp("runs") / "model"
    train(config, folder, cache=cache)
    return folder


def test_the_classes_of_the_labels_travel_with_the_model_and_its_metrics(source, model, cache):
    folder, classes = source
    assert read_description(model).classes == classes
    evaluate_checkpoint(str(folder), split="test", checkpoint=model, cache=cache)
    metrics = json.loads((model / "evaluation" / "metrics.json").read_text())
    assert tuple(metrics["classes"]) == tuple(metrics["per_glitch"]["per_class"]) == classes
    assert metrics["per_glitch"]["n"] == len(classes)
    rows = pd.read_csv(model / "evaluation" / "predictions.csv")
    assert [name for name in rows.columns if name.startswith("p(")] == [f"p({n})" for n in classes]
    assert set(rows["label"]) == set(classes)
    for figure in ("confusion_per_glitch", "roc_per_image", "reliability_per_glitch"):
        assert (model / "evaluation" / f"{figure}.png").stat().st_size > 10_000


def test_classify_answers_in_the_models_classes(source, model, capsys):
    folder, classes = source
    assert run("classify", folder / "Blip", "--checkpoint", model, "--format", "json") == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(answers) == 14
    assert tuple(answers[0]["probabilities"]) == classes
    assert answers[0]["class"] in classes


def test_pictures_of_classes_that_the_model_does_not_know_are_left_out_and_told(
    source, model, tmp_path, cache, caplog
):
    folder, classes = source
    other = tmp_path / "other"
    (other / "Blip").mkdir(parents=True)
    (other / "Pizzicato").mkdir()
    for number, path in enumerate(sorted((folder / "Blip").iterdir())):
        target = other / ("Pizzicato" if number > 9 else "Blip") / path.name
        target.write_bytes(path.read_bytes())
    evaluate_checkpoint(
        str(other), split="all", checkpoint=model, out=tmp_path / "report", cache=cache
    )
    assert "pictures of other classes, left out: 4 (Pizzicato)" in caplog.text
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert metrics["per_image"]["n"] == 10
    assert tuple(metrics["classes"]) == classes
