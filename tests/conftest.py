"""Settings that every test shares, and the folder of real pictures where there is one."""

import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")

SHARED = Path(os.environ.get("GLITCH_SHARED", Path(__file__).parents[2] / "shared"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real Gravity Spy pictures, strain and weights."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"real pictures are not here ({folder}); set GLITCH_SHARED to their folder")
    return folder
