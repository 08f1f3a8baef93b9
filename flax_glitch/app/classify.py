"""The Classify tab: the pictures of one glitch in, a verdict to read and what speaks for it."""

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from gradio.utils import get_upload_folder

from flax_glitch.app import evidence, feedback
from flax_glitch.app.report import report_html
from flax_glitch.app.verdict import FREQUENT, bars_of, escape, hint, verdict_of
from flax_glitch.classes import CLASSES, DURATIONS, readable
from flax_glitch.data.layouts import parse_name
from flax_glitch.notes import LOG
from flax_glitch.predict.predictor import Predictor
from flax_glitch.predict.prior import names_for
from flax_glitch.predict.verdicts import Failure, Prediction, as_objects

UNEXPECTED = "can't be classified: something went wrong; try another, or save it anew as PNG"

SCROLL = """watch('value', () => {
  const top = element.getBoundingClientRect().top;
  if (element.querySelector('h2, [role=alert]') && (top < 0 || top > innerHeight / 2))
    element.scrollIntoView();
});"""
"""On a phone the verdict is far below what was tapped."""

WAIT = '<p class="hint">Looking for what speaks for it …</p>'

HIDDEN = gr.update(visible=False)

ONE_BY_ONE = "classify"
"""Verdicts and evidence wait for each other, so that none is put under another's pictures."""

QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


CLASSIFY_GLITCH = {
    "api_name": "classify_glitch",
    "api_description": "Classifies the one to four windows of a glitch, as pictures, together.",
}

Answered = tuple[Prediction, tuple[Path, ...]]
"""A verdict and the files of its pictures, in the order of its windows."""


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
    predictor: Predictor,
    prior: gr.Dropdown,
    examples: Callable[[], list[tuple[Path, str]]],
    kept_in: Path | None = None,
) -> gr.Gallery:
    """Adds the tab to the page that is being built, and returns its empty gallery of examples.

    The prior is the page's; `examples` gives path and caption of the gallery's pictures, when one
    is clicked on. Disagreements are kept in a folder, if one is given.
    """
    with gr.Row(equal_height=False):
        with gr.Column(min_width=320):
            drop, held, another, clear, gallery = _add_question(_has_examples(predictor))
        with gr.Column(min_width=320):
            verdict, bars, top_k = add_verdict(_invitation(predictor), predictor)
    figures = gr.HTML(label="The windows")
    alike = gr.HTML(label="What it resembles")
    report = gr.DownloadButton("Download a report", size="md", visible=False)
    answered = gr.State()
    with gr.Column(visible=False) as doubt:
        if kept_in:
            _add_feedback(predictor, answered, verdict, kept_in)
    answer = add_json(top_k, bars)

    def ask(paths: list[str] | None, prior: str) -> tuple[Any, ...]:
        found, *shown = judge(predictor.with_prior(prior), paths or [])
        fresh, judged = gr.update(visible=bool(paths)), gr.update(visible=found is not None)
        return *shown, found, fresh, fresh, judged, WAIT if found else "", HIDDEN

    asking: dict[str, Any] = {
        "fn": ask,
        "inputs": [held, prior],
        "outputs": [answer, verdict, figures, answered, another, clear, doubt, alike, report],
        "show_progress_on": verdict,
        "concurrency_id": ONE_BY_ONE,
    }

    def chosen(event: gr.SelectData) -> list[str]:
        path, _ = examples()[event.index]
        return [str(path)]

    given = [
        drop.upload(taken, [drop, held, another], [drop, held], **QUIET).then,
        gallery.select(chosen, None, held, **QUIET).then,
        clear.click(lambda: (None, False), None, [held, another], **QUIET).then,
        prior.input,
    ]
    for number, then in enumerate(given):
        name = {"api_visibility": "private"} if number else CLASSIFY_GLITCH
        judged = then(**asking, **name).then(bars_of, [answer, top_k], bars, **QUIET)
        shown = partial(explained, predictor)
        judged.then(shown, answered, [figures, alike, report], concurrency_id=ONE_BY_ONE, **QUIET)
    _add_single(predictor, prior, [answer, verdict])
    return gallery


