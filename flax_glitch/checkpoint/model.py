"""Models to predict with: a folder that is whole at any moment, written and read strictly."""

import dataclasses
import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from flax import nnx

from flax_glitch import box
from flax_glitch.checkpoint.states import (
    Arrays,
    CheckpointError,
    check_fit,
    check_room,
    flatten,
    reason,
    telling,
    unflatten,
)
from flax_glitch.classes import DURATIONS, named
from flax_glitch.config import RUNS, ModelConfig, Preprocessing, from_dict
from flax_glitch.files import write_whole
from flax_glitch.models.classifier import Classifier, build

Precision = Literal["float32", "bfloat16"]

FORMAT = 1
"""Version of the folder's layout."""

QUANTILES = 101
"""Quantiles that stand for a distribution: 0 to 100 %."""

SHA256_IN_CARD = "SHA256"
"""Stands for the hash in a model card until the arrays are written."""


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What validation says of the scores of a glitch that is shown in so many windows.

    Attributes:
        temperature: the logits are divided by it before softmax.
        unlike: a glitch with a higher out-of-distribution score is unlike anything in training.
        scores: quantiles, 0 to 100 %, of 1 minus the probability of the true class.
        n: the glitches that this was measured on.
    """

    temperature: float
    unlike: float
    scores: tuple[float, ...]
    n: int

    def __post_init__(self) -> None:
        ordered = list(self.scores) == sorted(self.scores) and len(self.scores) == QUANTILES
        if not (ordered and self.scores[0] >= 0 and self.scores[-1] <= 1):
            raise ValueError(f"calibration: scores aren't {QUANTILES} rising numbers from 0 to 1")
        if not (0 < self.temperature < math.inf and math.isfinite(self.unlike) and self.n > 0):
            raise ValueError("calibration: temperature and n must be above 0, and all finite")


@dataclasses.dataclass(frozen=True)
class Description:
    """What `model.json` says of a model.

    Attributes:
        name: of the run that trained it.
        model: its architecture and how it was built.
        preprocessing: how pictures become its input.
        provenance: where it comes from: data, settings, versions, measured results.
        classes: in the order of its outputs; `classes.OUTLIER` may be among them.
        arrays: the folder of its arrays, beside model.json.
        sha256: of the arrays as stored: the same for the same model, wherever it was written.
        files_sha256: of the files in that folder, to tell a damaged copy.
        format: of the folder.
        calibration: for one, two, three and four windows of a glitch; empty if it isn't calibrated.
    """

    name: str
    model: ModelConfig
    preprocessing: Preprocessing
    provenance: Mapping[str, Any]
    classes: tuple[str, ...]
    arrays: str = ""
    sha256: str = ""
    files_sha256: str = ""
    format: int = FORMAT
    calibration: tuple[Calibration, ...] = ()


def read_description(folder: Path) -> Description:
    """Returns what `model.json` in this folder says."""
    path = folder / "model.json"
    if folder.is_file():
        raise CheckpointError(f"{folder}: a checkpoint is a folder, this is a file")
    try:
        values = json.loads(path.read_text())
        measured = [from_dict(Calibration, one) for one in values.get("calibration", ())]
        description = from_dict(Description, values | {"calibration": tuple(measured)})
    except FileNotFoundError:
        raise CheckpointError(f"{folder}: no checkpoint: it has no model.json") from None
    except OSError as error:
        raise CheckpointError(f"{path}: can't be read: {reason(error)}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: not a flax_glitch checkpoint: {reason(error)}") from None
    classes, windows = description.classes, len(measured)
    if description.format != FORMAT:
        raise CheckpointError(
            f"{path}: of format {description.format}, this version reads {FORMAT}"
        )
    if windows not in (0, len(DURATIONS)):
        raise CheckpointError(
            f"{path}: calibration of {windows} numbers of windows, not {len(DURATIONS)}"
        )
    if (
        len(set(classes)) != len(classes)
        or len(named(classes)) < 2
        or not all(map(_is_name, classes))
    ):
        raise CheckpointError(f"{path}: its classes aren't two or more different names")
    return description


def _is_name(name: str) -> bool:
    return bool(name.strip(" .")) and name.isprintable()


def save_model(
    folder: Path,
    arrays: Arrays,
    description: Description,
    card: str,
    precision: Precision = "float32",
) -> Description:
    """Writes a model to predict with and returns its description, hash filled in.

    If that can't be, what the folder held before stays whole.
    """
    stored = {name: np.asarray(array).astype(precision) for name, array in arrays.items()}
    with telling(f"{folder}: the model can't be written"):
        folder.mkdir(parents=True, exist_ok=True)
        check_room(folder, stored)
        files = _write_arrays(folder, stored)
        described = dataclasses.replace(
            description,
            arrays=f"arrays-{files[:12]}",
            sha256=_hash_arrays(stored),
            files_sha256=files,
        )
        _write_description(folder, described, card)
    for old in (*folder.glob("arrays-*"), *folder.glob("writing-*")):
        if old.name != described.arrays:
            shutil.rmtree(old, ignore_errors=True)
    return described


def add_calibration(folder: Path, calibration: tuple[Calibration, ...], card: str) -> Description:
    """Writes what validation says of a model into its `model.json`, and a card that tells of it."""
    described = dataclasses.replace(read_description(folder), calibration=calibration)
    with telling(f"{folder}: can't be written"):
        _write_description(folder, described, card)
    return described


def find_checkpoint(given: Path | str | None = None, runs: Path = RUNS) -> Path:
    """Returns the folder of a checkpoint, given as such, by its name among runs or in the box.

    With none given it is the one in the box.

    Raises:
        CheckpointError: if there is none.
    """
    if given is None:
        found = box.find_model()
        if found is None:
            raise CheckpointError("no model came with flax_glitch: install it anew")
        return found
    folder = Path(given)
    if folder.exists():
        return folder
    if (runs / folder).is_dir():
        return runs / folder
    if (inside := box.find_model(str(given))) is None:
        raise CheckpointError(
            f"{given}: no such folder or model; give a run's folder, the name of one in "
            f"{runs}/, or {' or '.join(filter(box.find_model, box.MODELS))}"
        )
    return inside


def release(run: Path, out: Path, precision: Precision = "bfloat16") -> Description:
    """Writes the model of a run, without its training state, to a folder that holds none yet."""
    if any((out / name).exists() for name in ("model.json", "config.json")):
        raise CheckpointError(f"{out}: a model is there; remove it first, or take another folder")
    model, description = load_model(run)
    card = read_card(run).replace(description.sha256, SHA256_IN_CARD)
    weights = Path(description.model.weights).name  # where they lay is nobody's business
    settings = dataclasses.replace(description.model, weights=weights)
    described = dataclasses.replace(description, model=settings)
    return save_model(out, arrays_of(model), described, card, precision)


def read_card(folder: Path) -> str:
    """Returns the model card, empty if there is none."""
    path = folder / "MODEL_CARD.md"
    return path.read_text() if path.is_file() else ""


def arrays_of(model: Classifier) -> dict[str, Any]:
    """Returns a model's parameters and batch statistics by their dotted names."""
    return flatten(nnx.to_pure_dict(nnx.state(model, nnx.Any(nnx.Param, nnx.BatchStat))))


