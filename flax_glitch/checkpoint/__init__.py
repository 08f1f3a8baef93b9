"""Checkpoints: what a run needs to go on, and what anybody needs to predict.

The only room that knows orbax. A checkpoint folder holds

    model.json          the model, its preprocessing, the classes in order, provenance, sha256,
                        calibration
    arrays-<sha256>/    its parameters and batch statistics (the best epoch's), by orbax
    MODEL_CARD.md       the same in words
    training/           only in a run's folder: the newest state, to resume from

`model.json` is replaced last, in one rename, and names its arrays: whatever moment a run is killed
at, the folder holds one whole model. Arrays are saved as a flat dict of dotted names. What is
absent, foreign, damaged, doesn't fit or can't be written is a CheckpointError.
"""

from flax_glitch.checkpoint.model import (
    Calibration,
    Description,
    add_calibration,
    arrays_of,
    find_checkpoint,
    load_arrays,
    load_model,
    read_card,
    read_description,
    release,
    save_model,
    start_from,
)
from flax_glitch.checkpoint.states import CheckpointError, RunStates, check_fit, flatten

__all__ = [
    "Calibration",
    "CheckpointError",
    "Description",
    "RunStates",
    "add_calibration",
    "arrays_of",
    "check_fit",
    "find_checkpoint",
    "flatten",
    "load_arrays",
    "load_model",
    "read_card",
    "read_description",
    "release",
    "save_model",
    "start_from",
]
