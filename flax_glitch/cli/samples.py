"""`flax-glitch samples`: something to try the rest on."""

import sys
from pathlib import Path

from flax_glitch.box import copy_samples


def write_samples(out: Path = Path("samples")) -> None:
    """Write pictures of three simulated glitches, and GW150914's strain, to a folder.

    They are in the package: nothing is fetched. For example:

    `flax-glitch samples`

    `flax-glitch classify samples/`

    `flax-glitch classify --gps 1126259462.4 --strain samples/H-H1_LOSC_4_V2-1126259446-32.hdf5`

    Args:
        out: Folder to write to.
    """
    copied = copy_samples(out)
    pictures = sum(path.suffix == ".png" for path in copied)
    sys.stdout.write(
        f"{out}: {pictures} pictures of 3 simulated glitches, and 32 s of strain around GW150914 "
        f"of {len(copied) - pictures} detectors\n"
    )
