"""The Strain tab: an event's strain in, the pictures that Gravity Spy draws of it and a verdict."""

import json
import tempfile
import threading
import zipfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import gradio as gr
import numpy as np
from gradio.utils import get_upload_folder

from flax_glitch.app.classify import (
    HIDDEN,
    QUIET,
    Answered,
    add_gallery,
    add_json,
    add_verdict,
    explained,
)
from flax_glitch.app.protect import MAX_UPLOAD
from flax_glitch.app.verdict import bars_of, hint, verdict_of
from flax_glitch.classes import readable
from flax_glitch.config import CACHE
from flax_glitch.events.find import find
from flax_glitch.events.question import Question
from flax_glitch.events.scans import picture_paths, write_scans
from flax_glitch.notes import LOG
from flax_glitch.predict.predictor import Failure, Predictor
from flax_glitch.predict.verdicts import Prediction, as_objects, percent
from flax_glitch.strain.files import LENGTHS, Strain, StrainError
from flax_glitch.strain.gwosc import PRESETS, Preset
from flax_glitch.strain.gwosc import SAMPLE_RATE as PUBLIC_RATE
from flax_glitch.strain.picture import SITES, Scan, scan
from flax_glitch.strain.remote import OfflineError
from flax_glitch.times import to_utc

INVITATION = hint(
    "Click an event, or give a time and a detector. Strain comes from gwosc.org unless you give a "
    "file."
)

OFFLINE = (
    "gwosc.org can't be reached: are you offline? GW150914 comes with the package and works all "
    "the same; for another time give the strain file, or try again later"
)

DOES = (
    "Classifies a glitch in strain, by an event's name, GPS or UTC time. Answers the verdict as "
    "JSON and as HTML, four pictures, a zip of them, the JSON as a file, and time, loudness and "
    "peak frequency as HTML."
)

UNEXPECTED = "Something went wrong: try another time or file"

SELF_DESCRIBED = (".hdf5", ".h5", ".hdf", ".gwf")
"""Suffixes of files that say when they begin and how often they were sampled."""

TOLD = ("start", "sample rate", "detector", "channel")
"""What a file may not tell, or tell of several."""

CURES = {
    **{f"give {what}": f"; give its {what}" for what in TOLD},
    **{f"correct {what}": f"; correct its {what} or leave it out" for what in TOLD},
    "strain": ", or give the strain file",
}
"""What the page says of each cure that an error may have."""

_computing = threading.Lock()  # Who comes while the transform is compiled waits for that.
_ending = threading.Event()

Progress = Callable[..., Any]


class Answer(NamedTuple):
    """The verdict and its numbers as HTML, the verdict as JSON, the files of pictures and JSON."""

    verdict: str
    numbers: str
    found: dict[str, Any]
    answered: Answered
    pictures: list[Path]
    archive: Path
    text: Path


