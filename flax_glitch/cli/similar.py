"""`flax-glitch similar`: the glitches that one resembles."""

from pathlib import Path
from typing import Annotated

import tyro

from flax_glitch.cli.classify import Inputs
from flax_glitch.cli.terminal import open_predictor
from flax_glitch.config import UsageError

Count = Annotated[int, tyro.conf.arg(aliases=("-k",))]


def find_similar(
    inputs: Inputs,
    among: Path | None = None,
    k: Count = 6,
    checkpoint: Path | None = None,
    out: Path | None = None,
) -> None:
    """Find the glitches that one resembles, in a small set of simulated ones or in your own.

    Pictures whose names share detector and id are windows of one glitch. Similarity is from -1 to
    1, by what the model says of both. Exit code 1 if a picture failed. For example:

    `flax-glitch similar H1_abc_spectrogram_1.0.png`

    `flax-glitch similar H1_abc_spectrogram_1.0.png --among pictures/ -k 10 --out sheets`

    Args:
        inputs: Picture files (PNG, JPEG, WebP), or folders that are searched for them.
        among: Folder of pictures to look in, in folders by class if they are labelled; the 66
            simulated glitches that come with the project if not given.
        k: How many are shown.
        checkpoint: Folder of the model; the one that comes with the project if not given.
        out: Folder for a sheet of pictures a glitch.
    """
    if not inputs:
        raise UsageError("no input: name pictures or folders (see flax-glitch similar --help)")
    if k < 1:
        raise UsageError(f"-k {k}: give 1 or more")
    predictor = open_predictor(checkpoint)
    from flax_glitch.cli.answers import find_pictures  # not for --help: it takes seconds
    from flax_glitch.cli.evidence import tell_similar

    tell_similar(predictor, *find_pictures(inputs), among, k, out)
