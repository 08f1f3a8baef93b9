"""The page as a whole, and the server that shows it."""

import io
import os
import signal
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import redirect_stdout
from pathlib import Path

import gradio as gr
import numpy as np
from gradio import networking
from gradio.utils import get_upload_folder
from starlette.middleware import Middleware

from flax_glitch.app import batch, card, classify, examples, guide, protect, strain
from flax_glitch.arrays import Picture
from flax_glitch.checkpoint import find_checkpoint
from flax_glitch.config import keep_compiled
from flax_glitch.predict.predictor import Predictor

TITLE = "flax_glitch"

HEADING = """# flax_glitch
What made that noise? A classifier of the short noises (*glitches*) in LIGO's gravitational-wave
detectors: give it a Gravity Spy spectrogram, or strain, and it names one of {kinds} kinds."""

CSS = """
.gradio-container { width: 100%; max-width: 1120px !important; margin: 0 auto !important; }
.verdict { padding: 16px 20px; border-radius: 10px; background: var(--background-fill-secondary);
  border-left: 6px solid var(--color-accent); }
.verdict.failed { border-left-color: #c2410c; }
.verdict h2 { font-size: 2.2rem; line-height: 1.15; margin: 0; }
.verdict p { margin: 6px 0 0; font-size: 1rem; }
.verdict .confidence { font-size: 1.25rem; font-weight: 600; }
.verdict .note { padding-top: 6px; border-top: 1px solid var(--border-color-primary); }
.bars, .guide { list-style: none; margin: 0; padding: 0; }
.bars li { display: grid; grid-template-columns: 9.5em 1fr 4em; gap: 10px; align-items: center;
  padding: 3px 0; }
.bars .bar { height: 12px; border-radius: 6px; background: var(--background-fill-secondary); }
.bars .bar i { display: block; height: 100%; min-width: 2px; border-radius: 6px;
  background: var(--color-accent); }
.bars .value { text-align: right; font-variant-numeric: tabular-nums; }
.each { width: 100%; margin-top: 14px; font-variant-numeric: tabular-nums; }
.each caption { text-align: left; font-weight: 600; }
table.each :is(th, td) { padding: 3px 0; text-align: left; font-weight: 400; }
table.each :is(th, td):last-child { text-align: right; }
table.each, table.each :is(thead, tr, th, td) { border: 0; }
table.each :is(th, td) { border-bottom: 1px solid var(--border-color-primary); }
.card :is(table, tr, th, td) { border-color: var(--border-color-primary) !important; }
.card thead:not(:has(th:not(:empty))) { display: none; }
.figure:not(.fullscreen) img { max-height: 720px; }
.guide { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 14px; }
.guide li { display: grid; grid-template-columns: 110px 1fr; gap: 14px; align-items: center; }
.guide li:not(:has(img)) { grid-template-columns: 1fr; }
.guide img { border-radius: 6px; }
.guide h3 { margin: 0 0 2px; font-size: 1rem; }
.guide p { margin: 0; font-size: 0.9rem; }
.examples .grid-wrap, .results .grid-wrap { min-height: 0; max-height: 640px; }
.examples .grid-container { grid-template-columns: repeat(auto-fill, minmax(100px, 1fr)); }
.results .grid-container { grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); }
.examples .caption-label { font-size: 0.75rem; max-width: 100%; padding: 2px 6px; }
.results .body-cell, .results th { font-family: var(--font) !important; }
.presets { display: grid; grid-template-columns: 1fr 1fr; }
.windows .grid-wrap { min-height: 0; max-height: none; }
.windows .grid-container { grid-template-columns: repeat(auto-fill, minmax(min(100%, 25em), 1fr)); }
.windows .thumbnail-lg { aspect-ratio: auto; }
.windows .thumbnail-lg > img { height: auto; aspect-ratio: 4 / 3; }
.windows .caption-label { position: static; max-width: none; border: 0; text-align: center; }
.seen img { width: 224px !important; height: 224px !important; object-fit: contain !important;
  image-rendering: pixelated; }
@media (max-width: 640px) {
  .tab-container button { padding: 0 8px !important; }
  .examples .grid-container { grid-template-columns: repeat(4, minmax(0, 1fr)); }
  .examples .caption-label { font-size: 0.6rem; }
  .bars li { grid-template-columns: 8.5em 1fr 3.5em; }
}
"""


