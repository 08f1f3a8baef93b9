"""`flax-glitch generate`: pictures of glitches that a DCGAN makes up."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from flax_glitch.checkpoint import RUNS
from flax_glitch.classes import CLASSES, DURATIONS, INDEX
from flax_glitch.config import CACHE, UsageError, keep_compiled
from flax_glitch.data.tfds_builder import prepare
from flax_glitch.files import write_whole
from flax_glitch.models.dcgan import SIDE, Generator
from flax_glitch.simulate.catalogue import chosen_classes
from flax_glitch.strain.picture import png
from flax_glitch.strain.qtransform import COLUMNS, ROWS
from flax_glitch.training.gan import (
    IFO,
    generated_id,
    imagine,
    picture_of,
    seen_windows,
    train_gan,
)
from flax_glitch.training.run import Interrupted

MARK = "GENERATED.txt"
"""The file by which a folder is known to hold generated pictures."""

AT_ONCE = 32
"""Glitches that are held in memory."""


def generate_glitches(
    source: str,
    out: Path,
    per_class: int,
    classes: tuple[str, ...] = (),
    epochs: int | None = None,
    gan: Path = RUNS / "dcgan",
    seed: int = 0,
    cache: Path = CACHE,
) -> None:
    """Draw pictures that a DCGAN makes up, having learnt a source's training glitches.

    They lie in a folder a class, named as Gravity Spy's but of detector XG and an id that begins
    with "generated", so that every command takes them. The GAN is trained once: stopped, the same
    command goes on, and later ones use it. For example:

    `flax-glitch generate --source gravity-spy/ --out made-up --per-class 20`

    Args:
        source: Folder or HDF5 file of Gravity Spy pictures, or "simulated".
        out: Folder to write to: new, empty, or an earlier one of this command.
        per_class: Glitches a class, of as many windows as the source has of it.
        classes: Names of the classes to draw; all that the source has if not given.
        epochs: How often the GAN learns all glitches; 4,000 steps of 32 glitches if not given.
        gan: Folder of the GAN, trained there if it is new.
        seed: Another one gives other pictures; also where a new GAN's training begins.
        cache: Folder for prepared data.
    """
    for name, value, least in (
        ("per-class", per_class, 1),
        ("epochs", epochs, 1),
        ("seed", seed, 0),
    ):
        if value is not None and value < least:
            raise UsageError(f"--{name} {value}: give at least {least}")
    wanted = chosen_classes(classes or CLASSES)
    if out.exists() and not (out / MARK).exists() and any(out.iterdir()):
        raise UsageError(f"{out}: holds other things; give a new or empty folder")
    keep_compiled(cache)
    split = prepare(source, SIDE, cache=cache).split("train")
    seen = seen_windows(split.entries)
    absent = [label for label in wanted if not seen[INDEX[label]].any()]
    if classes and absent:
        raise ValueError(f"{source}: no training glitch of {', '.join(absent)} to learn from")
    try:
        generator = train_gan(split, gan, seed=seed, epochs=epochs)
    except Interrupted:
        sys.stderr.write(f"Stopped; {gan} is saved, and the same command goes on\n")
        sys.exit(130)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).write_text("Made up by a DCGAN of flax_glitch: no detector has heard this.\n")
    labels = [label for label in wanted if label not in absent]
    for label in tqdm(labels, "Drawing", unit="class"):
        windows = np.flatnonzero(seen[INDEX[label]])
        _draw(generator, label, windows.tolist(), per_class, seed, out / label)
    sys.stdout.write(
        f"{out}: {per_class} generated glitches of {len(labels)} classes, seed {seed}\n"
    )


def _draw(
    generator: Generator, label: str, windows: Sequence[int], count: int, seed: int, folder: Path
) -> None:
    """Writes pictures in Kaggle's geometry: a black line at the top and at the left."""
    folder.mkdir(exist_ok=True)
    for start in range(0, count, AT_ONCE):
        numbers = range(start, min(start + AT_ONCE, count))
        made = imagine(generator, INDEX[label], numbers, seed)
        for number, glitch in zip(numbers, made, strict=True):
            for window in windows:
                picture = picture_of(glitch[..., window], (ROWS, COLUMNS))
                name = f"{IFO}_{generated_id(INDEX[label], number, seed)}"
                target = folder / f"{name}_spectrogram_{DURATIONS[window]}.png"
                write_whole(target, png(np.pad(picture, ((1, 0), (1, 0), (0, 0)))))
