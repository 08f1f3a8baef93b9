"""Draws glitches of every class below each other, their four windows side by side.

    flax-glitch simulate --out simulated/ --per-class 2 --seed 22
    python benchmarks/contact_sheet.py simulated/ --glitches 2 --out docs/simulated.png
    python benchmarks/contact_sheet.py simulated/ --beside DATA/gravityspy --out sheet.png

With --beside a second folder's glitches stand to the right, to compare with.
"""

import argparse
from pathlib import Path

from common import few_of_each, pictures, read_tables
from PIL import Image, ImageDraw, ImageFont

from flax_glitch.classes import CLASSES, DURATIONS, readable
from flax_glitch.data.table import glitch_numbers

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
        for number in range(count * len(DURATIONS)):
            left = NAME + place * block + number * (WIDTH + GAP)
            draw.text((left + 40, 2), f"{DURATIONS[number % 4]} s", "black", font)
        table = few_of_each(read_tables([folder]), count)
        table = table[table["duration"].isin(DURATIONS)]
        for row, name in enumerate(CLASSES):
            top, shown = 20 + row * (HEIGHT + GAP), table[table["label"] == name]
            draw.text((4, top + 40), readable(name), "black", font)
            windows = 4 * glitch_numbers(shown) + shown["duration"].map(DURATIONS.index)
            for number, picture in zip(windows, pictures(shown, (HEIGHT, WIDTH)), strict=True):
                left = NAME + place * block + number * (WIDTH + GAP)
                image.paste(Image.fromarray(picture), (left, top))
    return image


if __name__ == "__main__":
    main()
