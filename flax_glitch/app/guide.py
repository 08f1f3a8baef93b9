"""The Guide tab: the 22 classes in a picture and a line each."""

import base64
import io
from collections.abc import Mapping

import gradio as gr
from PIL import Image

from flax_glitch.arrays import Picture
from flax_glitch.classes import MORPHOLOGY, readable

THUMBNAIL = (110, 92)
"""Width and height of a picture of the guide, pixels."""


def add() -> gr.HTML:
    """Adds the parts of the tab to the page that is being built; returns the classes' part."""
    gr.Markdown(
        "## The 22 classes of Gravity Spy\nTime runs to the right, frequency upwards; the "
        "brighter, the more energy. These glitches are simulated by this project, one a class: "
        "real ones vary far more."
    )
    return gr.HTML(classes_of({}), label="The 22 classes")


def classes_of(pictures: Mapping[str, Picture]) -> str:
    """Returns the classes as HTML: picture, name and morphology."""
    cards = "".join(
        f"<li>{_picture_of(name, pictures)}<div><h3>{readable(name)}</h3><p>{line}.</p></div></li>"
        for name, line in MORPHOLOGY.items()
    )
    return f'<ul class="guide">{cards}</ul>'


def _picture_of(name: str, pictures: Mapping[str, Picture]) -> str:
    if name not in pictures:
        return ""
    width, height = THUMBNAIL
    return (
        f'<img src="{_inline(pictures[name])}" alt="Simulated example of {readable(name)}" '
        f'width="{width}" height="{height}">'
    )


def _inline(picture: Picture) -> str:
    file = io.BytesIO()
    small = Image.fromarray(picture).resize(THUMBNAIL, Image.Resampling.BILINEAR)
    small.save(file, "WEBP", quality=80)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
