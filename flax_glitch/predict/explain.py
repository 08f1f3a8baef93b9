"""Where the network looked, and what a class is mixed up with."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from flax_glitch.arrays import Picture


def saliency(
    predictor: Any, pixels: Sequence[Picture], label: str | None = None
) -> Float[np.ndarray, "view h w"]:
    """Stands in until the merge."""
    return np.stack([p[..., 1].astype(float) / 255 for p in pixels])


def overlay(picture: Picture, map: Float[np.ndarray, "h w"]) -> Picture:
    """Stands in until the merge."""
    return np.where(map[..., None] > map.max() * 0.7, picture, picture // 2)


def confused_with(predictor: Any, label: str) -> str:
    """Stands in until the merge."""
    return f"Of 19 such real glitches that were called {label}, 3 were Tomte."
