"""The Classify tab: one picture in, a verdict to read."""

import html
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from flax_glitch.classes import CLASSES, NONE_OF_THE_ABOVE, morphology, readable
from flax_glitch.config import BALANCED, GRAVITY_SPY
from flax_glitch.notes import LOG
from flax_glitch.predict.predictor import Predictor
from flax_glitch.predict.prior import names_for
from flax_glitch.predict.verdicts import Failure, Prediction, as_objects, ranked

LOW_CONFIDENCE = 0.5
"""Below this the verdict is called uncertain."""

UNEXPECTED = "can't be classified: something went wrong; try another, or save it anew as PNG"

FREQUENT = {
    BALANCED: "equally frequent",
    GRAVITY_SPY: "as frequent as in Gravity Spy's training set",
}
"""How often each class is taken to come, by the name of the prior."""


def prior_choice(predictor: Predictor) -> gr.Dropdown:
    """Returns the choice of how often each class comes, for all tabs, where it isn't shown yet."""
    return gr.Dropdown(
        [(FREQUENT[name], name) for name in names_for(predictor.classes)],
        value=predictor.prior.name,
        label="Classes are taken to be",
        info="A class that comes more often is the likelier one where a picture looks like two.",
        render=False,
    )


def add(
    predictor: Predictor, prior: gr.Dropdown, examples: Callable[[], list[tuple[Path, str]]]
) -> gr.Gallery:
    """Adds the tab to the page that is being built, and returns its empty gallery of examples.

    The prior is the page's; `examples` gives path and caption of the gallery's pictures, when one
    is clicked on.
    """
    with gr.Row(equal_height=False):
        with gr.Column(min_width=320):
            picture, gallery = _add_question(_has_examples(predictor))
        with gr.Column(min_width=320):
            verdict, bars, top_k = add_verdict(_invitation(predictor), predictor)
            with gr.Accordion("What the network saw", open=True):
                seen = gr.Image(
                    show_label=False,
                    interactive=False,
                    buttons=[],
                    format="png",
                    elem_classes="seen",
                    alt_text="The picture cropped and resized, as the network saw it",
                )
            answer = add_json(top_k, bars)

    def chosen(event: gr.SelectData) -> str:
        path, _ = examples()[event.index]
        return str(path)

    gallery.select(chosen, None, picture, api_visibility="private")
    gr.on(
        [picture.change, prior.input],
        lambda path, prior: classify(predictor.with_prior(prior), path),
        [picture, prior],
        [answer, verdict, seen],
        api_name="classify",
        show_progress_on=verdict,
    ).then(bars_of, [answer, top_k], bars, api_visibility="private", show_progress="hidden")
    return gallery


def _has_examples(predictor: Predictor) -> bool:
    return any(name in CLASSES for name in predictor.classes)


def _invitation(predictor: Predictor) -> str:
    or_example = ", or click an example" * _has_examples(predictor)
    return hint(f"Give a picture of a glitch: drop, paste or upload a file{or_example}.")


def hint(text: str) -> str:
    """Returns what stands where the verdict will be."""
    return f'<div class="verdict" role="status"><p class="hint">{text}</p></div>'


def _add_question(with_examples: bool) -> tuple[gr.Image, gr.Gallery]:
    picture = gr.Image(
        label="Picture of a glitch",
        type="filepath",
        image_mode=None,
        sources=["upload", "clipboard"],
        buttons=["fullscreen"],
        height=340,
        alt_text="The picture to classify",
        placeholder="Drop a spectrogram here\nor click to upload (PNG, JPEG, WebP)",
    )
    # Gradio's own way opens the file, and fails on a bad one before our loader can say why.
    picture.preprocess = lambda upload: upload.path if upload else None
    gr.Markdown("## Or click an example", elem_classes="step", visible=with_examples)
    gallery = add_gallery(
        "Examples", "examples", object_fit="cover", allow_preview=False, visible=with_examples
    )
    return picture, gallery


def add_gallery(label: str, kind: str, **settings: Any) -> gr.Gallery:
    """Adds pictures to look at; the kind is the class of their style."""
    return gr.Gallery(
        label=label,
        show_label=False,
        columns=4,
        height="auto",
        interactive=False,
        buttons=[],
        elem_classes=kind,
        **settings,
    )


def add_verdict(invitation: str, predictor: Predictor) -> tuple[gr.HTML, gr.HTML, gr.Slider]:
    """Adds the verdict, the bars and how many of the model's classes they show."""
    verdict = gr.HTML(invitation, label="Verdict")
    bars = gr.HTML(label="Most likely classes")
    most = len(predictor.classes)
    return verdict, bars, gr.Slider(1, most, value=min(5, most), step=1, label="Classes shown")


def add_json(top_k: gr.Slider, bars: gr.HTML) -> gr.JSON:
    """Adds the answer as JSON, of which the slider shows more or fewer bars."""
    with gr.Accordion("Answer as JSON", open=False):
        answer = gr.JSON(show_label=False)
    top_k.input(
        bars_of,
        [answer, top_k],
        bars,
        api_visibility="private",
        show_progress="hidden",
        trigger_mode="always_last",
    )
    return answer


