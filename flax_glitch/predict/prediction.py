"""The verdict on a glitch, and the failure to come to one."""

import dataclasses

import numpy as np

from flax_glitch.checkpoint import Calibration
from flax_glitch.classes import CLASSES
from flax_glitch.predict.calibration import conformal_set

NO_CALIBRATION = (
    "the model isn't calibrated, as sets of classes want: take one trained with validation glitches"
)


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The verdict on one glitch.

    Attributes:
        inputs: names of its pictures; one name for all four that were made of strain.
        gravityspy_id: its id, where the names tell.
        ifo: its detector, where the names tell.
        durations: the window of each picture in seconds, None where the name doesn't tell.
        geometry: the known layout of each picture, "framed" if a figure's axes were found,
            "unknown" if it was used whole, "strain" if it was made of strain.
        per_view: class probabilities of each picture by itself.
        probabilities: class probabilities of the glitch, calibrated if the model is.
        gps: its time in GPS seconds, where strain was given.
        q: the Q of its pictures, where strain was given.
        raw: logits that these are the softmax of, at the calibration's temperature; the mean of
            its pictures', or the network's own if it judges them together.
        ood_score: how unlike the training pictures it is; see `unlike` and
            `evaluation.calibration.unlikeness`.
        calibration: what validation says of glitches in so many pictures, if the model has any.
    """

    inputs: tuple[str, ...]
    gravityspy_id: str | None
    ifo: str | None
    durations: tuple[float | None, ...]
    geometry: tuple[str, ...]
    per_view: np.ndarray
    probabilities: np.ndarray
    gps: float | None = None
    q: float | None = None
    raw: np.ndarray | None = None
    ood_score: float | None = None
    calibration: Calibration | None = None

    @property
    def label(self) -> str:
        """The most probable class."""
        return CLASSES[int(self.probabilities.argmax())]

    @property
    def confidence(self) -> float:
        """The probability of that class."""
        return float(self.probabilities.max())

    @property
    def unlike(self) -> bool | None:
        """Whether it is unlike anything in training; None if the model has no measure of it.

        So would be one in twenty glitches of validation.
        """
        if self.calibration is None or self.ood_score is None:
            return None
        return self.ood_score > self.calibration.unlike

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """Returns the k most probable classes, best first, with their probabilities."""
        return ranked(self.probabilities)[:k]

    def classes(self, coverage: float) -> tuple[str, ...]:
        """Returns the classes, best first, that hold the true one with this chance.

        Args:
            coverage: share of glitches, above 0 and below 1, whose class shall be among them; holds
                for glitches like those of validation.

        Raises:
            ValueError: if the model isn't calibrated, or there is no such share.
        """
        if not 0 < coverage < 1:
            raise ValueError(f"coverage {coverage}: give a share between 0 and 1, such as 0.9")
        if self.calibration is None:
            raise ValueError(NO_CALIBRATION)
        return conformal_set(self.probabilities, self.calibration, coverage)


@dataclasses.dataclass(frozen=True)
class Failure:
    """A picture or an event that can't be classified, and why, in one sentence."""

    input: str
    error: str


def ranked(probabilities: np.ndarray) -> list[tuple[str, float]]:
    """Returns the classes with their probabilities, most probable first."""
    order = np.argsort(-probabilities, kind="stable")
    return [(CLASSES[number], float(probabilities[number])) for number in order]
