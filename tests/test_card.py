"""What a model says of itself."""

import pytest

from flax_glitch.config import Config, DataConfig
from flax_glitch.training.card import trained_on


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        ("simulated", "Trained on 3 simulated glitches, not on detector data: measure it on real"),
        ("kaggle", "Trained on 3 glitches of gravity-spy, split by glitch."),
    ],
)
def test_a_model_trained_on_simulated_glitches_alone_says_so(layout, said):
    config = Config(data=DataConfig(source="somewhere/gravity-spy"))
    assert trained_on(config, layout, {"train": 3, "test": 1}).startswith(said)
