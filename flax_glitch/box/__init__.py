r"""What is in the box: models, three simulated glitches, and GW150914's strain.

`samples/` holds the glitches, four windows each, as drawn by

    flax-glitch simulate --out samples --per-class 1 --seed 4 \
        --classes Koi_Fish Scattered_Light Whistle

and GWOSC's files of 32 s of both detectors (gwosc.org/events/GW150914, version 2, CC-BY 4.0;
doi.org/10.7935/K5MW2F23). The models are the project's `checkpoints/`; a wheel has the small one,
`fast`, which is built into this folder.
"""

import shutil
from importlib.resources import files
from pathlib import Path

MODELS = ("default", "fast")
"""The models that may be there, the one to take first."""

_BOX = Path(str(files(__name__)))
_CHECKPOINTS = _BOX.parents[1] / "checkpoints"

SAMPLES = _BOX / "samples"
"""The folder of pictures and strain."""

REFERENCE = _BOX / "reference.webp"
"""A row of simulated glitches a class, as numbers of viridis; `benchmarks/similar.py` drew them."""


def find_model(name: str | None = None) -> Path | None:
    """Returns the folder of a model in the box, of the first there is if none is named."""
    for one in (name,) if name else MODELS:
        for folder in (_BOX / one, _CHECKPOINTS / one):
            if one in MODELS and (folder / "model.json").is_file():
                return folder
    return None


def holds(folder: Path) -> bool:
    """Returns whether a folder is that of a model in the box, to which nothing is to be added."""
    return folder in map(find_model, MODELS)


def copy_samples(out: Path) -> list[Path]:
    """Copies pictures and strain to a folder, over what is there of the same name; returns them."""
    wanted = sorted(path for path in SAMPLES.rglob("*") if path.suffix in (".png", ".hdf5"))
    copies = [out / path.relative_to(SAMPLES) for path in wanted]
    for path, copy in zip(wanted, copies, strict=True):
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    return copies
