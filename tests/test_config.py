import dataclasses
import json
import os
import subprocess
import sys

import pytest

from flax_glitch.config import Config, DataConfig, ModelConfig, OptimiserConfig, UsageError
from flax_glitch.models.systems import MODELS, PRESETS, check, settings


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", MODELS)
def test_every_system_s_settings_survive_json_are_in_range_and_name_the_system(preset, name):
    config = settings(preset, name)
    assert Config.from_json(config.to_json()) == config
    check(config)
    assert config.model.name == name


def test_an_unknown_or_missing_setting_is_named():
    values = json.loads(Config().to_json())
    values["model"]["depth"] = values["model"].pop("dropout")
    with pytest.raises(ValueError, match=r"ModelConfig.*depth, dropout"):
        Config.from_json(json.dumps(values))


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("preprocessing", "size", "64"),
        ("preprocessing", "normalise", "zscore"),
        ("model", "name", 5),
        ("data", "classes", "Blip"),
        ("data", "classes", [1, 2]),
        ("data", "variation", "wild"),
    ],
)
def test_a_setting_of_another_kind_is_refused(section, name, value):
    values = json.loads(Config().to_json())
    values[section][name] = value
    with pytest.raises(ValueError, match=f"setting {name} can't be"):
        Config.from_json(json.dumps(values))


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("preprocessing", "size", 0),
        ("data", "batch_size", 0),
        ("preprocessing", "width", 5),
        ("model", "dropout", 2.0),
        ("model", "batch_norm_momentum", 7.0),
        ("optimiser", "learning_rate", -1.0),
        ("optimiser", "learning_rate", float("nan")),
        ("optimiser", "plateau_factor", 0.0),
        ("training", "epochs", 0),
        ("training", "early_stopping_patience", 0),
        ("training", "save_every", -1.0),
    ],
)
def test_settings_out_of_range_are_named(section, name, value):
    part = dataclasses.replace(getattr(Config(), section), **{name: value})
    with pytest.raises(UsageError, match=f"out of range: {name.replace('_', '-')} "):
        check(dataclasses.replace(Config(), **{section: part}))


@pytest.mark.parametrize("weights", ["imagenet", "file.h5"])
def test_a_network_without_imagenet_weights_isnt_given_any(weights):
    model = dataclasses.replace(settings("paper", "cnn-b").model, weights=weights)
    with pytest.raises(UsageError, match="cnn-b"):
        check(dataclasses.replace(Config(), model=model))


@pytest.mark.parametrize("side", ["size", "width"])
@pytest.mark.parametrize("name", MODELS)
def test_pictures_too_small_for_a_model_are_refused_in_one_line(name, side):
    def of_size(size):
        shape = {"size": 64, "width": 64} | {side: size}
        preprocessing = dataclasses.replace(MODELS[name].settings.preprocessing, **shape)
        return dataclasses.replace(MODELS[name].settings, preprocessing=preprocessing)

    least = MODELS[name].least_size
    check(of_size(least))
    with pytest.raises(UsageError, match=f"{least - 1}.*{least}") as caught:
        check(of_size(least - 1))
    assert least == 16 or str(caught.value).startswith(f"{name} can't do with pictures of ")


@pytest.mark.parametrize("seed", [-1, 2**32])
@pytest.mark.parametrize(("section", "name"), [("data", "split_seed"), ("training", "seed")])
def test_a_seed_that_no_generator_takes_is_refused(section, name, seed):
    part = dataclasses.replace(getattr(Config(), section), **{name: seed})
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} {seed}: give 0 to"):
        check(dataclasses.replace(Config(), **{section: part}))


def test_a_learning_rate_that_would_rise_is_refused():
    optimiser = OptimiserConfig(learning_rate=1e-6)
    with pytest.raises(UsageError, match="--min-learning-rate 1e-05 is above --learning-rate 1e-0"):
        check(dataclasses.replace(Config(), optimiser=optimiser))


def test_a_model_that_there_is_not_is_refused():
    config = dataclasses.replace(Config(), model=ModelConfig("alexnet"))
    with pytest.raises(ValueError, match="'alexnet': no such model; there are resnet50, vgg16"):
        check(config)


def test_settings_of_a_run_from_before_there_were_classes_are_read():
    values = json.loads(Config().to_json())
    del values["data"]["classes"]
    assert Config.from_json(json.dumps(values)) == Config()


def test_classes_survive_json():
    config = dataclasses.replace(Config(), data=DataConfig(classes=("Blip", "Chirp")))
    assert Config.from_json(config.to_json()) == config


def test_settings_stay_few():
    values = json.loads(Config().to_json())
    assert sum(map(len, values.values())) <= 25


def in_python(script, **environment):
    process = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    return process.stdout.strip(), process.stderr.strip()


@pytest.mark.parametrize("platform", ["cuda", "none-such"])
def test_a_device_that_is_not_there_is_told_in_one_line_with_the_cure(platform):
    script = """
from flax_glitch.cli.terminal import one_line_errors
from flax_glitch.config import keep_compiled
with one_line_errors():
    keep_compiled()
"""
    out, err = in_python(script, JAX_PLATFORMS=platform)
    if platform == "cuda" and not err:
        pytest.skip("there is a GPU")
    assert out == "" and err.startswith(
        f"error: JAX_PLATFORMS={platform}: JAX finds no such device"
    )
    assert "unset it, or install" in err and "\n" not in err


def test_the_folders_of_the_environment_are_used(tmp_path):
    script = """
import jax
from flax_glitch.config import CACHE, keep_compiled
keep_compiled()
print(CACHE, jax.config.jax_compilation_cache_dir)
"""
    home = {"HOME": "/made/up", "XDG_CACHE_HOME": "relative/is/ignored", "JAX_PLATFORMS": "cpu"}
    cache = "/made/up/.cache/flax_glitch"
    assert in_python(script, **home)[0] == f"{cache} {cache}/compiled"
    home |= {"XDG_CACHE_HOME": str(tmp_path), "JAX_COMPILATION_CACHE_DIR": "/else/where"}
    assert in_python(script, **home)[0] == f"{tmp_path}/flax_glitch /else/where"
