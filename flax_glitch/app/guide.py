"""The tabs to read: Guide, the classes with a picture each, and Model, its card and figures."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import gradio as gr
import numpy as np
from gradio.utils import get_upload_folder
from PIL import Image

from flax_glitch.app.evidence import guide_place, image_of
from flax_glitch.app.verdict import looks_of, named
from flax_glitch.arrays import Picture
from flax_glitch.evaluation.report import CARD_FIGURES, card_figures
from flax_glitch.predict.predictor import Predictor

THUMBNAIL = (110, 92)
"""Width and height of a picture of the guide, pixels."""

NO_CARD = "This model has no card."


def add_guide(classes: Sequence[str]) -> gr.HTML:
    """Adds the parts of the Guide tab, and returns that of the classes, without pictures yet."""
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
        f'<li id="{guide_place(classes, name)}" tabindex="-1">{_picture_of(name, pictures)}'
        f"<div><h3>{named(name)}</h3>{looks_of(name)}</div></li>"
        for name in classes
    )
    return f'<ul class="guide">{cards}</ul>'


def _picture_of(name: str, pictures: Mapping[str, Picture]) -> str:
    if name not in pictures:
        return ""
    small = Image.fromarray(pictures[name]).resize(THUMBNAIL, Image.Resampling.BILINEAR)
    return image_of(np.array(small), f"Simulated example of {named(name)}")


def add_card(predictor: Predictor) -> None:
    """Adds the parts of the Model tab to the page that is being built."""
    gr.Markdown(one_level_down(predictor.card) or NO_CARD, elem_classes="card")
    for path in served(predictor.folder):
        title, shows = CARD_FIGURES[path.name]
        gr.Markdown(f"### {title}")
        gr.Image(
            path,
            show_label=False,
            alt_text=f"{title}: {shows}",
            interactive=False,
            buttons=["fullscreen"],
            elem_classes="figure",
        )


def one_level_down(card: str) -> str:
    """Returns a card as a part of the page, which has a first heading already."""
    return "\n".join(f"#{line}" if line.startswith("#") else line for line in card.splitlines())


def served(checkpoint: Path) -> list[Path]:
    """Returns copies of a model's figures in the app's own folder, from where Gradio serves."""
    folder = Path(get_upload_folder()) / "model"
    folder.mkdir(parents=True, exist_ok=True)
    found = card_figures(checkpoint, checkpoint / "evaluation")
    return [Path(shutil.copyfile(path, folder / name)) for name, path in found.items()]