def build(predictor: Predictor, pictures: Callable[[], Mapping[str, Picture]]) -> gr.Blocks:
    """Returns the page on this model.

    Args:
        predictor: the model.
        pictures: gives a picture of each class that can be simulated, for which an open page waits:
            to simulate them the first time takes longer than the app may take to start.
    """

    def files() -> list[tuple[Path, str]]:
        # Asked for anew each time: what is old is swept away.
        return examples.files(pictures(), Path(get_upload_folder()) / "examples")

    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        gr.Markdown(HEADING.format(kinds=len(predictor.classes)))
        with gr.Tab("Classify"):
            gallery = classify.add(predictor, files)
        with gr.Tab("Batch"):
            batch.add(predictor)
        with gr.Tab("Strain") as tab:
            strain.add(predictor, tab)
        with gr.Tab("Guide"):
            classes = guide.add(predictor.classes)
        with gr.Tab("Model"):
            card.add(predictor)
        gr.Markdown(
            f"Model **{predictor.name}** ({predictor.sha256[:12]}). {predictor.trained_on}",
            elem_classes="footer",
        )
        page.load(
            lambda: (files(), guide.classes_of(predictor.classes, pictures())),
            None,
            [gallery, classes],
            api_visibility="private",
        )
    page.queue(max_size=64, default_concurrency_limit=1, api_open=False)
    return page


def theme() -> gr.themes.Base:
    """Returns the colours and system fonts (Gradio's own come from the network)."""
    return gr.themes.Default(
        primary_hue=gr.themes.colors.teal,
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(
        color_accent="*primary_700",
        slider_color="*primary_700",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
    )


def launch(
    page: gr.Blocks,
    host: str = "127.0.0.1",
    port: int | None = None,
    accounts: Sequence[tuple[str, str]] = (),
) -> str:
    """Serves the page in the background and returns its local address."""
    protect.fetch_nothing()
    _, address, _ = page.launch(
        server_name=host,
        server_port=port,
        auth=list(accounts) or None,
        theme=theme(),
        css=CSS,
        max_file_size=protect.MAX_UPLOAD,
        app_kwargs={"middleware": [Middleware(protect.LocalOnly)]},
        state_session_capacity=100,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        share=False,
        inbrowser=False,
        inline=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        quiet=True,
        prevent_thread_lock=True,
    )
    return address


def run(
    checkpoint: Path | None,
    host: str,
    port: int | None,
    accounts: Sequence[tuple[str, str]],
    share: bool,
    browser: bool,
) -> None:
    """Opens the app and serves it until it is interrupted.

    Args:
        checkpoint: folder of a model; None: the one that comes with the project.
        host: address to listen at.
        port: port to listen at; None: 7860 or the next that is free.
        accounts: names and passwords of those who may come in; none: everybody.
        share: ask for a public link as well.
        browser: open the page in the browser, on a desktop.

    Raises:
        CheckpointError: if there is no model, or it is no good.
    """
    keep_compiled()
    predictor = _load(checkpoint)
    folder = Path(get_upload_folder())
    pictures: Future[Mapping[str, Picture]] = Future()
    page = build(predictor, pictures.result)
    protect.start_sweeping(folder)
    address = launch(page, host, port, accounts)
    _say(f"flax_glitch is at {address} (Ctrl-C ends it)")
    _notices(page, host, port, share, bool(accounts))
    if browser and _is_desktop():
        webbrowser.open(address)
    try:
        pictures.set_result(examples.pictures(predictor.classes, folder))
        while page.is_running:
            time.sleep(0.5)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _say("\nEnding …")
    page.close(verbose=False)
    strain.finish()


def _load(checkpoint: Path | None) -> Predictor:
    """Returns the predictor, which has compiled what the first visitor would wait for."""
    place = find_checkpoint(checkpoint)
    _say(f"Loading {place} …")
    predictor = Predictor.from_checkpoint(place)
    predictor.predict(np.zeros((478, 568, 3), np.uint8))
    return predictor


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _notices(page: gr.Blocks, host: str, port: int | None, share: bool, accounts: bool) -> None:
    if port is None and page.server_port != 7860:
        _say(f"Port 7860 is taken: using {page.server_port}.")
    if host not in ("127.0.0.1", "localhost", "::1") and not accounts:
        _say("Everybody who can reach this machine can use the app; --auth-file asks for a name.")
    if share:
        threading.Thread(target=_share, args=(page,), daemon=True).start()


def _share(page: gr.Blocks) -> None:
    """Asks Gradio's service for a public link, at its leisure: the app runs locally meanwhile.

    Not by `launch(share=True)`, whose page loads scripts from elsewhere.
    """
    try:
        with redirect_stdout(io.StringIO()):
            link = networking.setup_tunnel(
                page.server_name, page.server_port, page.share_token, None, None
            )
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        _say(f"No public link ({reason.rstrip('.')}): offline? The app goes on locally.")
    else:
        _say(f"Public link, for everybody who knows it: {link}")


def _is_desktop() -> bool:
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
