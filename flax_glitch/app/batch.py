"""The Batch tab: many pictures in, a gallery, a table and files to download."""

import dataclasses
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from flax_glitch.app.classify import UNEXPECTED, add_gallery
from flax_glitch.app.protect import MAX_BATCH_FILES
from flax_glitch.app.verdict import assumed
from flax_glitch.classes import readable
from flax_glitch.notes import LOG
from flax_glitch.predict.predictor import Predictor
from flax_glitch.predict.verdicts import (
    UNLIKE,
    Failure,
    Prediction,
    as_objects,
    ranked,
    render,
    window_name,
)

COLUMNS = {
    "File": ("str", "200px"),
    "Verdict": ("str", "170px"),
    "Confidence (%)": ("number", "105px"),
    "Window (s)": ("str", "85px"),
    "This window alone": ("str", "160px"),
    "Glitch id": ("str", "120px"),
    "Top 3": ("str", "220px"),
}
"""Type and width of each column of the table."""

Result = Prediction | Failure


def add(predictor: Predictor, prior: gr.Dropdown) -> None:
    """Adds the parts of the tab to the page that is being built; the prior is the page's."""
    files = gr.File(
        label=f"Pictures of glitches (at most {MAX_BATCH_FILES}, 10 MB each)",
        file_count="multiple",
        height=200,
    )
    gr.Markdown(
        "Windows of one glitch are recognised by their names "
        "(`H1_<id>_spectrogram_0.5.png`, `…_1.0.png`, …) and get one verdict together."
    )
    start = gr.Button("Classify all", variant="primary")
    summary = gr.Markdown(elem_classes="summary")
    with gr.Row():
        csv_button = gr.DownloadButton("Download CSV", size="md", visible=False)
        json_button = gr.DownloadButton("Download JSON", size="md", visible=False)
    table = gr.Dataframe(
        headers=list(COLUMNS),
        datatype=[kind for kind, _ in COLUMNS.values()],
        label="Results",
        interactive=False,
        wrap=True,
        column_widths=[width for _, width in COLUMNS.values()],
        elem_classes="results",
        max_height=420,
        visible=False,
    )
    gallery = add_gallery("Pictures", "results", visible=False)

    def run(
        paths: list[str] | None,
        prior: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[Any, ...]:
        paths = paths or []
        if refusal := refusal_of(paths):
            return refusal, *[gr.update(visible=False)] * 4
        results, captions = classify(predictor.with_prior(prior), paths, progress)
        csv_file, json_file = write(results, predictor)
        return (
            f"{summarise(results)} {assumed(prior)}.",
            gr.Dataframe(value=table_of(results), visible=True),
            gr.Gallery(value=captions, visible=bool(captions)),
            gr.DownloadButton(value=csv_file, visible=True),
            gr.DownloadButton(value=json_file, visible=True),
        )

    start.click(
        run,
        [files, prior],
        [summary, table, gallery, csv_button, json_button],
        api_name="batch",
        show_progress_on=summary,
    )


def refusal_of(paths: Sequence[str]) -> str:
    """Returns the sentence that says why these files can't be classified, empty if they can."""
    if not paths:
        return "**Choose some pictures first.**"
    if len(paths) > MAX_BATCH_FILES:
        return f"**{len(paths)} pictures are too many at once: choose at most {MAX_BATCH_FILES}.**"
    return ""


def classify(
    predictor: Predictor, paths: Sequence[str], progress: Callable[..., Any]
) -> tuple[list[Result], list[tuple[str, str]]]:
    """Returns the results, failures first, and (path, caption) of each good picture."""
    results: list[Result] = []
    captions = []
    done = 0
    for result in _tried(predictor, paths):
        done += 1 if isinstance(result, Failure) else len(result.inputs)
        progress((done, len(paths)), desc="Classifying", unit="pictures")
        if isinstance(result, Prediction):
            caption = f"{result.confidence:.0%} {readable(result.label)}"
            captions += [(path, caption) for path in result.inputs]
        results.append(_under_file_names(result))
    return sorted(results, key=lambda result: isinstance(result, Prediction)), captions


def _tried(predictor: Predictor, paths: Sequence[str]) -> Iterator[Result]:
    """Yields the results; whatever goes wrong, those that are there already aren't lost."""
    waiting = dict.fromkeys(paths)
    try:
        for result in predictor.classify([Path(path) for path in paths]):
            for path in (result.input,) if isinstance(result, Failure) else result.inputs:
                waiting.pop(path, None)
            yield result
    except Exception:
        LOG.exception("%d pictures: prediction failed", len(waiting))
        yield from (Failure(path, UNEXPECTED) for path in waiting)


def _under_file_names(result: Result) -> Result:
    """Returns a result without the folders that uploads are kept in."""
    if isinstance(result, Failure):
        return Failure(Path(result.input).name, result.error)
    return dataclasses.replace(result, inputs=tuple(Path(path).name for path in result.inputs))


def summarise(results: Sequence[Result]) -> str:
    """Returns one sentence on how many pictures, glitches and failures there are."""
    verdicts = [result for result in results if isinstance(result, Prediction)]
    failed = len(results) - len(verdicts)
    pictures = sum(len(result.inputs) for result in verdicts)
    sentence = f"**{_count(pictures, 'picture')} of {_count(len(verdicts), 'glitch', 'es')}**"
    return f"{sentence}; {failed} failed, at the top of the table." if failed else f"{sentence}."


def _count(number: int, noun: str, ending: str = "s") -> str:
    return f"{number} {noun}{'' if number == 1 else ending}"


def table_of(results: Sequence[Result]) -> list[list[Any]]:
    """Returns the rows of the table that people see, one a picture."""
    return [row for result in results for row in _rows(result)]


def _rows(result: Result) -> list[list[Any]]:
    if isinstance(result, Failure):
        return [[result.input, f"Failed: it {result.error}", None, "", "", "", ""]]
    verdict = [
        readable(result.label) + f", but {UNLIKE}" * bool(result.unlike),
        round(100 * result.confidence, 1),
    ]
    glitch = [result.gravityspy_id or "", _listed(result.top(3))]
    alone = [_listed(ranked(result.names, row)[:1]) for row in result.per_view]
    if len(alone) == 1:
        alone = [""]
    return [
        [name, *verdict, window_name(duration), own, *glitch]
        for name, duration, own in zip(result.inputs, result.durations, alone, strict=True)
    ]


def _listed(classes: Sequence[tuple[str, float]]) -> str:
    return ", ".join(f"{readable(name)} {p:.0%}" for name, p in classes)


def write(results: Sequence[Result], predictor: Predictor) -> tuple[str, str]:
    """Writes the results as CSV and as JSON and returns the two paths."""
    folder = Path(tempfile.mkdtemp(dir=get_upload_folder()))
    csv_file, json_file = folder / "flax_glitch.csv", folder / "flax_glitch.json"
    rows = render(results, "csv", predictor.identity, predictor.classes)
    csv_file.write_text("".join(rows), encoding="utf-8")
    objects = [item for result in results for item in as_objects(result, predictor.identity)]
    json_file.write_text(json.dumps(objects, indent=1), encoding="utf-8")
    return str(csv_file), str(json_file)
