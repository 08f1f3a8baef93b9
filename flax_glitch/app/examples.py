"""The pictures to click on and to learn from: a simulated glitch of each class that we can make."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from PIL import Image

from flax_glitch.arrays import Picture
from flax_glitch.classes import CLASSES, readable
from flax_glitch.config import CACHE
from flax_glitch.files import write_whole
from flax_glitch.simulate import catalogue
from flax_glitch.strain.picture import png

SEED = 22
"""Not that of the set to train on: the network has not seen the examples."""

SHOWN = (
    "Blip", "Koi_Fish", "Whistle", "Scattered_Light",
    "Chirp", "Repeating_Blips", "Power_Line", "1080Lines",
)  # fmt: skip
"""Classes of the pictures to click on; a model without some of them shows others in their place."""

WINDOWS = MappingProxyType(
    dict.fromkeys(("Blip", "Chirp", "Helix"), 0.5)
    | dict.fromkeys(("Paired_Doves", "Repeating_Blips", "Scratchy"), 2.0)
    | dict.fromkeys(("Extremely_Loud", "Light_Modulation", "Low_Frequency_Burst"), 4.0)
    | dict.fromkeys(("Low_Frequency_Lines", "Scattered_Light", "Wandering_Line"), 4.0)
)
"""The window that shows a class best, seconds; 1 for the others."""


def pictures(classes: Sequence[str], spare: Path, cache: Path = CACHE) -> dict[str, Picture]:
    """Returns a whole picture, in Kaggle's geometry, of each class that can be simulated.

    The first call simulates them into the cache, or into `spare` if that can't be written.
    """
    known = [name for name in classes if name in CLASSES]
    if not known:
        return {}
    try:
        folder = _drawn(known, cache)
    except ValueError:
        folder = _drawn(known, spare)
    found = {}
    for name in known:
        paths = (folder / name).glob(f"*_{WINDOWS.get(name, 1.0)}.png")
        with Image.open(next(paths)) as image:
            found[name] = np.array(image.convert("RGB"))
    return found


def files(pictures: Mapping[str, Picture], folder: Path) -> list[tuple[Path, str]]:
    """Returns path and caption of the pictures to click on, writing those that are not there."""
    folder.mkdir(parents=True, exist_ok=True)
    best_first = [*(name for name in SHOWN if name in pictures), *pictures]
    shown = list(dict.fromkeys(best_first))[: len(SHOWN)]
    paths = {name: folder / f"{name}.png" for name in shown}
    for name, path in paths.items():
        if not path.exists():
            write_whole(path, png(pictures[name]))
    return [(path, readable(name)) for name, path in paths.items()]


def _drawn(classes: Sequence[str], place: Path) -> Path:
    folder = place / f"examples-{catalogue.VERSION}"
    catalogue.draw_glitches(folder, 1, SEED, classes=classes)
    return folder
