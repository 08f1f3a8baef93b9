"""The Batch tab: many glitches in, the doubtful ones first; a row opens its pictures."""

import dataclasses
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from flax_glitch.app import evidence
from flax_glitch.app.classify import HIDDEN, QUIET, UNEXPECTED
from flax_glitch.app.protect import MAX_BATCH_FILES, MAX_REQUEST
from flax_glitch.app.verdict import LOW_CONFIDENCE, assumed, escape, verdict_of
from flax_glitch.classes import readable
from flax_glitch.data.pictures import PictureError
from flax_glitch.notes import LOG
from flax_glitch.predict.predictor import Predictor
from flax_glitch.predict.verdicts import (
    UNLIKE,
    Failure,
    Prediction,
    as_objects,
    percent,
    render,
    window_name,
)

COLUMNS = {
    "No.": ("number", "60px"),
    "Verdict": ("str", "150px"),
    "Confidence": ("str", "105px"),
    "Note": ("str", "170px"),
    "Next": ("str", "190px"),
    "Glitch": ("str", "180px"),
    "Windows (s)": ("str", "120px"),
}
"""Type and width of each column of the table."""

ALL, UNSURE = "All", "unsure"

Result = Prediction | Failure


def add(predictor: Predictor, prior: gr.Dropdown) -> None:
    """Adds the parts of the tab to the page that is being built; the prior is the page's."""
    files = gr.File(
        label=f"Pictures of glitches (at most {MAX_BATCH_FILES}, 10 MB each)",
        file_count="multiple",
        height=200,
        elem_classes="many",
    )
    gr.HTML(
        f'<p class="refused" role="alert" data-most="{MAX_BATCH_FILES}" data-room="{MAX_REQUEST}">'
        "</p>"
    )
    gr.Markdown(
        "Windows of one glitch are recognised by their names "
        "(`H1_<id>_spectrogram_0.5.png`, `…_1.0.png`, …) and get one verdict together."
    )
    with gr.Row():
        start = gr.Button("Classify all", variant="primary")
        cancel = gr.Button("Cancel", visible=False)
    summary = gr.Markdown(label="Summary", elem_classes="summary")
    results = gr.State([])
    shown = gr.Radio([ALL], value=ALL, label="Show", visible=False)
    table = gr.Dataframe(
        headers=list(COLUMNS),
        datatype=[kind for kind, _ in COLUMNS.values()],
        label="Glitches, the doubtful first; click a row to see its pictures",
        interactive=False,
        wrap=True,
        column_widths=[width for _, width in COLUMNS.values()],
        elem_classes="results",
        max_height=420,
        visible=False,
    )
    opened = [gr.HTML(label=part) for part in ("Verdict", "The windows", "What it resembles")]
    with gr.Accordion("Failed", open=False, visible=False) as failed:
        reasons = gr.HTML(label="Failed")
    with gr.Row():
        csv_file = gr.DownloadButton("Download CSV", size="md", visible=False)
        json_file = gr.DownloadButton("Download JSON", size="md", visible=False)

    def run(paths: list[str] | None, prior: str | None) -> Iterator[tuple[Any, ...]]:
        if refusal := refusal_of(paths or []):
            yield refusal, [], *[HIDDEN] * 3
            return
        chosen = predictor.with_prior(prior)
        found: list[Result] = []
        yield "Reading …", found, *[HIDDEN] * 3
        for said in classify(chosen, paths or [], found):
            yield said, found, *[gr.skip()] * 3
        yield finished(chosen, found)

    def stopped(found: list[Result]) -> tuple[Any, ...]:
        return finished(predictor, found, "Cancelled: ")

    def open_row(found: list[Result], row: gr.SelectData) -> tuple[str, str, str]:
        result = found[int(row.row_value[0]) - 1]
        return opened_of(predictor, result) if isinstance(result, Prediction) else ("", "", "")

    outputs = [summary, results, table, csv_file, json_file]
    arranging: dict[str, Any] = {
        "fn": arranged,
        "inputs": results,
        "outputs": [shown, failed, reasons, *opened, cancel],
    }
    start.click(lambda: gr.update(visible=True), None, cancel, **QUIET)
    running = start.click(
        lambda paths, prior: (yield from run(paths, prior)),  # by which Gradio sees that it yields
        [files, prior],
        outputs,
        api_name="batch",
        api_description="Classifies pictures of many glitches: a summary, a table, CSV and JSON.",
        show_progress="minimal",
        show_progress_on=summary,
    )
    running.then(**arranging, **QUIET)
    cancel.click(stopped, results, outputs, cancels=[running], **QUIET).then(**arranging, **QUIET)
    shown.input(table_of, [results, shown], table, **QUIET)
    table.select(open_row, results, opened, api_visibility="private", show_progress_on=opened[0])


def refusal_of(paths: Sequence[str]) -> str:
    """Returns the sentence that says why these files can't be classified, empty if they can."""
    if not paths:
        return "**Choose some pictures first.**"
    if len(paths) > MAX_BATCH_FILES:
        return f"**{len(paths)} pictures are too many at once: choose at most {MAX_BATCH_FILES}.**"
    return ""