def _has_examples(predictor: Predictor) -> bool:
    return any(name in CLASSES for name in predictor.classes)


def _invitation(predictor: Predictor) -> str:
    or_example = ", or click an example" * _has_examples(predictor)
    return hint(
        "Give the pictures of a glitch, one to four windows of it (0.5 to 4 s long): drop, paste "
        f"(Ctrl+V) or upload files{or_example}."
    )


def _add_question(
    with_examples: bool,
) -> tuple[gr.File, gr.File, gr.Checkbox, gr.Button, gr.Gallery]:
    """Where pictures are dropped, those of the glitch, what to do with more, and the examples."""
    drop = gr.File(
        label="One to four windows of a glitch",
        file_count="multiple",
        height=160,
        elem_classes="drop",
    )
    held = gr.File(label="Pictures of one glitch", file_count="multiple", visible=False)
    for files in (drop, held):
        # Gradio's own way leaves an empty file behind for each.
        files.preprocess = lambda uploads: [one.path for one in uploads] if uploads else None
    with gr.Row():
        another = gr.Checkbox(
            label="The next picture is another window of this glitch", visible=False, min_width=200
        )
        clear = gr.Button("Start anew", size="sm", visible=False, min_width=100)
    gr.Markdown("## Or click an example", elem_classes="or", visible=with_examples)
    gallery = add_gallery(
        "Examples", "examples", object_fit="cover", allow_preview=False, visible=with_examples
    )
    return drop, held, another, clear, gallery


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
    verdict = gr.HTML(invitation, label="Verdict", js_on_load=SCROLL)
    bars = gr.HTML(label="Most likely classes")
    most = len(predictor.classes)
    return verdict, bars, gr.Slider(1, most, value=min(5, most), step=1, label="Classes shown")


def add_json(top_k: gr.Slider, bars: gr.HTML) -> gr.JSON:
    """Adds the answer as JSON, of which the slider shows more or fewer bars."""
    with gr.Accordion("Answer as JSON", open=False):
        answer = gr.JSON(label="Answer as JSON", show_label=False)
    top_k.input(
        bars_of,
        [answer, top_k],
        bars,
        api_visibility="private",
        show_progress="hidden",
        trigger_mode="always_last",
    )
    return answer


def _add_feedback(predictor: Predictor, answered: gr.State, verdict: gr.HTML, folder: Path) -> None:
    with gr.Accordion("I disagree", open=False):
        label = gr.Dropdown(
            [(readable(name), name) for name in predictor.classes], value=None, label="It is"
        )
        note = gr.Textbox(label="Why, if you like", max_length=500)
        button = gr.Button("Keep", size="md")
        place = (
            f"Pictures are kept on this machine alone, for `flax-glitch train --source {folder}`."
        )
        said = gr.Markdown(place)

    def keep(answered: Answered | None, label: str | None, note: str) -> str:
        if not (answered and label):
            return "**Choose what it is first.**"
        try:
            table = feedback.save(folder, *answered, label, note, predictor.sha256)
        except (OSError, ValueError) as error:
            return f"**Not kept: {escape(str(error))}**"
        return f"Kept in {table}."

    button.click(keep, [answered, label, note], said, **QUIET)
    verdict.change(lambda: (None, "", place), None, [label, note, said], **QUIET)


def _add_single(predictor: Predictor, prior: gr.Dropdown, outputs: list[Any]) -> None:
    """Adds what programs ask of one picture: its answer, and what the network saw."""
    picture = gr.Image(label="Picture of a glitch", type="filepath", image_mode=None, visible=False)
    # Gradio's own way opens the file, and fails on a bad one before our loader can say why.
    picture.preprocess = lambda upload: upload.path if upload else None
    seen = gr.Image(label="What the network saw", format="png", visible=False)
    picture.change(
        lambda path, prior: classify(predictor.with_prior(prior), path),
        [picture, prior],
        [*outputs, seen],
        api_name="classify",
        api_description="Classifies one picture: its verdict, and what the network saw of it.",
        concurrency_id=ONE_BY_ONE,
    )


