"""Settings that every test shares, a folder of real pictures where there is one, a small run."""

import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")

SHARED = Path(os.environ.get("GLITCH_SHARED", Path(__file__).parents[2] / "shared"))

# flax_glitch is imported inside the fixtures: the hook that checks array shapes comes after this.


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real Gravity Spy pictures, strain and weights."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"real pictures are not here ({folder}); set GLITCH_SHARED to their folder")
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    """A folder for prepared data and compiled functions that the tests share."""
    from flax_glitch.config import keep_compiled

    folder = tmp_path_factory.mktemp("cache")
    keep_compiled(folder)
    return folder


@pytest.fixture(scope="session")
def drawn(tmp_path_factory) -> Path:
    """A folder of drawn patterns: six glitches a class, four windows each."""
    from flax_glitch.simulate.patterns import draw_patterns

    folder = tmp_path_factory.mktemp("drawn")
    draw_patterns(folder, per_class=6, seed=1)
    return folder


@pytest.fixture(scope="session")
def small(drawn):
    """Settings of a run that takes seconds: few small pictures, every kind of variation."""
    from flax_glitch.config import (
        Config,
        DataConfig,
        ModelConfig,
        OptimiserConfig,
        Preprocessing,
        TrainingConfig,
    )

    return Config(
        preprocessing=Preprocessing(size=32),
        data=DataConfig(source=str(drawn), batch_size=16, zoom=0.1, shift=0.1, mirror=True),
        model=ModelConfig(weights="none", batch_norm_momentum=0.5),
        optimiser=OptimiserConfig(learning_rate=1e-3, plateau_patience=1),
        training=TrainingConfig(epochs=2),
    )


@pytest.fixture(scope="session")
def trained(small, cache, tmp_path_factory) -> Path:
    """The folder of a finished run on drawn patterns."""
    from flax_glitch.training.start import train

    folder = tmp_path_factory.mktemp("runs") / "small"
    train(small, folder, cache=cache)
    return folder