def classify(predictor: Predictor, paths: Sequence[str], results: list[Result]) -> Iterator[str]:
    """Adds the results to a list as they come, and yields how far it is."""
    began, done = time.monotonic(), 0
    for result in _tried(predictor, paths):
        results.append(result)
        done += 1 if isinstance(result, Failure) else len(result.inputs)
        left = (time.monotonic() - began) / done * (len(paths) - done)
        yield f"{done} of {_count(len(paths), 'picture')}; {_duration(left)} left"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {round(seconds / 60)} minutes"


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


def finished(
    predictor: Predictor, results: Sequence[Result], before: str = ""
) -> tuple[str, list[Result], Any, Any, Any]:
    """Returns summary, results in the order of the table, table, and the files to download."""
    if not results:
        return f"{before}nothing was classified.", [], *[HIDDEN] * 3
    ordered = sorted(results, key=_doubt)
    csv_file, json_file = write([_under_file_names(result) for result in ordered], predictor)
    prior = next((one.prior for one in ordered if isinstance(one, Prediction)), "")
    said = f"{before}{summarise(ordered)}" + f" {assumed(prior)}." * bool(prior)
    files = [gr.DownloadButton(value=file, visible=True) for file in (csv_file, json_file)]
    return said, ordered, gr.Dataframe(value=table_of(ordered), visible=True), *files


def _doubt(result: Result) -> tuple[bool, bool, float]:
    """Sorts what wants looking at first: unlike anything, then the less sure; failures last."""
    if isinstance(result, Failure):
        return True, True, 0.0
    return False, not result.unlike, result.confidence


def arranged(results: Sequence[Result]) -> tuple[Any, ...]:
    """Returns filters with their counts, what failed and why, nothing opened and no cancel."""
    verdicts = [result for result in results if isinstance(result, Prediction)]
    failures = [result for result in results if isinstance(result, Failure)]
    counts = Counter(kind for result in verdicts for kind in _kinds(result))
    first = [kind for kind in (ALL, UNSURE, UNLIKE) if counts[kind]]
    order = dict.fromkeys([*first, *(kind for kind, _ in counts.most_common())])
    choices = [(f"{readable(kind)} ({counts[kind]})", kind) for kind in order]
    reasons = "".join(
        f"<li>{escape(Path(one.input).name)}: {escape(one.error)}</li>" for one in failures
    )
    return (
        gr.Radio(choices, value=ALL, visible=bool(verdicts)),
        gr.Accordion(label=f"{len(failures)} failed", open=False, visible=bool(failures)),
        f"<ul>{reasons}</ul>",
        *[""] * 3,
        HIDDEN,
    )


def _kinds(result: Prediction) -> list[str]:
    """What a row can be filtered by."""
    unsure = [UNSURE] * (result.confidence < LOW_CONFIDENCE)
    return [ALL, *unsure, *[UNLIKE] * bool(result.unlike), result.label]


def opened_of(predictor: Predictor, result: Prediction) -> tuple[str, str, str]:
    """Returns a glitch's verdict, its windows and what it resembles as HTML."""
    try:
        found = evidence.Answered.of(predictor, result, [Path(path) for path in result.inputs])
    except PictureError:
        return verdict_of(result), "<p>Its pictures are no longer here: upload them anew.</p>", ""
    return verdict_of(result, table=False), *evidence.shown(predictor, found)


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
    return f"{sentence}; {failed} failed, see below." if failed else f"{sentence}."


def _count(number: int, noun: str, ending: str = "s") -> str:
    return f"{number} {noun}{'' if number == 1 else ending}"


def table_of(results: Sequence[Result], kind: str = ALL) -> list[list[Any]]:
    """Returns the rows of the table that people see, one a glitch of that kind."""
    return [
        _row(number, result)
        for number, result in enumerate(results, 1)
        if isinstance(result, Prediction) and kind in _kinds(result)
    ]


def _row(number: int, result: Prediction) -> list[Any]:
    notes = [kind for kind in _kinds(result) if kind in (UNSURE, UNLIKE)]
    return [
        number,
        readable(result.label),
        percent(result.confidence),
        ", ".join(notes),
        "".join(f"{readable(name)} {percent(p)}" for name, p in result.top(2)[1:]),
        result.gravityspy_id or Path(result.inputs[0]).name,
        ", ".join(map(window_name, result.durations)),
    ]


def write(results: Sequence[Result], predictor: Predictor) -> tuple[str, str]:
    """Writes the results as CSV and as JSON and returns the two paths."""
    folder = Path(tempfile.mkdtemp(dir=get_upload_folder()))
    csv_file, json_file = folder / "flax_glitch.csv", folder / "flax_glitch.json"
    rows = render(results, "csv", predictor.identity, predictor.classes)
    csv_file.write_text("".join(rows), encoding="utf-8")
    objects = [item for result in results for item in as_objects(result, predictor.identity)]
    json_file.write_text(json.dumps(objects, indent=1), encoding="utf-8")
    return str(csv_file), str(json_file)
