"""The script that trains: what people type becomes settings, or one line on what is wrong."""

import sys
from pathlib import Path

import pytest

from flax_glitch.cli import one_line_errors
from flax_glitch.models.systems import MODELS, check


@pytest.fixture
def script(monkeypatch):
    """Returns the script as if these arguments had been typed; data are not to be prepared."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1])
    import train_flax

    def prepared(*_, **__):
        raise AssertionError("data were prepared")

    monkeypatch.setattr("flax_glitch.training.start.prepare", prepared)
    monkeypatch.setattr(train_flax, "keep_compiled", lambda cache: None)

    def typed(*arguments):
        monkeypatch.setattr(sys, "argv", ["train_flax.py", *arguments])
        return train_flax

    return typed


def config_of(script):
    config = script.parse().config
    check(config)
    return config


@pytest.mark.parametrize("name", MODELS)
def test_a_model_starts_from_its_settings(script, name):
    config = config_of(script("--preset", "paper", "--model", name))
    assert config == MODELS[name].settings


@pytest.mark.parametrize("preset", ["paper", "quick"])
@pytest.mark.parametrize("name", MODELS)
def test_a_low_learning_rate_by_itself_never_rises(script, name, preset):
    optimiser = config_of(
        script("--preset", preset, "--model", name, "--learning-rate", "1e-6")
    ).optimiser
    assert (optimiser.learning_rate, optimiser.min_learning_rate) == pytest.approx((1e-6, 1e-7))


def test_classes_are_named_one_after_the_other(script):
    assert config_of(script("--classes", "Blip", "Chirp")).data.classes == ("Blip", "Chirp")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "cnn-b", "--size", "16"], ("cnn-b", "16 by 16", "32 at least")),
        (["--model", "vgg16", "--size", "31"], ("vgg16", "31 by 31", "32 at least")),
        (["--model", "alexnet"], ("alexnet", *MODELS)),
        (["--seed", "-1"], ("--seed -1: give 0 to",)),
        (["--split-seed", "-1"], ("--split-seed -1: give 0 to",)),
        (
            ["--learning-rate", "1e-4", "--min-learning-rate", "1e-3"],
            ("--min-learning-rate 0.001 is above --learning-rate 0.0001",),
        ),
        (["--model", "ann", "--weights", "imagenet"], ("ann", "give none")),
        (["--run", "a/b"], ("'a/b'", "plain name")),
    ],
)
def test_what_can_not_be_is_refused_in_one_line_before_data_are_prepared(
    script, arguments, words, tmp_path, capsys
):
    with pytest.raises(SystemExit) as end, one_line_errors():
        script(*arguments, "--out", str(tmp_path)).main()
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert said.startswith("error: ") and said.count("\n") == 1
    assert all(word in said for word in words), said


def test_help_lists_the_models(script, capsys):
    with pytest.raises(SystemExit) as end:
        script("--help").parse()
    assert end.value.code == 0
    said = "".join(capsys.readouterr().out.split())
    assert f"{{{','.join(MODELS)}}}" in said and "--classes" in said
