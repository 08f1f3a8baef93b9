"""A predictor for tests of the app that needs no training: the nearest toy picture wins.

Run as a script it is app_gradio.py with this predictor in the place of a checkpoint, and toys as
examples.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from toy_pictures import toy_picture

from flax_glitch.app import evidence
from flax_glitch.checkpoint import Calibration
from flax_glitch.classes import CLASSES, DURATIONS
from flax_glitch.config import Preprocessing
from flax_glitch.data.pictures import load_picture, resize
from flax_glitch.predict.predictor import Predictor
from flax_glitch.predict.prior import prior_of
from flax_glitch.predict.similar import Reference, Similar

CALIBRATION = Calibration(
    temperature=1.0, unlike=10.0, scores=tuple(np.linspace(0, 1, 101).tolist()), n=99
)
"""The score of toys is below 2, but for None_of_the_Above; that of even grey is 22."""

TOYS = {name: toy_picture(name) for name in CLASSES}


class NearestPicture(Predictor):
    """Loads, names and groups pictures as the real one does; only the network is replaced."""

    def __init__(self, folder=Path("no checkpoint"), classes=CLASSES):
        self.folder, self.classes = folder, classes
        self.name, self.sha256, self.card = (
            "nearest-picture",
            "0123456789abcdef" * 4,
            "# A card\n\nIt is not on detector data.",
        )
        self.trained_on = "Trained on toy pictures."
        self.preprocessing = Preprocessing(size=32)
        self.merged = False
        self.provenance, self.prior = {}, prior_of(None, classes)
        self.calibration = (CALIBRATION,) * 4
        self.templates = np.stack([self._draw(name) for name in classes])

    def forward(self, views, mask) -> jax.Array:
        differences = views[:, :, None, None].astype(np.float32) - self.templates
        return jnp.asarray(-(differences**2).mean((-1, -2, -3)).min(-1) / 20)

    @staticmethod
    def _draw(name):
        pictures = [load_picture(toy_picture(name, duration)).pixels for duration in DURATIONS]
        return np.stack([resize(picture, 32) for picture in pictures])


class ToyReference(Reference):
    """Every glitch resembles the same six toys."""

    def __init__(self):
        pass

    @classmethod
    def shipped(cls, predictor):
        return cls()

    def nearest(self, pixels, k=6):
        names = CLASSES[:k]
        return [
            Similar(name, f"{name}.png", TOYS[name], 0.97 - n / 10) for n, name in enumerate(names)
        ]


def with_toy_evidence(patch):
    """Gives pages evidence that needs no network."""
    patch.setattr(
        evidence, "saliency", lambda predictor, pixels, label: np.stack(pixels)[..., 1] / 255
    )
    patch.setattr(evidence, "overlay", lambda picture, map: 255 - picture)
    patch.setattr(evidence, "Reference", ToyReference)
    patch.setattr(
        evidence, "confused_with", lambda predictor, label: f"Of 9 {label}, 3 were Tomte."
    )


if __name__ == "__main__":
    from flax_glitch.app import examples
    from flax_glitch.cli import main

    Predictor.from_checkpoint = classmethod(lambda cls, folder: NearestPicture())
    examples.pictures = lambda classes, spare: TOYS
    evidence.warm_up = lambda predictor: None
    main(["app", *sys.argv[1:]])