def taken(new: Sequence[str], held: Sequence[str] | None, another: bool) -> tuple[None, list[str]]:
    """Returns an empty place for more, and the pictures of the glitch.

    Those that come are a new glitch's, unless they are said to be of the one that is there, or are
    so by their names.
    """
    glitches = _glitches([*(held or ()), *new])
    same = len(glitches) == 1 and None not in glitches
    return None, [*held, *new] if held and (another or same) else list(new)


def _glitches(paths: Sequence[str]) -> set[str | None]:
    """The glitches that pictures are of, by their names; None stands for those that don't tell."""
    parsed = [parse_name(Path(path).name) for path in paths]
    return {None if one is None else f"{one[0]} {one[1]}" for one in parsed}


def judge(
    predictor: Predictor, paths: Sequence[str]
) -> tuple[Answered | None, dict[str, Any] | None, str, str]:
    """Returns a glitch's verdict and files, its answer as JSON, as HTML, and its windows as HTML.

    The verdict is None, and there are no windows, if no picture can be classified.
    """
    if not paths:
        return None, None, _invitation(predictor), ""
    failures, answered, figures = _tried(predictor, paths)
    said = "".join(verdict_of(failure) for failure in failures)
    if answered is None:
        return None, as_objects(failures[0], predictor.identity)[0], said, ""
    answer = as_objects(answered[0], predictor.identity)[0]
    if len(paths) > 1:
        failed = [{"input": one.input, "error": one.error} for one in failures]
        answer |= {"inputs": list(answered[0].inputs), "failed": failed}
    return answered, answer, verdict_of(answered[0], table=False) + said, figures


def _tried(
    predictor: Predictor, paths: Sequence[str]
) -> tuple[list[Failure], Answered | None, str]:
    """Returns the pictures that failed, the verdict on the others, and the windows as HTML."""
    if refusal := _refusal(paths):
        return [refusal], None, ""
    try:
        results = list(predictor.classify([Path(path) for path in paths], one_glitch=True))
        failures = [
            Failure(Path(one.input).name, one.error) for one in results if isinstance(one, Failure)
        ]
        for one in results:
            if isinstance(one, Prediction):
                files = tuple(map(Path, one.inputs))
                prediction = dataclasses.replace(one, inputs=tuple(file.name for file in files))
                found = evidence.Answered.of(predictor, prediction, files)
                return failures, (prediction, files), evidence.figures_of(found)
    except Exception:
        LOG.exception("%s: prediction failed", paths)
        failures = [Failure(Path(path).name, UNEXPECTED) for path in paths]
    return failures, None, ""


def _refusal(paths: Sequence[str]) -> Failure | None:
    """Says why pictures can't be one glitch's."""
    if len(paths) > len(DURATIONS):
        cure = "give one to four windows of one glitch, or all of them to Batch"
        return Failure(f"{len(paths)} pictures", f"are too many for a glitch; {cure}")
    told = sorted(name for name in _glitches(paths) if name)
    if len(told) > 1:
        cure = "give those of one, or all of them to Batch"
        return Failure("These pictures", f"are of several glitches ({', '.join(told)}); {cure}")
    return None


def classify(
    predictor: Predictor, path: str | None
) -> tuple[dict[str, Any] | None, str, np.ndarray | None]:
    """Returns the answer for one picture as JSON and as HTML, and what the network saw of it."""
    answered, answer, verdict, _ = judge(predictor, [path] if path else [])
    return answer, verdict, predictor.seen(answered[1][0]) if answered else None


def explained(predictor: Predictor, answered: Answered | None) -> tuple[Any, ...]:
    """Returns the windows with where the network looked, what the glitch resembles, a report."""
    if answered is None:
        return "", "", HIDDEN
    try:
        found = evidence.Answered.of(predictor, *answered)
        figures, alike = evidence.shown(predictor, found)
        folder = Path(tempfile.mkdtemp(dir=get_upload_folder()))
        report = folder / f"flax_glitch_{found.prediction.gravityspy_id or 'report'}.html"
        report.write_text(report_html(predictor, found, figures, alike), encoding="utf-8")
    except Exception:
        LOG.exception("%s: no evidence", answered[0].inputs)
        return gr.skip(), "", HIDDEN
    return figures, alike, gr.DownloadButton(value=report, visible=True)
