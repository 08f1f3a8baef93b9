"""What a glitch resembles: the nearest of a reference set, by what the network says of them."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from flax_glitch.arrays import Picture
from flax_glitch.box import REFERENCE
from flax_glitch.classes import CLASSES
from flax_glitch.notes import LOG
from flax_glitch.predict.predictor import PictureLike, Predictor
from flax_glitch.predict.verdicts import Failure
from flax_glitch.strain.picture import VIRIDIS

SIDE = 112
"""Height and width of a picture of the reference set in the box, pixels."""


@dataclasses.dataclass(frozen=True)
class Similar:
    """A glitch of a reference set."""

    label: str
    name: str
    picture: Picture
    """Its most telling window, at the model's size."""
    similarity: float
    """To the glitch that was asked of, -1 to 1: the cosine between the scores of both."""


class Reference:
    """Glitches that others are compared with.

    Their scores over the classes are the embedding: docs/evidence.md tells why not the layer below.

    Args:
        predictor: the model that compares.
        scores: of each glitch, see `Predictor.scores`.
        labels: the class of each.
        names: what each is called.
        pictures: one of each.
    """

    def __init__(
        self,
        predictor: Predictor,
        scores: Float[np.ndarray, "glitch class"],
        labels: Sequence[str],
        names: Sequence[str],
        pictures: Sequence[PictureLike],
    ) -> None:
        self.predictor, self.scores = predictor, scores
        self.labels, self.names, self.pictures = labels, names, pictures

    @classmethod
    def shipped(cls, predictor: Predictor) -> "Reference":
        """Returns the set in the box: three simulated glitches of each of the 22 classes, 2 s."""
        with Image.open(REFERENCE) as image:
            sheet = np.take(VIRIDIS, np.asarray(image.convert("L")), axis=0)
        tiles = sheet.reshape(len(CLASSES), SIDE, -1, SIDE, 3).swapaxes(1, 2)
        pictures = [tile for row in tiles for tile in row]
        labels = [label for label, row in zip(CLASSES, tiles, strict=True) for _ in row]
        names = [f"simulated {label}" for label in labels]
        scores = predictor.scores([[predictor.seen(picture)] for picture in pictures])
        return cls(predictor, scores, labels, names, pictures)

    @classmethod
    def of(
        cls, predictor: Predictor, paths: Sequence[Path], labels: Sequence[str] = ()
    ) -> "Reference":
        """Returns the glitches that these pictures show, those that can't be read left out.

        Args:
            predictor: the model that compares.
            paths: pictures; the windows of a glitch are told by their names.
            labels: the class of each picture; empty where it is left to the model.

        Raises:
            ValueError: if none can be read.
        """
        given = dict(zip(map(str, paths), labels, strict=False))
        found = []
        for one in predictor.classify(paths):
            if isinstance(one, Failure):
                LOG.warning(f"left out: {one.input}: {one.error}")
            else:
                found.append((one, one.inputs[int(one.per_view.max(axis=1).argmax())]))
        if not found:
            raise ValueError("no pictures to compare with: give a folder that has some")
        scores = np.stack([one.raw for one, _ in found if one.raw is not None])
        labelled = [given.get(name) or one.label for one, name in found]
        names = [name for _, name in found]
        return cls(predictor, scores, labelled, names, names)

    def nearest(self, pixels: Sequence[Picture], k: int = 6) -> list[Similar]:
        """Returns the k most similar glitches, best first, to one by its pictures.

        Args:
            pixels: one to four windows at the model's size, such as `Prediction.pixels`.
            k: how many.
        """
        likeness = _directions(self.scores) @ _directions(self.predictor.scores([pixels])[0])
        return [
            Similar(
                self.labels[number],
                self.names[number],
                self.predictor.seen(self.pictures[number]),
                float(likeness[number]),
            )
            for number in np.argsort(-likeness, kind="stable")[:k]
        ]


def _directions(scores: Float[np.ndarray, "*glitch class"]) -> Float[np.ndarray, "*glitch class"]:
    """Returns scores of mean 0, as a constant means nothing, and of length 1."""
    centred = scores - scores.mean(axis=-1, keepdims=True)
    return centred / np.maximum(np.linalg.norm(centred, axis=-1, keepdims=True), 1e-12)
