"""A predictor for tests of the app that needs no training: the nearest drawn pattern wins.

Run as a script it is app_gradio.py with this predictor in the place of a checkpoint.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from flax_glitch.classes import CLASSES, DURATIONS
from flax_glitch.config import Preprocessing
from flax_glitch.data.pictures import load_picture, resize
from flax_glitch.inference.predictor import Predictor
from flax_glitch.simulate.patterns import PATTERNS, draw_pattern


class NearestPattern(Predictor):
    """Loads, names and groups pictures as the real one does; only the network is replaced."""

    def __init__(self):
        self.name, self.sha256, self.card = (
            "nearest-pattern",
            "0123456789abcdef" * 4,
            "A card: not on detector data.",
        )
        self.trained_on = "Trained on 10 simple drawn patterns."
        self.preprocessing = Preprocessing(size=32)
        blank = np.full((len(DURATIONS), 32, 32, 3), 255, np.uint8)
        self.templates = np.stack(
            [self._draw(name) if name in PATTERNS else blank for name in CLASSES]
        )

    def forward(self, views) -> jax.Array:
        differences = views[:, :, None, None].astype(np.float32) - self.templates
        return jnp.asarray(-(differences**2).mean((-1, -2, -3)).min(-1) / 20)

    @staticmethod
    def _draw(name):
        pictures = [load_picture(draw_pattern(name, duration)).pixels for duration in DURATIONS]
        return np.stack([resize(picture, 32) for picture in pictures])


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    import tyro

    import app_gradio

    Predictor.from_checkpoint = classmethod(lambda cls, folder: NearestPattern())
    sys.exit(tyro.cli(app_gradio.main, config=(tyro.conf.FlagCreatePairsOff,)))
