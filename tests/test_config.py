import dataclasses
import json

import pytest

from flax_glitch.config import PRESETS, SYSTEMS, Config, UsageError, check, settings


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", SYSTEMS)
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
        ("model", "name", "alexnet"),
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


def test_settings_stay_few():
    values = json.loads(Config().to_json())
    assert sum(map(len, values.values())) <= 25
