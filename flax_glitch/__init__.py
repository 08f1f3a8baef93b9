"""flax_glitch: the noise transients of LIGO's detectors, told apart by JAX and Flax."""

from flax_glitch.classes import CLASSES, DURATIONS
from flax_glitch.predict.predictor import Prediction, Predictor

__all__ = ["CLASSES", "DURATIONS", "Prediction", "Predictor"]
