"""flax_glitch: the noise transients of LIGO's detectors, told apart by JAX and Flax."""

from typing import TYPE_CHECKING, Any

from flax_glitch.classes import CLASSES, DURATIONS

if TYPE_CHECKING:
    from flax_glitch.predict.predictor import Prediction, Predictor

__all__ = ["CLASSES", "DURATIONS", "Prediction", "Predictor"]


def __getattr__(name: str) -> Any:
    """Imports the predictor, which takes seconds, when it is asked for."""
    if name not in ("Prediction", "Predictor"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from flax_glitch.predict import predictor

    return getattr(predictor, name)
