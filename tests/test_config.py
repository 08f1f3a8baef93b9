import json

import pytest

from flax_glitch.config import PRESETS, Config


@pytest.mark.parametrize("config", PRESETS.values(), ids=list(PRESETS))
def test_settings_survive_json(config):
    assert Config.from_json(config.to_json()) == config


def test_an_unknown_or_missing_setting_is_named():
    values = json.loads(Config().to_json())
    values["model"]["depth"] = values["model"].pop("dropout")
    with pytest.raises(ValueError, match=r"ModelConfig.*depth, dropout"):
        Config.from_json(json.dumps(values))


def test_settings_stay_few():
    values = json.loads(Config().to_json())
    assert sum(map(len, values.values())) <= 25
