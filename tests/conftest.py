"""Settings that every test shares, a folder of real pictures where there is one, a small run."""

import os
import shutil
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")

SHARED = Path(os.environ.get("GLITCH_SHARED", Path(__file__).parents[2] / "shared"))

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
]
"""Of Chromium: nothing that goes on the network by itself."""

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
    """A folder of toy pictures: six glitches in each of ten classes, four windows each."""
    from toy_pictures import draw_toys

    from flax_glitch.classes import CLASSES

    folder = tmp_path_factory.mktemp("drawn")
    draw_toys(folder, CLASSES[3:13], per_class=6)
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
        data=DataConfig(source=str(drawn), batch_size=16, variation="report"),
        model=ModelConfig("cnn-a", weights="none", batch_norm_momentum=0.5),
        optimiser=OptimiserConfig(learning_rate=1e-3, plateau_patience=1),
        training=TrainingConfig(epochs=2),
    )


@pytest.fixture(scope="session")
def trained(small, cache, tmp_path_factory) -> Path:
    """The folder of a finished run on toy pictures."""
    from flax_glitch.training.start import train

    folder = tmp_path_factory.mktemp("runs") / "small"
    train(small, folder, cache=cache)
    return folder


@pytest.fixture(scope="module")
def chromium():
    """A browser without a window."""
    from playwright.sync_api import Error, sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        except Error as error:
            pytest.skip(f"no Chromium here (make browser gets one): {str(error).splitlines()[0]}")
        yield browser
        browser.close()
