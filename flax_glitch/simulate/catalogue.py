"""Labelled sets of simulated glitches, as folders in the layout of Gravity Spy's training set."""

import hashlib
import io
import string
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from flax_glitch.classes import CLASSES, DURATIONS, class_name, with_suggestion
from flax_glitch.config import UsageError, check_seed
from flax_glitch.files import SIMULATED_MARK, write_whole
from flax_glitch.notes import bar
from flax_glitch.simulate.glitches import simulate
from flax_glitch.strain.picture import VIRIDIS, indices

NOTE = "Simulated by flax_glitch: no detector has heard this."

VERSION = "1.1.0"
"""Raised whenever the same seed gives other pictures."""

MANIFEST = "manifest.csv"
"""A table with a row a glitch."""

COLUMNS = ("gravityspy_id", "ifo", "label", "seed", "number", "q")
"""Of the manifest."""

# Viridis has 254 different colours in 8 bits: black fits into the palette beside them.
COLOURS, COLOUR_OF_INDEX = np.unique(VIRIDIS, axis=0, return_inverse=True)
BLACK = len(COLOURS)

_ALPHABET = string.ascii_letters + string.digits


def draw_glitches(
    out: Path, per_class: int, seed: int, *, classes: Sequence[str] = CLASSES, progress: bool = True
) -> None:
    """Draws a folder of labelled pictures in Gravity Spy's layout and Kaggle's geometry.

    They are `<Class>/<IFO>_<id>_spectrogram_<seconds>.png`, four windows a glitch, beside
    `manifest.csv`. What is there already is left as it is, so that a killed call is continued by
    the next one, and more glitches leave the first ones as they were. The same seed gives the same
    files with the same versions of everything. Classes may have any name that `class_name` knows.

    Raises:
        UsageError: if there is nothing to draw, or `out` holds other things.
        ValueError: if `out` can't be written.
    """
    if per_class < 1:
        raise UsageError(f"{per_class} glitches a class can't be drawn; give at least 1")
    check_seed(seed)
    labels = chosen_classes(classes)
    try:
        check_own(out, SIMULATED_MARK)
        if not (out / SIMULATED_MARK).exists():
            out.mkdir(parents=True, exist_ok=True)
            (out / SIMULATED_MARK).write_text(f"{NOTE}\n")
        missing = list(_missing(out, labels, per_class, seed))
        hidden = not (progress and missing)
        for label, number in bar(missing, "Simulating", unit="glitch", hidden=hidden):
            (out / MANIFEST).unlink(missing_ok=True)
            _draw(out / label, label, number, seed)
        if missing or not (out / MANIFEST).exists():
            _write_manifest(out)
    except OSError as error:
        raise ValueError(
            f"{out}: {error.strerror or error}; what is drawn is kept, and the same call goes on"
        ) from error


def glitch_id(label: str, number: int, seed: int) -> str:
    """Returns ten letters and digits that no other glitch has, as Gravity Spy's ids."""
    digest = hashlib.sha256(f"{seed} {label} {number}".encode()).digest()
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:10])


def chosen_classes(classes: Sequence[str]) -> list[str]:
    """Returns the classes that these names mean, in index order.

    Raises:
        UsageError: naming those that can't be simulated, or if there is none at all.
    """
    labels = {name: class_name(name) for name in classes}
    if unknown := [name for name, label in labels.items() if label not in CLASSES]:
        said = ", ".join(map(with_suggestion, unknown))
        raise UsageError(f"no class to simulate: {said}; choose from {', '.join(CLASSES)}")
    if not labels:
        raise UsageError("no class to draw; name at least one")
    return [label for label in CLASSES if label in labels.values()]


def check_own(out: Path, mark: str) -> None:
    """Checks that a folder is new or empty, or has the mark of an earlier call.

    Raises:
        UsageError: if it holds other things.
    """
    # In this order: another call may begin at this moment, and its mark is what it makes first.
    if out.exists() and any(out.iterdir()) and not (out / mark).exists():
        raise UsageError(f"{out}: holds other things; give a new or empty folder")


def _missing(
    out: Path, labels: Sequence[str], per_class: int, seed: int
) -> Iterator[tuple[str, int]]:
    """Finds the glitches of which a picture is missing, the first of each class first."""
    there = {path.name.partition("_")[2] for path in out.glob("*/*.png")}
    for number in range(per_class):
        for label in labels:
            names = {_name(label, number, seed, duration) for duration in DURATIONS}
            if not names <= there:
                yield label, number


def _name(label: str, number: int, seed: int, duration: float) -> str:
    """Returns a picture's name without the detector, which the simulation chooses."""
    return f"{glitch_id(label, number, seed)}_spectrogram_{duration}.png"


def _draw(folder: Path, label: str, number: int, seed: int) -> None:
    """Simulates a glitch from random numbers of its own and writes its four windows."""
    glitch = simulate(label, np.random.default_rng([seed, CLASSES.index(label), number]))
    notes = PngInfo()
    said = {"Comment": NOTE, "seed": f"{seed}", "number": f"{number}", "q": f"{glitch.q:.2f}"}
    for key, text in said.items():
        notes.add_text(key, text)
    folder.mkdir(exist_ok=True)
    for duration, energies in zip(DURATIONS, glitch.energies, strict=True):
        target = folder / f"{glitch.detector}_{_name(label, number, seed, duration)}"
        content = io.BytesIO()
        _picture(energies).save(content, "PNG", compress_level=4, pnginfo=notes)
        write_whole(target, content.getvalue())


def _picture(energies: Float[np.ndarray, "row column"]) -> Image.Image:
    """Returns a picture in Kaggle's geometry: a black line at the top and at the left."""
    area = COLOUR_OF_INDEX[indices(energies)].astype(np.uint8)
    image = Image.fromarray(np.pad(area, ((1, 0), (1, 0)), constant_values=BLACK))
    image.putpalette([*COLOURS.ravel().tolist(), 0, 0, 0])
    return image


def _write_manifest(out: Path) -> None:
    """Writes what the pictures themselves say, in the order of classes, seeds and numbers."""
    rows = []
    for path in out.glob(f"*/*_{DURATIONS[0]}.png"):
        ifo, id, *_ = path.name.split("_")
        label = path.parent.name
        with Image.open(path) as image:
            seed, number, q = (image.info[key] for key in ("seed", "number", "q"))
        place = CLASSES.index(label), int(seed), int(number)
        rows.append((place, (id, ifo, label, seed, number, q)))
    ordered = [COLUMNS, *(row for _, row in sorted(rows))]
    write_whole(out / MANIFEST, "".join(",".join(row) + "\n" for row in ordered))
