"""What a model says of itself."""

import numpy as np
import pytest

from flax_glitch.checkpoint import Calibration, read_card, read_description
from flax_glitch.config import Config, DataConfig
from flax_glitch.data.records import prepare
from flax_glitch.training.card import model_card, provenance


@pytest.fixture(scope="module")
def prepared(drawn, cache):
    return prepare(drawn, 32, cache=cache)


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        ("simulated", "Trained on 40 simulated glitches, not on detector data: measure it on real"),
        ("kaggle", "Trained on 40 glitches of gravity-spy, split by glitch."),
    ],
)
def test_a_model_trained_on_simulated_glitches_alone_says_so(prepared, layout, said):
    config = Config(data=DataConfig(source="somewhere/gravity-spy"))
    found = provenance(config, prepared._replace(layout=layout))
    assert found["trained_on"].startswith(said)
    assert found["data"]["glitches"] == {"train": 40, "validation": 10, "test": 10}


def test_the_card_names_other_classes_than_gravity_spys_and_whose_glitches_calibrated_it(trained):
    described = read_description(trained)
    assert "tells 10 classes of glitches (Blip, Chirp, " in read_card(trained)
    calibration = (Calibration(1.0, 0.0, tuple(np.linspace(0, 1, 101).tolist()), 99),) * 4
    data = described.provenance["data"]
    for validation, whose in (
        (10, "99 validation glitches"),
        (0, "99 glitches, each judged by a fold's model"),
    ):
        glitches = data["glitches"] | {"validation": validation}
        told = described.provenance | {"data": data | {"glitches": glitches}}
        card = model_card("x", Config(), told, described.classes, calibration)
        assert f"calibrated on {whose}" in card
