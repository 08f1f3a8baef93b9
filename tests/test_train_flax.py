"""What trains: what people type becomes settings, or one line on what is wrong."""

import subprocess
import sys
from pathlib import Path

import pytest

from flax_glitch.cli import main
from flax_glitch.cli.train import parse
from flax_glitch.models.systems import MODELS, check
from flax_glitch.training.run import Interrupted

ROOT = Path(__file__).parents[1]
APPS = {"flax-glitch train": "flax-glitch app", "python train_flax.py": "python app_gradio.py"}


@pytest.fixture(autouse=True)
def no_data(monkeypatch):
    """Data are not to be prepared."""

    def prepared(*_, **__):
        raise AssertionError("data were prepared")

    monkeypatch.setattr("flax_glitch.training.start.prepare", prepared)
    monkeypatch.setattr("flax_glitch.cli.train.keep_compiled", lambda cache: None)


def config_of(*arguments):
    config = parse(arguments, "flax-glitch train").config
    check(config)
    return config


@pytest.mark.parametrize("name", MODELS)
def test_a_model_starts_from_its_settings(name):
    config = config_of("--preset", "paper", "--model", name)
    assert config == MODELS[name].settings


@pytest.mark.parametrize("preset", ["paper", "quick"])
@pytest.mark.parametrize("name", MODELS)
def test_a_low_learning_rate_by_itself_never_rises(name, preset):
    optimiser = config_of("--preset", preset, "--model", name, "--learning-rate", "1e-6").optimiser
    assert (optimiser.learning_rate, optimiser.min_learning_rate) == pytest.approx((1e-6, 1e-7))


def test_classes_are_named_one_after_the_other():
    assert config_of("--classes", "Blip", "Chirp").data.classes == ("Blip", "Chirp")


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
    arguments, words, tmp_path, capsys
):
    with pytest.raises(SystemExit) as end:
        main(["train", *arguments, "--out", str(tmp_path)])
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert said.startswith("error: ") and said.count("\n") == 1
    assert all(word in said for word in words), said


def test_help_lists_the_models(capsys):
    with pytest.raises(SystemExit) as end:
        main(["train", "--help"])
    assert end.value.code == 0
    said = "".join(capsys.readouterr().out.split())
    assert f"{{{','.join(MODELS)}}}" in said and "--classes" in said


@pytest.mark.parametrize("program", APPS)
def test_help_and_examples_name_what_was_started_and_import_nothing_of_training(program):
    code = (
        "import runpy, sys; sys.argv = ['train_flax.py', '--help']; "
        "runpy.run_path('train_flax.py', run_name='__main__')"
    )
    if program == "flax-glitch train":
        code = "from flax_glitch.cli import main; main(['train', '--help'])"
    code = f"import atexit, sys; atexit.register(lambda: print(*sys.modules)); {code}"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    *said, modules = ended.stdout.splitlines()
    assert said[0].startswith(f"usage: {program} [-h]")
    assert any(line.startswith(f"    {program} --run NAME --resume") for line in said)
    assert f"`{APPS[program]} --checkpoint checkpoints/NAME`" in ended.stdout
    late = {"flax_glitch.training", "tensorflow_datasets", "grain", "gradio", "sklearn"}
    assert not late & {*modules.split()}


@pytest.mark.parametrize(("program", "show"), APPS.items())
def test_what_to_do_next_is_said_in_words_of_what_was_started(
    program, show, tmp_path, monkeypatch, capsys
):
    asked = ["train", "--out", str(tmp_path), "--run", "mine"]
    monkeypatch.setattr("flax_glitch.training.start.train", lambda *_, **__: None)
    main(asked, program)
    out = capsys.readouterr().out
    assert out.endswith(f"see it with:\n  {show} --checkpoint {tmp_path / 'mine'}\n")

    def interrupted(*_, **__):
        raise Interrupted

    monkeypatch.setattr("flax_glitch.training.start.train", interrupted)
    with pytest.raises(SystemExit) as end:
        main([*asked, "--quiet"], program)
    again = f"{program} --out {tmp_path} --run mine --resume"
    assert end.value.code == 130
    assert capsys.readouterr() == ("", f"Stopped and saved; go on with: {again}\n")
