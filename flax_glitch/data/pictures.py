"""The one road from a file or an array to the pixels that a network sees."""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jax
import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageFile, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from flax_glitch.arrays import AnyArray, Picture
from flax_glitch.files import printable

# Pillow warns of damaged metadata (EXIF, animation), which is no matter to us. Silenced for the
# process, because warnings can't be silenced for one thread alone.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

MAX_BYTES = 10_000_000
"""A larger file is refused unread."""

MAX_PIXELS = 25_000_000
"""A picture of more pixels is refused before it is decoded."""

MIN_SIDE = 16
"""Pixels; a smaller picture can't hold a spectrogram."""

UNNAMED = "picture"
"""What errors call a source that has no name of its own."""

Geometry = Literal["full", "kaggle", "golden", "framed", "unknown"]

PictureSource = Path | bytes | io.IOBase | Image.Image | AnyArray
"""What a picture is read from."""

SPECTROGRAM_AREAS: tuple[tuple[tuple[int, int], Geometry, tuple[int, int, int, int]], ...] = (
    ((800, 600), "full", (101, 61, 669, 539)),
    ((569, 479), "kaggle", (1, 1, 569, 479)),
    ((600, 450), "golden", (76, 46, 502, 404)),
    ((600, 450), "golden", (76, 46, 502, 360)),
)
"""Width and height of Gravity Spy's pictures, with the area (left, top, right, bottom) inside the
frame lines, measured on real pictures. Axes, title (it names the detector), colour bar and frame
fall away, and the same area is left of each. Golden 1080Lines and 1400Ripples have a lower frame.
"""

FRAME = 2
"""Pixels that the line around a figure's axes takes."""

WHITE = 250
"""No colour of viridis, nor its grey, has red, green and blue all this high."""


class PictureError(ValueError):
    """A picture that can't be used: one line with its name, what is wrong and the cure."""


@dataclass(frozen=True)
class LoadedPicture:
    """A spectrogram's pixels and the kind of Gravity Spy picture that they were cut from."""

    pixels: Picture
    geometry: Geometry


def load_picture(source: PictureSource, name: str = UNNAMED) -> LoadedPicture:
    """Returns the spectrogram area of a picture in 8-bit RGB.

    Args:
        source: A PNG, JPEG or WebP file, by its path or open; its content; a picture of Pillow's;
            or an array, also of JAX, of shape (height, width) or (height, width, 1, 3 or 4):
            uint8, other integers from 0 to 255, uint16, or floating point from 0 to 1. Transparent
            parts become white, 16 bits are scaled to 8, and of a film the first frame is taken.
        name: What to call the picture in errors; a file is called by its path.

    Raises:
        PictureError: if the picture can't be read or isn't one that a network could judge.
    """
    if isinstance(source, Path) and name == UNNAMED:
        name = str(source)
    name = printable(name)
    match source:
        case np.ndarray() | jax.Array():
            return _cut(_from_array(np.asarray(source), name))
        case Path():
            return _cut(_decode(_read(source, name), name))
        case io.IOBase():
            return _cut(_decode(_read_open(source, name), name))
        case bytes() | Image.Image():
            return _cut(_decode(source, name))
    raise PictureError(
        f"{name}: is a {type(source).__name__}; give a path, an open file, its bytes, an array or "
        "a picture of Pillow's"
    )


def resize(
    pixels: Picture, size: int, width: int = 0
) -> UInt8[np.ndarray, "new_height new_width 3"]:
    """Returns the picture at `size` pixels height and `width` (0: the same), antialiased."""
    image = Image.fromarray(pixels)
    return np.array(image.resize((width or size, size), Image.Resampling.BILINEAR))


def _read(path: Path, name: str) -> bytes:
    try:
        if path.is_dir():
            raise PictureError(f"{name}: is a folder; give a picture file")
        if path.exists() and not path.is_file():
            raise PictureError(f"{name}: is not a regular file; give a picture file")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise PictureError(
            f"{name}: can't be read ({error.strerror}); check the path and its permissions"
        ) from error


def _read_open(file: io.IOBase, name: str) -> bytes:
    try:
        content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # it is closed, or open to be written alone
        raise PictureError(f"{name}: can't be read ({error}); open it with 'rb'") from error
    if not isinstance(content, bytes):
        raise PictureError(f"{name}: is open as text; open it with 'rb'")
    return content


def _decode(source: bytes | Image.Image, name: str) -> Image.Image:
    """Decodes untrusted content, looking at its format and size first."""
    if isinstance(source, bytes) and len(source) > MAX_BYTES:
        raise PictureError(f"{name}: is larger than {MAX_BYTES:,} bytes; save it smaller")
    try:
        image = source if isinstance(source, Image.Image) else _open(source, name)
        _check_size(*image.size, name)
        if image.mode in ("I", "F"):  # which Pillow would cut off above 255
            raise PictureError(f"{name}: has pixels of 32 bits; give it as an array, scaled")
        return _rgb(ImageOps.exif_transpose(image))
    except PictureError:
        raise
    except Exception as error:  # a damaged file can make a decoder raise almost anything
        reason = printable(str(error) or type(error).__name__)
        raise PictureError(f"{name}: is damaged ({reason}); save or download it again") from error


