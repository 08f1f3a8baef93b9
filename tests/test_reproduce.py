"""One command trains, measures and compares, and goes on wherever it was stopped."""

import json
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from toy_pictures import draw_toys

from flax_glitch.config import UsageError
from flax_glitch.models.systems import MODELS, settings

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def reproduce(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import reproduce

    def draw(out, per_class, seed, classes):
        if not out.exists():
            draw_toys(out, classes[:3], per_class)

    monkeypatch.setattr(reproduce, "draw_glitches", draw)
    monkeypatch.setattr(reproduce, "keep_compiled", lambda cache: None)
    monkeypatch.setattr(reproduce.jax.config, "update", lambda name, value: None)
    return reproduce


@pytest.fixture
def smoke(reproduce, tmp_path, monkeypatch):
    """The smoke run of one system in a folder of its own, and whether each training resumed."""
    resumed = []
    train = reproduce.train

    def watched(config, folder, *, resume, cache):
        resumed.append(resume)
        return train(config, folder, resume=resume, cache=cache)

    def run(*more):
        arguments = ["reproduce.py", "--smoke", "--systems", "ann", "--out", str(tmp_path), *more]
        monkeypatch.setattr(sys, "argv", arguments)
        reproduce.main()

    monkeypatch.setattr(reproduce, "train", watched)
    for figures in ("_draw_answers", "draw_reliability"):  # which take longer than all the rest
        monkeypatch.setattr(f"flax_glitch.evaluation.report.{figures}", lambda *given: None)
    return SimpleNamespace(run=run, resumed=resumed, folder=tmp_path / "runs" / "ann")


def test_the_smoke_run_ends_in_a_document_and_goes_on_where_it_was_stopped(smoke, tmp_path):
    smoke.run()
    text = (tmp_path / "reproduction.md").read_text()
    assert "Smoke run on simulated glitches" in text and "$" not in text
    assert "| ann | 32x32, grayscale, samplewise | none | 0.0003 | class-weights | 1 of 1 |" in text
    assert set(re.findall(r"\]\((.*?)\)", text)) == {"reproduction.png"}
    assert (tmp_path / "reproduction.png").is_file()
    assert str(tmp_path) not in text

    smoke.run()  # all is done
    assert smoke.resumed == [False]

    shutil.rmtree(smoke.folder / "evaluation")  # stopped between training and measuring
    (smoke.folder / "reproduced.json").unlink()
    smoke.run()
    assert smoke.resumed == [False, True]
    assert json.loads((smoke.folder / "evaluation/metrics.json").read_text())["per_glitch"]["n"]

    smoke.run("--epochs", "2")
    assert smoke.resumed == [False, True, True]
    assert len((smoke.folder / "metrics.jsonl").read_text().splitlines()) == 2
    with pytest.raises(ValueError, match=r"preprocessing\.size \(was 32, now 40\)"):
        smoke.run("--size", "40")


def given(**changes):
    given = {"smoke": False, "preset": "paper", "epochs": None, "size": None, "weights_dir": None}
    return SimpleNamespace(**given | changes)


@pytest.mark.parametrize("name", MODELS)
def test_each_system_is_trained_at_its_settings_in_the_report(name, reproduce):
    config = reproduce.config_of(given(), name, Path("kaggle"))
    assert config.data.source == "kaggle"
    paper = settings("paper", name)
    assert (config.preprocessing, config.model) == (paper.preprocessing, paper.model)
    assert (config.optimiser, config.training) == (paper.optimiser, paper.training)


@pytest.mark.parametrize("name", ["resnet50", "vgg16", "xception"])
def test_imagenet_weights_come_from_a_folder_that_is_given_or_there_are_none(
    name, reproduce, tmp_path
):
    def weights():
        config = reproduce.config_of(given(weights_dir=tmp_path), name, Path("kaggle"))
        return config.model.weights

    assert weights() == "none"
    file = tmp_path / f"{name}_weights_tf_dim_ordering_tf_kernels_notop.h5"
    file.touch()
    assert weights() == str(file)


@pytest.mark.parametrize("arguments", [[], ["--smoke", "--source", "kaggle"], ["--source", ""]])
def test_a_source_or_the_smoke_run_must_be_chosen(arguments, reproduce, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["reproduce.py", *arguments])
    with pytest.raises(UsageError, match="either --source"):
        reproduce.main()