def load_model(folder: Path) -> tuple[Classifier, Description]:
    """Returns the model in a folder, its mode not yet set, and its description."""
    said = read_description(folder)
    model = nnx.eval_shape(
        lambda: build(said.model, said.preprocessing, len(said.classes), rngs=nnx.Rngs(0))
    )
    _fill(model, load_arrays(folder, said, arrays_of(model)))
    return model, said


def start_from(model: Classifier, classes: Sequence[str], folder: Path) -> bool:
    """Replaces a model's arrays by a checkpoint's; returns whether the last layer stays new.

    So it does where the checkpoint's classes aren't these, which are the model's.
    """
    other, description = load_model(folder)
    given, own = arrays_of(other), arrays_of(model)
    new = description.classes != tuple(classes)
    if new:
        last = {name: array for name, array in own.items() if name.startswith(model.last_layer)}
        given = {name: a for name, a in given.items() if not name.startswith(other.last_layer)}
        given |= last
    check_fit(folder, given, own)
    _fill(model, given)
    return new


def load_arrays(folder: Path, description: Description, expected: Arrays) -> dict[str, Any]:
    """Returns a model's arrays, which fit the expected names and shapes and take their types.

    Raises:
        CheckpointError: naming every array that is missing, extra or misshapen, or the damage.
    """
    path = folder.absolute() / Path(description.arrays).name  # orbax wants it absolute
    if not description.arrays or not path.is_dir():
        raise CheckpointError(f"{folder}: its arrays are missing ({path.name}): copy it again")
    if _hash_folder(path) != description.files_sha256:
        raise CheckpointError(f"{path}: damaged: its sha256 isn't model.json's: copy it again")
    with telling(f"{path}: the arrays are damaged"), ocp.PyTreeCheckpointer() as checkpointer:
        stored = dict(checkpointer.metadata(path).item_metadata.tree)
        check_fit(folder, stored, expected)
        as_numpy = dict.fromkeys(stored, ocp.RestoreArgs(restore_type=np.ndarray))
        arrays = checkpointer.restore(path, restore_args=as_numpy)
    return {name: arrays[name].astype(like.dtype) for name, like in expected.items()}


def _fill(model: Classifier, arrays: Arrays) -> None:
    state = nnx.state(model, nnx.Any(nnx.Param, nnx.BatchStat))
    values = unflatten(arrays, nnx.to_pure_dict(state))
    nnx.replace_by_pure_dict(state, jax.tree.map(jnp.asarray, values))
    nnx.update(model, state)


def _write_arrays(folder: Path, arrays: Arrays) -> str:
    with tempfile.TemporaryDirectory(dir=folder.absolute(), prefix="writing-") as work:
        new = Path(work) / "arrays"
        with ocp.PyTreeCheckpointer() as checkpointer:
            checkpointer.save(new, dict(arrays))
        sha256 = _hash_folder(new)
        new.rename(folder / f"arrays-{sha256[:12]}")
    return sha256


def _write_description(folder: Path, description: Description, card: str) -> None:
    """Writes the card, then model.json: that is what makes the folder another model."""
    write_whole(folder / "MODEL_CARD.md", card.replace(SHA256_IN_CARD, description.sha256) + "\n")
    write_whole(folder / "model.json", json.dumps(dataclasses.asdict(description), indent=2) + "\n")


def _hash_arrays(arrays: Arrays) -> str:
    """Returns the sha256 of arrays: names, types, shapes and bytes, in order of name."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _hash_folder(folder: Path) -> str:
    """Returns the sha256 of the files of a folder: names, sizes and bytes, in order of name."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()} {path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()