def add(predictor: Predictor, prior: gr.Dropdown, tab: gr.Tab) -> None:
    """Adds the parts of the tab to the page that is being built; the prior is the page's."""
    with gr.Row(equal_height=False):
        with gr.Column(min_width=320):
            presets, start, fields = _add_question()
        with gr.Column(min_width=320, scale=2):
            windows = add_gallery(
                "The four windows", "windows", object_fit="contain", visible=False
            )
            numbers = gr.HTML(label="Numbers")
            verdict, bars, top_k = add_verdict(INVITATION, predictor)
            answer = add_json(top_k, bars)
            with gr.Row():
                archive = gr.DownloadButton("Download pictures", size="md", visible=False)
                text = gr.DownloadButton("Download JSON", size="md", visible=False)
                report = gr.DownloadButton("Download a report", size="md", visible=False)
    figures = gr.HTML(label="Where the network looked")
    alike = gr.HTML(label="What it resembles")
    answered = gr.State()

    def ask(
        when: str | None,
        detector: str | None,
        file: str | None,
        start: str | None,
        sample_rate: float | int | None,
        channel: str | None,
        prior: str | None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[Any, ...]:
        question = question_of(when, detector, file, start, sample_rate, channel)
        return _shown(answer_of(predictor.with_prior(prior), question, progress))

    asking: dict[str, Any] = {
        "fn": ask,
        "inputs": [*fields, prior],
        "outputs": [answer, verdict, windows, archive, text, numbers, answered],
        "show_progress_on": verdict,
    }
    bars_shown: dict[str, Any] = {"fn": bars_of, "inputs": [answer, top_k], "outputs": bars}
    explain = partial(explained, predictor), answered, [figures, alike, report]
    begun = [start.click, fields[0].submit]
    asked = gr.on(begun, **asking, api_name="strain", api_description=DOES)
    asked.then(**bars_shown, **QUIET).then(*explain, **QUIET)
    for button, preset in zip(presets, PRESETS, strict=True):
        filled = button.click(partial(_fill, preset), None, fields, api_visibility="private")
        asked = filled.then(**asking, api_visibility="private")
        asked.then(**bars_shown, **QUIET).then(*explain, **QUIET)
    tab.select(partial(warm_up, predictor), **QUIET)


def _add_question() -> tuple[list[gr.Button], gr.Button, list[Any]]:
    """The events to click on, the button to start, the fields in a question's order."""
    gr.Markdown("## Click an event", elem_classes="step")
    with gr.Row(elem_classes="presets"):
        names = [f"{preset.name}, {preset.detector}" for preset in PRESETS]
        presets = [gr.Button(name, size="sm", min_width=150) for name in names]
    gr.Markdown("## Or choose one", elem_classes="step")
    with gr.Row():
        when = gr.Textbox(
            label="Event, GPS time or UTC",
            placeholder="GW150914, 1126259462.4 or 2015-09-14 09:50:45.4",
            max_length=40,
            min_width=200,
        )
        sites = [(f"{name}, {site}", name) for name, site in SITES.items()]
        detectors = [("As the file says", ""), *sites]
        detector = gr.Dropdown(detectors, value="H1", label="Detector", min_width=200)
    file = _add_file(detector)
    start = gr.Button("Classify", variant="primary")
    return presets, start, [when, detector, *file]


def _add_file(detector: gr.Dropdown) -> tuple[gr.File, gr.Textbox, gr.Number, gr.Textbox]:
    """The file, and its start and sample rate or channel, as far as they are asked for."""
    file = gr.File(
        label=f"Strain file, if you have one (HDF5 of GWOSC, .npy, .csv; at most {MAX_UPLOAD})",
        height=150,
    )
    with gr.Row():
        start = gr.Textbox(label="Start of the file (GPS seconds or UTC)", visible=False)
        rate = gr.Number(label="Sample rate (Hz)", value=None, visible=False)
    channel = gr.Textbox(
        label="Channel, if the file has several", value="", max_length=200, visible=False
    )
    gr.on([file.upload, file.clear], _describe, file, [detector, start, rate, channel], **QUIET)
    return file, start, rate, channel


def _fill(preset: Preset) -> tuple[Any, ...]:
    """The fields of an event to click on."""
    when = preset.event if preset.name == preset.event else str(preset.gps)
    return when, preset.detector, None, *_describe(None)[1:]


def _describe(path: str | None) -> tuple[Any, Any, Any, Any]:
    """Detector, start, sample rate and channel, as they are after a file has come or gone."""
    told = path is not None and Path(path).suffix.lower() in SELF_DESCRIBED
    asked = bool(path) and not told
    numbers = gr.Textbox(value="", visible=asked), gr.Number(value=None, visible=asked)
    return "" if path else "H1", *numbers, gr.Textbox(value="", visible=told)


def question_of(
    when: str | None,
    detector: str | None,
    path: str | None = None,
    start: float | int | str | None = None,
    sample_rate: float | int | None = None,
    channel: str | None = "",
) -> Question:
    """Returns what is asked by an event's name or time, a detector, and a file, if any."""
    when = (when or "").strip()
    by_name = when[:1].isalpha() and when.lower() not in ("nan", "inf", "infinity")
    return Question(
        event=when if by_name else None,
        gps=None if by_name else when or None,
        detector=detector or None,
        strain=path,
        channel=(channel or "").strip() or None,
        gps_start=None if start is None else str(start).strip() or None,
        sample_rate=None if sample_rate is None else float(sample_rate),
        cache=CACHE,
    )


def answer_of(predictor: Predictor, question: Question, progress: Progress) -> Answer | Failure:
    """Returns the verdict on an event with its files, or the sentence that says why not."""
    path = question.strain
    try:
        return _answer(predictor, question, progress)
    except OfflineError:
        said = OFFLINE
    except StrainError as error:
        said = error.worded(CURES)
    except Exception:
        LOG.exception("%s: no answer", question)
        said = UNEXPECTED
    return Failure("", said.replace(path, Path(path).name) if path else said)


def _answer(predictor: Predictor, question: Question, progress: Progress) -> Answer:
    if question.gps is None and not question.event:
        raise StrainError("Give the event's name or its time")
    if not (question.strain or question.detector):
        raise StrainError("Choose a detector, or give a file that tells")
    source = "Reading the file" if question.strain else "Fetching strain from gwosc.org"
    progress(0.1, desc=source)
    events = find(question)
    (trigger,) = events.triggers
    strain = events.read(trigger.detector, trigger.gps)
    progress(0.5, desc="Transforming (half a minute the first time)")
    with _computing:
        made = scan(strain, trigger.gps)
        progress(0.8, desc="Classifying and drawing")
        (verdict,) = predictor.classify_scans([made], [trigger.id])
    found = as_objects(verdict, predictor.identity)[0]
    folder = Path(tempfile.mkdtemp(dir=get_upload_folder()))
    pictures = picture_paths(trigger, folder)
    list(write_scans([(trigger, made)], lambda _: pictures))
    archive = folder / f"{trigger.detector}_{trigger.id}.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for picture in pictures:
            file.write(picture, picture.name)
    text = archive.with_suffix(".json")
    text.write_text(json.dumps(found) + "\n", encoding="utf-8")
    answered = cast(Prediction, verdict), tuple(pictures)
    said = verdict_of(verdict), numbers_of(made), found
    return Answer(*said, answered, pictures, archive, text)


def numbers_of(made: Scan) -> str:
    """Returns time, loudness, peak frequency and Q of a scan as HTML."""
    loudest = made.loudest
    numbers = {
        "Detector": made.detector,
        "GPS": f"{made.gps:.3f}",
        "UTC": to_utc(made.gps),
        "Loudness": f"SNR {loudest.snr:.1f} (normalised energy {loudest.energy:.0f})",
        "Peak frequency": f"{loudest.frequency:.0f} Hz",
        "Loudest at": f"GPS {loudest.gps:.3f}",
        "Q": f"{made.q:.1f}",
    }
    rows = "".join(f"<div><dt>{name}</dt><dd>{text}</dd></div>" for name, text in numbers.items())
    return f'<dl class="numbers">{rows}</dl>'


def _shown(answer: Answer | Failure) -> tuple[Any, ...]:
    """What the parts of the page show: JSON, verdict, windows, downloads, numbers."""
    if isinstance(answer, Failure):
        return None, verdict_of(answer), *[HIDDEN] * 3, "", None
    return (
        answer.found,
        answer.verdict,
        gr.Gallery(captioned(answer), visible=True),
        gr.DownloadButton(value=answer.archive, visible=True),
        gr.DownloadButton(value=answer.text, visible=True),
        answer.numbers,
        answer.answered,
    )


def captioned(answer: Answer) -> list[tuple[Path, str]]:
    """Returns path and caption of each picture: its window, and what it shows by itself."""
    windows = zip(answer.pictures, answer.found["per_view"].items(), strict=True)
    return [
        (path, f"{window} s: {readable(one['class'])}, {percent(one['confidence'])}")
        for path, (window, one) in windows
    ]


@cache
def warm_up(predictor: Predictor) -> None:
    """Compiles what the tab needs, once, before somebody waits for it."""
    noise = np.random.default_rng(0).standard_normal(LENGTHS[0] * PUBLIC_RATE)
    for seconds in LENGTHS[:2]:
        strain = Strain(noise[: seconds * PUBLIC_RATE], 0.0, float(PUBLIC_RATE), "H1")
        with _computing:
            if _ending.is_set():
                return
            list(predictor.classify_scans([scan(strain, seconds / 2)]))


def finish() -> None:
    """Waits for what is being compiled, and lets no more begin: Python must not end within it."""
    _ending.set()  # the lock is not fair: who gave it up may have it again at once
    _computing.acquire()
