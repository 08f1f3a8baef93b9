"""What speaks for a verdict, as HTML: where the network looked, and what the glitch resembles."""

import base64
import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from flax_glitch.app.verdict import each_of, escape, named
from flax_glitch.arrays import Picture
from flax_glitch.data.pictures import load_picture, resize
from flax_glitch.notes import LOG
from flax_glitch.predict.explain import confused_with, overlay, saliency
from flax_glitch.predict.predictor import Predictor
from flax_glitch.predict.similar import Reference
from flax_glitch.predict.verdicts import Prediction

SHOWN = 360
"""Most width and height of a picture on the page, pixels."""

Maps = Float[np.ndarray, "view h w"]


class Answered(NamedTuple):
    """A verdict with its pictures: their files, and what the network and the page show of them."""

    prediction: Prediction
    paths: tuple[Path, ...]
    pixels: tuple[Picture, ...]
    pictures: tuple[Picture, ...]

    @classmethod
    def of(cls, predictor: Predictor, prediction: Prediction, paths: Sequence[Path]) -> "Answered":
        """Returns a verdict with its pictures, in the order of its windows.

        Raises:
            PictureError: if a picture can't be read any more.
        """
        whole = [load_picture(path).pixels for path in paths]
        pixels = [resize(picture, *predictor.preprocessing.shape) for picture in whole]
        return cls(prediction, tuple(paths), tuple(pixels), tuple(map(_smaller, whole)))


def _smaller(picture: Picture) -> UInt8[np.ndarray, "new_height new_width 3"]:
    height, width, _ = picture.shape
    scale = min(1, SHOWN / max(height, width))
    return resize(picture, max(1, round(scale * height)), max(1, round(scale * width)))


def shown(predictor: Predictor, found: Answered) -> tuple[str, str]:
    """Returns the windows with where the network looked, and what the glitch resembles, as HTML.

    A verdict stands without: what can't be found is left out.
    """
    try:
        maps = saliency(predictor, found.pixels, found.prediction.label)
        return figures_of(found, maps), resembling(predictor, found)
    except Exception:
        LOG.exception("%s: no evidence", found.prediction.inputs)
        return figures_of(found), ""


def figures_of(found: Answered, maps: Maps | None = None) -> str:
    """Returns the windows side by side as HTML; with maps, a box shows and hides them."""
    name = named(found.prediction.label)
    figures = ""
    for number, (length, own, share) in enumerate(each_of(found.prediction)):
        alt = f"Window of {length}"
        said = f"{length}: {own}, {share}" if len(found.pictures) > 1 else alt
        picture = found.pictures[number]
        images = image_of(picture, alt, "plain")
        if maps is not None:
            drawn = overlay(picture, maps[number])
            images += image_of(drawn, f"{alt}, what speaks for {name} marked", "map")
        figures += f"<figure>{images}<figcaption>{said}</figcaption></figure>"
    title, box = "The windows", ""
    if maps is not None:
        title = "Where the network looked"
        box = f'<label><input type="checkbox" checked> Mark what speaks for {name}</label>'
    shown = f'<div class="side-by-side">{figures}</div>{box}'
    return f'<div class="looked"><h3>{title}</h3>{shown}</div>'


def resembling(predictor: Predictor, found: Answered) -> str:
    """Returns the nearest glitches of the set that ships as HTML, and what is mixed up with it."""
    label = found.prediction.label
    near = "".join(
        f"<li>{image_of(one.picture, f'A simulated {named(one.label)}')}"
        f"<span>{named(one.label)}</span><small>{one.similarity:.2f}</small></li>"
        for one in _reference(predictor).nearest(found.pixels)
    )
    mixed = escape(confused_with(predictor, label))
    return (
        '<section class="alike"><h3>What it resembles</h3>'
        f"<ol>{near}</ol><p>The nearest simulated glitches, by what the network makes of them "
        f"(1.00: the same). {mixed}</p>{to_guide(predictor.classes, label)}</section>"
    )


def to_guide(classes: Sequence[str], label: str) -> str:
    """Returns a button that leads to a class's entry of the Guide, as HTML."""
    shows = f"showClass('{guide_place(classes, label)}')"
    return f'<button class="to-guide" onclick="{shows}">{named(label)} in the Guide</button>'


def guide_place(classes: Sequence[str], label: str) -> str:
    """Returns the name of a class's entry on the page, which no class's own could be."""
    return f"guide-{list(classes).index(label)}"


@cache
def _reference(predictor: Predictor) -> Reference:
    return Reference.shipped(predictor)


def warm_up(predictor: Predictor) -> None:
    """Compiles and reads what evidence needs, before somebody waits for it; pages stand without."""
    blank = np.zeros((*predictor.preprocessing.shape, 3), np.uint8)
    try:
        for windows in (1, 4):
            saliency(predictor, [blank] * windows)
        _reference(predictor).nearest([blank])
    except Exception:
        LOG.exception("no evidence")


def image_of(picture: Picture, alt: str, kind: str = "") -> str:
    """Returns a picture as HTML that holds it; `alt` is HTML, the kind the class of its style."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "WEBP", quality=80, method=0)  # the quickest
    content = base64.b64encode(file.getvalue()).decode()
    height, width, _ = picture.shape
    return (
        f'<img class="{kind}" src="data:image/webp;base64,{content}" alt="{alt}" '
        f'width="{width}" height="{height}">'
    )
