"""`flax-glitch generate`: pictures of glitches that a DCGAN makes up."""

import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from flax_glitch.checkpoint import RUNS
from flax_glitch.classes import class_name
from flax_glitch.config import CACHE, UsageError, check_seed, keep_compiled
from flax_glitch.data.records import prepare
from flax_glitch.files import write_whole
from flax_glitch.models.dcgan import SIDE
from flax_glitch.simulate.catalogue import check_own
from flax_glitch.strain.picture import png
from flax_glitch.strain.qtransform import COLUMNS, ROWS
from flax_glitch.training.gan import IFO, learnt_windows, made_up, picture_of, train_gan
from flax_glitch.training.run import Interrupted

MARK = "GENERATED.txt"
"""The file by which a folder is known to hold generated pictures."""


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
    for name, value in (("per-class", per_class), ("epochs", epochs)):
        if value is not None and value < 1:
            raise UsageError(f"--{name} {value}: give at least 1")
    check_seed(seed)
    check_own(out, MARK)
    keep_compiled(cache)
    split = prepare(source, SIDE, cache=cache).split("train")
    known = [label for label in split.classes if learnt_windows(split, label)]
    labels = list(dict.fromkeys(class_name(name) or name for name in classes)) or known
    if absent := [label for label in labels if label not in known]:
        raise ValueError(
            f"{source}: no training glitch of {', '.join(absent)} to learn from; it has "
            f"{', '.join(known) or 'none at all'}"
        )
    try:
        generator = train_gan(split, gan, seed=seed, epochs=epochs)
    except Interrupted:
        sys.stderr.write(f"Stopped; {gan} is saved, and the same command goes on\n")
        sys.exit(130)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).write_text("Made up by a DCGAN of flax_glitch: no detector has heard this.\n")
    for label in tqdm(labels, "Drawing", unit="class"):
        (out / label).mkdir(exist_ok=True)
        for id, duration, window in made_up(generator, split, label, per_class, seed):
            # Kaggle's geometry: a black line at the top and at the left.
            picture = np.pad(picture_of(window, (ROWS, COLUMNS)), ((1, 0), (1, 0), (0, 0)))
            target = out / label / f"{IFO}_{id}_spectrogram_{duration}.png"
            write_whole(target, png(picture))
    sys.stdout.write(
        f"{out}: {per_class} generated glitches of {len(labels)} classes, seed {seed}\n"
    )
