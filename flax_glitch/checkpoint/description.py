"""What `model.json` says of a model."""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flax_glitch.checkpoint.arrays import CheckpointError, reason
from flax_glitch.classes import DURATIONS
from flax_glitch.config import ModelConfig, Preprocessing, from_dict

FORMAT = 1
"""Version of the folder's layout."""

QUANTILES = 101
"""Quantiles that stand for a distribution: 0 to 100 %."""


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What validation says of the scores of a glitch that is shown in so many windows."""

    temperature: float
    """The logits are divided by it before softmax."""
    unlike: float
    """A glitch with a higher out-of-distribution score is unlike anything in training."""
    scores: tuple[float, ...]
    """Quantiles, 0 to 100 %, of 1 minus the probability of the true class."""
    n: int
    """The glitches that this was measured on."""

    def __post_init__(self) -> None:
        ordered = list(self.scores) == sorted(self.scores) and len(self.scores) == QUANTILES
        if not (ordered and self.scores[0] >= 0 and self.scores[-1] <= 1):
            raise ValueError(f"calibration: scores aren't {QUANTILES} rising numbers from 0 to 1")
        if not (0 < self.temperature < math.inf and math.isfinite(self.unlike) and self.n > 0):
            raise ValueError("calibration: temperature and n must be above 0, and all finite")


@dataclasses.dataclass(frozen=True)
class Description:
    """What `model.json` says of a model."""

    name: str
    """Name of the run that trained it."""
    model: ModelConfig
    """Architecture and how it was built."""
    preprocessing: Preprocessing
    """How pictures become its input."""
    provenance: Mapping[str, Any]
    """Where it comes from: data, settings, versions, measured results."""
    classes: tuple[str, ...]
    """The classes in the order of its outputs."""
    arrays: str = ""
    """Folder of the arrays, beside model.json."""
    sha256: str = ""
    """Hash of the arrays as stored: the same for the same model, wherever it was written."""
    files_sha256: str = ""
    """Hash of the files in that folder, to tell a damaged copy."""
    format: int = FORMAT
    """Version of the folder's layout."""
    calibration: tuple[Calibration, ...] = ()
    """For one, two, three and four windows of a glitch; empty if it isn't calibrated."""


def read_description(folder: Path) -> Description:
    """Returns what `model.json` in this folder says.

    Raises:
        CheckpointError: if the folder is none of ours.
    """
    path = folder / "model.json"
    if folder.is_file():
        raise CheckpointError(f"{folder}: a checkpoint is a folder, this is a file")
    try:
        values = json.loads(path.read_text())
        values["classes"] = tuple(values["classes"])
        values["calibration"] = _calibration(values.get("calibration", ()))
        description = from_dict(Description, values)
    except FileNotFoundError:
        raise CheckpointError(f"{folder}: no checkpoint: it has no model.json") from None
    except OSError as error:
        raise CheckpointError(f"{path}: can't be read: {reason(error)}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: not a flax_glitch checkpoint: {reason(error)}") from None
    if description.format != FORMAT:
        raise CheckpointError(
            f"{path}: of format {description.format}, this version reads {FORMAT}"
        )
    if len(set(description.classes)) != len(description.classes) or len(description.classes) < 2:
        raise CheckpointError(f"{path}: its classes aren't two or more different names")
    return description


def _calibration(values: list[dict[str, Any]] | tuple[()]) -> tuple[Calibration, ...]:
    if len(values) not in (0, len(DURATIONS)):
        raise ValueError(f"calibration of {len(values)} numbers of windows, not {len(DURATIONS)}")
    return tuple(from_dict(Calibration, one | {"scores": tuple(one["scores"])}) for one in values)