def classify(
    predictor: Predictor, path: str | None
) -> tuple[dict[str, Any] | None, str, np.ndarray | None]:
    """Returns the answer for one picture as JSON and as HTML, and what the network saw of it."""
    if path is None:
        return None, _invitation(predictor), None
    try:
        (result,) = predictor.classify([Path(path)], [Path(path).name])
        seen = None if isinstance(result, Failure) else predictor.seen(Path(path))
    except Exception:
        LOG.exception("%s: prediction failed", path)
        result, seen = Failure(Path(path).name, UNEXPECTED), None
    return as_objects(result, predictor.identity)[0], verdict_of(result), seen


def verdict_of(prediction: Prediction | Failure) -> str:
    """Returns the verdict as HTML: class, confidence, looks, what to beware of, each window's."""
    if isinstance(prediction, Failure):
        sentence = f"{escape(prediction.input)} {escape(prediction.error)}."
        return f'<div class="verdict failed" role="alert"><p>{sentence}</p></div>'
    notes = "".join(f'<p class="note">{note}</p>' for note in _notes(prediction))
    return (
        '<div class="verdict" role="status">'
        f"<h2>{named(prediction.label)}</h2>"
        f'<p class="confidence">{percent(prediction.confidence)} confident</p>'
        f"{_when(prediction)}<p>{assumed(prediction.prior)}.</p>"
        f"{looks_of(prediction.label)}{notes}</div>{windows_of(prediction)}"
    )


def _when(prediction: Prediction) -> str:
    if prediction.gps is None:
        return ""
    return f"<p>{prediction.ifo}, GPS {prediction.gps:.3f}, {prediction.utc}</p>"


def assumed(prior: str) -> str:
    """Returns how often each class is taken to come as HTML, without a full stop."""
    return f"Classes are taken to be {escape(FREQUENT.get(prior, f'as frequent as in {prior}'))}"


def windows_of(prediction: Prediction) -> str:
    """Returns the verdict of each window by itself as HTML, empty if there is but one window."""
    if len(prediction.durations) == 1:
        return ""
    verdicts = [ranked(prediction.names, row)[0] for row in prediction.per_view]
    rows = "".join(
        f'<tr><th scope="row">{_seconds(duration)}</th><td>{named(name)}</td>'
        f"<td>{percent(p)}</td></tr>"
        for duration, (name, p) in zip(prediction.durations, verdicts, strict=True)
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Window", "Verdict", "Confidence"))
    return (
        '<table class="each"><caption>Each window by itself</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _seconds(duration: float | None) -> str:
    return "unknown" if duration is None else f"{duration} s"


def _notes(prediction: Prediction) -> list[str]:
    notes = [f"Strain read from {escape(prediction.channel)}."] if prediction.channel else []
    if prediction.flags:
        notes.append(f"Flagged at this time: {escape(', '.join(prediction.flags))}.")
    none_of_these = prediction.label == NONE_OF_THE_ABOVE
    if none_of_these and prediction.unlike and not prediction.knows_outliers:
        notes.append(
            "Unlike anything in training: no spectrogram that the network has seen has such "
            "colours. Is it one?"
        )
    elif prediction.unlike:
        notes.append(
            "Unlike anything in training: the class that is named may mean nothing. It may be "
            "another kind of glitch, or no spectrogram at all; about one in twenty glitches that "
            "the network should know is called so as well."
        )
    elif none_of_these:
        notes.append(
            "This is an answer, not a failure: the network takes it for a glitch that is none of "
            f"the {len(prediction.names) - 1} other classes."
        )
    if prediction.confidence < LOW_CONFIDENCE:
        second = named(prediction.top(2)[1][0])
        notes.append(
            f"Low confidence: the network is not sure. It may be {second}, or no class it knows."
        )
    if "unknown" in prediction.geometry:
        notes.append(
            "Not a layout of Gravity Spy that we know: the picture was used whole. If it has axes "
            "or a title, crop them away."
        )
    return notes


def bars_of(answer: Mapping[str, Any] | None, count: int | float) -> str:
    """Returns the most likely classes of an answer as HTML, with a bar each."""
    if not answer or "probabilities" not in answer:
        return ""
    best_first = sorted(answer["probabilities"].items(), key=lambda pair: -float(pair[1]))
    rows = "".join(
        f'<li><span class="name">{named(name)}</span>'
        f'<span class="bar" aria-hidden="true"><i style="width:{float(p):.1%}"></i></span>'
        f'<span class="value">{percent(float(p))}</span></li>'
        for name, p in best_first[: int(count)]
    )
    return f'<ol class="bars" aria-label="Most likely classes">{rows}</ol>'


def percent(probability: float) -> str:
    """Returns a probability as people read it; no rounding makes it certain or impossible."""
    if probability > 0.9995:
        return "&gt;99.9%"
    return "&lt;0.1%" if probability < 0.0005 else f"{probability:.1%}"


def looks_of(name: str) -> str:
    """Returns what a class looks like as HTML, empty if that isn't known."""
    line = morphology(name)
    return f"<p>{line}.</p>" if line else ""


def named(name: str) -> str:
    """Returns a class's name as HTML; it may come from anywhere, as the model does."""
    return escape(readable(name))


def escape(text: str) -> str:
    """Returns text made harmless in HTML, and in Gradio's templates (`${…}`, `{{…}}`) too."""
    return html.escape(text).replace("{", "&#123;").replace("$", "&#36;")
