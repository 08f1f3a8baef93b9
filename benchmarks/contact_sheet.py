"""Draws glitches of every class below each other, their four windows side by side.

    flax-glitch simulate --out simulated/ --per-class 2 --seed 22
    python benchmarks/contact_sheet.py simulated/ --glitches 2 --out docs/simulated.png
    python benchmarks/contact_sheet.py simulated/ --beside DATA/gravityspy --out sheet.png

With --beside a second folder's glitches stand to the right, to compare with.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from flax_glitch.classes import CLASSES, DURATIONS, readable
from flax_glitch.data.sources import Glitch, open_source, read_picture

WIDTH, HEIGHT, GAP, NAME = 118, 99, 2, 150
"""Pixels of a window and between two, and of the column of names."""


def main() -> None:
    """Writes the sheet; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--beside", type=Path)
    parser.add_argument("--glitches", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    folders = [folder for folder in (given.folder, given.beside) if folder]
    sheet(folders, given.glitches).quantize(128).save(given.out, optimize=True)


def sheet(folders: list[Path], count: int) -> Image.Image:
    """Returns the picture of `count` glitches a class of each folder."""
    block = count * len(DURATIONS) * (WIDTH + GAP) + 4 * GAP
    size = (NAME + block * len(folders), 20 + len(CLASSES) * (HEIGHT + GAP))
    image = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(14)
    for place, folder in enumerate(folders):
        glitches = open_source(folder).glitches
        for number in range(count * len(DURATIONS)):
            left = NAME + place * block + number * (WIDTH + GAP)
            draw.text((left + 40, 2), f"{DURATIONS[number % 4]} s", "black", font)
        for row, name in enumerate(CLASSES):
            top = 20 + row * (HEIGHT + GAP)
            draw.text((4, top + 40), readable(name), "black", font)
            for number, glitch in enumerate([g for g in glitches if g.label == name][:count]):
                paste(image, glitch, NAME + place * block + number * 4 * (WIDTH + GAP), top)
    return image


def paste(image: Image.Image, glitch: Glitch, left: int, top: int) -> None:
    """Puts a glitch's windows into the picture."""
    for duration, ref in glitch.views.items():
        if duration in DURATIONS:
            small = Image.fromarray(np.asarray(read_picture(ref).pixels)).resize((WIDTH, HEIGHT))
            image.paste(small, (left + DURATIONS.index(duration) * (WIDTH + GAP), top))


if __name__ == "__main__":
    main()
