"""How often the most similar glitch is of the same class; and how the reference set was drawn.

    python benchmarks/similar.py --draw flax_glitch/box/reference.webp
    python benchmarks/similar.py --parts out/fold-*

With --draw it writes the set in the box: of each class the first three simulated glitches that both
models in the box name rightly by their 2 s window, which is what is kept. With --parts, which are
folders that `cross_validation.py` made, it looks for the glitches that each part's networks had not
seen: in the set in the box, and among the others of the part. Those are real glitches of *tune*.
Prints tables.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from flax_glitch.classes import CLASSES, DURATIONS
from flax_glitch.config import keep_compiled
from flax_glitch.data.pictures import resize
from flax_glitch.evaluation.report import markdown_table
from flax_glitch.predict.predictor import Predictor
from flax_glitch.predict.similar import SIDE, Reference
from flax_glitch.predict.verdicts import Prediction
from flax_glitch.simulate.glitches import simulate
from flax_glitch.strain.picture import VIRIDIS, spectrogram

SEED, COPIES = 2026, 3

WINDOW = DURATIONS.index(2.0)

NETWORKS = {"pair": "default", "compact": "fast"}
"""Those of a part that are made as the models in the box are."""

HEADER = ("Model", "Among", "n", "The true class", "Macro", "It in the first six", "The verdict")
"""Of the table: how often the class of the most similar glitch is what."""


def main() -> None:
    """Draws or measures; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draw", type=Path)
    parser.add_argument("--parts", type=Path, nargs="+", default=[])
    given = parser.parse_args()
    keep_compiled()
    if given.draw:
        draw(given.draw)
    if given.parts:
        header = (
            "Model",
            "Among",
            "glitches",
            "Same class",
            "Macro",
            "In the first six",
            "Verdict",
        )
        rows = [row for network in NETWORKS for row in measured(network, given.parts)]
        print(markdown_table(header, rows))


def draw(file: Path) -> None:
    """Writes the sheet, a row a class, in grey: numbers of viridis."""
    judges = [Predictor(name) for name in NETWORKS.values()]
    rows = [np.hstack(list(chosen(label, judges))) for label in CLASSES]
    Image.fromarray(np.vstack(rows)).save(file, quality=90, method=6)


def chosen(label: str, judges: Sequence[Predictor]) -> Iterator[np.ndarray]:
    """Yields the pictures of a class that are kept, as numbers of viridis."""
    number = found = 0
    while found < COPIES:
        rng = np.random.default_rng([SEED, CLASSES.index(label), number])
        picture = resize(spectrogram(simulate(label, rng).energies[WINDOW]), SIDE, SIDE)
        number += 1
        if all(judge.predict(picture).label == label for judge in judges):
            found += 1
            yield np.searchsorted(VIRIDIS[:, 1], picture[..., 1]).clip(max=255).astype(np.uint8)


def measured(network: str, parts: Sequence[Path]) -> Iterator[tuple[str, ...]]:
    """Yields a row for the set in the box, and one for the other glitches of each part."""
    told: dict[str, list[tuple[str, str, list[str]]]] = {"the set in the box": [], "others": []}
    for part in parts:
        predictor = Predictor(part / network)
        paths = sorted(part.glob("pictures/test/*/*/*"))
        among = {
            "the set in the box": Reference.shipped(predictor),
            "others": Reference.of(predictor, paths, [path.parts[-3] for path in paths]),
        }
        for one in predictor.classify(paths, keep_pixels=True):
            assert isinstance(one, Prediction)
            true = Path(one.inputs[0]).parts[-3]
            for name, reference in among.items():
                near = reference.nearest(one.pixels, 7)
                labels = [other.label for other in near if other.name not in one.inputs]
                told[name].append((true, one.label, labels[:6]))
    for name, answers in told.items():
        same = np.array([labels[0] == true for true, _, labels in answers])
        trues = np.array([true for true, _, _ in answers])
        macro = np.mean([same[trues == label].mean() for label in np.unique(trues)])
        six = np.mean([true in labels for true, _, labels in answers])
        agreed = np.mean([labels[0] == verdict for _, verdict, labels in answers])
        shares = (f"{share:.1%}" for share in (same.mean(), macro, six, agreed))
        yield (NETWORKS[network], name, str(len(answers)), *shares)


if __name__ == "__main__":
    main()
