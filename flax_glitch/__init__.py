"""flax_glitch: the noise transients of LIGO's detectors, told apart by JAX and Flax."""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from flax_glitch.classes import CLASSES, DURATIONS

if TYPE_CHECKING:
    from flax_glitch.predict.predictor import Prediction, Predictor

    __version__: str

__all__ = ["CLASSES", "DURATIONS", "Prediction", "Predictor", "__version__"]


def __getattr__(name: str) -> Any:
    """Imports the predictor, which takes seconds, when it is asked for; says the version."""
    if name == "__version__":
        return version("flax-glitch")
    if name not in ("Prediction", "Predictor"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from flax_glitch.predict import predictor

    return getattr(predictor, name)
