"""The Model tab: the card of the model in use, and the figures that lie beside it."""

import shutil
from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder

from flax_glitch.evaluation.report import CARD_FIGURES, card_figures
from flax_glitch.predict.predictor import Predictor

NO_CARD = "This model has no card."


def add(predictor: Predictor) -> None:
    """Adds the parts of the tab to the page that is being built."""
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
