"""Names for the arrays that cross a module border, their shape, type and unit; and strict fits.

The names are checked at run time in the tests only (jaxtyping's pytest hook).
"""

from collections.abc import Mapping, Sequence

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Float16, Int, PRNGKeyArray, UInt8

AnyArray = jax.Array | np.ndarray

Samples = Float[np.ndarray, " sample"]
"""Strain, dimensionless, one number a sample."""

Picture = UInt8[np.ndarray, "height width 3"]
"""A decoded spectrogram area, RGB, 0 to 255, at its own size."""

Pixels = UInt8[AnyArray, "*batch height width 3"]
"""Pictures at the model's size, RGB, 0 to 255."""

Pictures = Float[AnyArray, "*batch height width 3"]
"""Pictures at the model's size as numbers: standardised, or varied and still 0 to 255."""

RawViews = UInt8[AnyArray, "batch view height width 3"]
"""The pictures of a batch of glitches, before standardisation."""

Maps = Float16[np.ndarray, "*picture row column feature"]
"""What frozen layers made of pictures or of one, as kept on disk."""

Seen = RawViews | Float16[AnyArray, "batch view row column feature"]
"""What is read of a batch of glitches: their pictures or, where it is kept, their maps."""

Views = Float[AnyArray, "batch view height width channel"]
"""The model's input: standardised pictures of a batch of glitches."""

Mask = Bool[AnyArray, "batch view"]
"""True where a glitch has a picture for that view."""

Features = Float[AnyArray, "batch seen row column feature"]
"""What the convolutions make of each view, or of all that are merged."""

Embeddings = Float[AnyArray, "batch seen embedding"]
"""One vector a view, the input of the last layer."""

Logits = Float[AnyArray, "batch *seen class"]
"""Scores over the classes before softmax, of each view or of each glitch."""

Probabilities = Float[np.ndarray, "sample class"]
"""Class probabilities that sum to one."""

Units = Int[np.ndarray, "unit view"]
"""Numbers of the pictures that are looked at together; -1 where a window is missing."""

Labels = Int[AnyArray, " sample"]
"""Class numbers, places in a model's list of classes."""

Weights = Float[AnyArray, " sample"]
"""One weight a sample; 0 marks padding."""

ClassWeights = Float[AnyArray, " class"]
"""One weight a class."""

Key = PRNGKeyArray | Array
"""A JAX random key."""

Shapes = Mapping[str, tuple[int, ...]]
"""Of arrays, by name."""

NAMED_FAULTS = 12
"""As many faulty arrays of a kind are named in an error before the rest is counted."""


def misfits(found: Shapes, expected: Shapes) -> str:
    """Returns in words which arrays are missing, extra or misshapen; empty if all fit exactly."""
    faults = {
        "missing": [name for name in expected if name not in found],
        "extra": [name for name in found if name not in expected],
        "misshapen": [
            f"{name} is {found[name]}, not {shape}"
            for name, shape in expected.items()
            if found.get(name, shape) != shape
        ],
    }
    return "; ".join(f"{kind}: {some(names)}" for kind, names in faults.items() if names)


def some(names: Sequence[str]) -> str:
    """Returns the first of names, and how many more there are."""
    rest = len(names) - NAMED_FAULTS
    return ", ".join(names[:NAMED_FAULTS]) + (f" and {rest} more" if rest > 0 else "")
