"""Draws the pictures of a source at one size, each into a file, so that a killed run goes on."""

import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from flax_glitch.data.pictures import PictureError, resize
from flax_glitch.data.sources import PictureRef, read_picture
from flax_glitch.files import write_whole

# Level 1 is written three times as fast as level 6, a fifth larger, and read nearly as fast.
_PNG_COMPRESSION = 1


def draw_pictures(
    refs: Sequence[PictureRef], shape: tuple[int, int], work: Path, progress: bool
) -> None:
    """Writes every picture that an earlier call has not written.

    Args:
        refs: The pictures; the one numbered 7 becomes 000007.png, or 000007.txt if it can't be
            read, which says why.
        shape: Height and width, pixels.
        work: Folder to write to.
        progress: Show a progress bar on stderr.
    """
    work.mkdir(exist_ok=True)

    def draw(number: int) -> None:
        _draw_one(refs[number], shape, work / f"{number:06d}")

    # Threads do: Pillow lets others run while it decodes, resizes and encodes.
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        drawn = pool.map(draw, range(len(refs)))
        for _ in tqdm(drawn, "Preparing", len(refs), unit="picture", disable=not progress):
            pass
    finally:
        pool.shutdown(cancel_futures=True)


def _draw_one(ref: PictureRef, shape: tuple[int, int], target: Path) -> None:
    """Writes the picture at its size to target.png, or why there is none to target.txt."""
    picture, reason = target.with_suffix(".png"), target.with_suffix(".txt")
    if picture.exists():
        return
    reason.unlink(missing_ok=True)
    try:
        pixels = resize(read_picture(ref).pixels, *shape)
    except PictureError as error:
        write_whole(reason, str(error).encode())
        return
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG", compress_level=_PNG_COMPRESSION)
    write_whole(picture, encoded.getvalue())