def _open(data: bytes, name: str) -> ImageFile.ImageFile:
    """Reads the header, with the decoder of the content and never by the file's suffix.

    Image.open isn't used: it warns of large pictures, or raises, by a limit that is not ours.
    """
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImageFile(io.BytesIO(data))
    if data.startswith(b"\xff\xd8\xff"):
        return JpegImageFile(io.BytesIO(data))
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        # Pillow's WebP decoder takes memory for the whole canvas before one can ask its size.
        _check_size(*_webp_size(data), name)
        return WebPImageFile(io.BytesIO(data))
    if not data:
        raise PictureError(f"{name}: is empty (0 bytes); save or download it again")
    raise PictureError(f"{name}: is not a PNG, JPEG or WebP picture; save it as one of these")


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height in a WebP header (RFC 9649): lossy, lossless or extended."""

    def number(start: int, end: int) -> int:
        return int.from_bytes(data[start:end], "little")

    match data[12:16]:
        case b"VP8 ":
            return number(26, 28) & 0x3FFF, number(28, 30) & 0x3FFF
        case b"VP8L":
            return (number(21, 25) & 0x3FFF) + 1, (number(21, 25) >> 14 & 0x3FFF) + 1
        case _:
            return number(24, 27) + 1, number(27, 30) + 1


def _check_size(width: int, height: int, name: str) -> None:
    if width * height > MAX_PIXELS:
        raise PictureError(
            f"{name}: is {width}x{height} pixels, more than {MAX_PIXELS:,}; save it smaller"
        )
    if min(width, height) < MIN_SIDE:
        raise PictureError(
            f"{name}: is {width}x{height} pixels, too small for a spectrogram; "
            f"give at least {MIN_SIDE}x{MIN_SIDE}"
        )


def _rgb(image: Image.Image) -> Image.Image:
    """Brings any mode to 8-bit RGB, transparent parts over white."""
    if image.mode.startswith("I;16"):
        image = Image.fromarray(_high_bytes(np.asarray(image)))
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    paper = Image.new("RGB", image.size, "white")
    paper.paste(image, mask=image.getchannel("A"))
    return paper


def _high_bytes(values: np.ndarray) -> np.ndarray:
    """Scales 16 bits to 8 as Pillow does for colour PNG files: by dropping the low byte."""
    return (values >> 8).astype(np.uint8)


def _from_array(array: np.ndarray, name: str) -> Image.Image:
    channels = array.shape[2:] or (1,)
    if array.ndim not in (2, 3) or channels not in ((1,), (3,), (4,)):
        raise PictureError(
            f"{name}: is an array of shape {array.shape}; "
            "give (height, width) or (height, width, 1, 3 or 4)"
        )
    _check_size(array.shape[1], array.shape[0], name)
    values = _eight_bits(array, name)
    return _rgb(Image.fromarray(values[..., 0] if channels == (1,) and array.ndim == 3 else values))


def _eight_bits(array: np.ndarray, name: str) -> np.ndarray:
    kind = array.dtype.type
    if kind is np.uint8:
        return array
    if kind is np.uint16:
        return _high_bytes(array)
    if issubclass(kind, np.integer) and np.all((array >= 0) & (array <= 255)):
        return array.astype(np.uint8)
    if not issubclass(kind, np.floating):
        raise PictureError(
            f"{name}: is an array of {array.dtype}; give integers from 0 to 255, uint16, or floats "
            "from 0 to 1"
        )
    # Not "any outside", because NaN compares as false.
    if not np.all((array >= 0) & (array <= 1)):
        raise PictureError(f"{name}: has floats outside 0 to 1 or NaN; scale it and fill gaps")
    return np.rint(array * 255).astype(np.uint8)


def _cut(image: Image.Image) -> LoadedPicture:
    pixels = np.array(image)
    for size, geometry, (left, top, right, bottom) in SPECTROGRAM_AREAS:
        area = pixels[top:bottom, left:right]
        if image.size == size and not _has_white_edge(area):
            return LoadedPicture(area.copy(), geometry)
    box = _axes(pixels)
    if box is None:
        return LoadedPicture(pixels, "unknown")
    return LoadedPicture(np.array(image.crop(box)), "framed")


def _axes(pixels: Picture) -> tuple[int, int, int, int] | None:
    """Returns the inside of a figure's axes, if they take up most of it and margins are white."""
    height, width = pixels.shape[:2]
    filled = pixels.min(-1) < WHITE
    left, right = _longest(filled.mean(0) > 0.5)
    if left == 0 or right - left < width / 2:
        return None
    top, bottom = _longest(filled[:, left:right].mean(1) > 0.5)
    if top == 0 or bottom - top < height / 2:
        return None
    return left + FRAME, top + FRAME, right - FRAME, bottom - FRAME


def _longest(flags: Bool[np.ndarray, " place"]) -> tuple[int, int]:
    """Returns start and end of the longest run of true flags, 0 and 0 if there is none."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False)).reshape(-1, 2)
    start, end = max(edges, key=lambda edge: edge[1] - edge[0], default=(0, 0))
    return int(start), int(end)


def _has_white_edge(area: Picture) -> bool:
    """Whether a figure of that size has its frame elsewhere, so that its margin is inside."""
    edges = np.concatenate([area[1], area[-2], area[:, 1], area[:, -2]])
    return bool((edges.min(-1) >= WHITE).mean() > 0.1)
