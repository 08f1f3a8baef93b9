"""The Guide tab: the model's classes in a line each and, where they can be simulated, a picture."""

import base64
import io
from collections.abc import Mapping, Sequence

import gradio as gr
from PIL import Image

from flax_glitch.app.classify import looks_of, named
from flax_glitch.arrays import Picture

THUMBNAIL = (110, 92)
"""Width and height of a picture of the guide, pixels."""


def add(classes: Sequence[str]) -> gr.HTML:
    """Adds the parts of the tab to the page that is being built; returns the classes' part."""
    title = f"The {len(classes)} classes of this model"
    gr.Markdown(
        f"## {title}\nTime runs to the right, frequency upwards; the brighter, the more energy. "
        "Glitches that are shown are simulated by this project, one a class: real ones vary far "
        "more."
    )
    return gr.HTML(classes_of(classes, {}), label=title)


def classes_of(classes: Sequence[str], pictures: Mapping[str, Picture]) -> str:
    """Returns the classes as HTML: picture, name and morphology, as far as they are known."""
    cards = "".join(
        f"<li>{_picture_of(name, pictures)}<div><h3>{named(name)}</h3>{looks_of(name)}</div></li>"
        for name in classes
    )
    return f'<ul class="guide">{cards}</ul>'


def _picture_of(name: str, pictures: Mapping[str, Picture]) -> str:
    if name not in pictures:
        return ""
    file = io.BytesIO()
    small = Image.fromarray(pictures[name]).resize(THUMBNAIL, Image.Resampling.BILINEAR)
    small.save(file, "WEBP", quality=80)
    content = base64.b64encode(file.getvalue()).decode()
    width, height = THUMBNAIL
    return (
        f'<img src="data:image/webp;base64,{content}" alt="Simulated example of {named(name)}" '
        f'width="{width}" height="{height}">'
    )
