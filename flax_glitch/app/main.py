"""The page as a whole, and the server that shows it."""

import io
import os
import shutil
import signal
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Mapping, Sequence, Set
from concurrent.futures import Future
from contextlib import redirect_stdout
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import gradio as gr
import numpy as np
from gradio import networking
from gradio.utils import get_upload_folder
from starlette.middleware import Middleware

from flax_glitch.app import (
    batch,
    classify,
    evidence,
    examples,
    feedback,
    guide,
    protect,
    strain,
)
from flax_glitch.arrays import Picture
from flax_glitch.checkpoint import find_checkpoint
from flax_glitch.config import keep_compiled
from flax_glitch.notes import LOG
from flax_glitch.predict.predictor import Predictor

TITLE = "flax_glitch"

HEADING = """# flax_glitch
What made that noise? A classifier of the short noises (*glitches*) in LIGO's gravitational-wave
detectors: give it a Gravity Spy spectrogram, or strain, and it names one of {kinds} kinds."""

STYLE = Path(__file__).with_name("style.css")
SCRIPT = Path(__file__).with_name("page.js")

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Where only this machine's people come, who may write on it."""

# With fonts of the system: Gradio's own come from the network.
THEME = gr.themes.Default(
    primary_hue=gr.themes.colors.teal,
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
).set(
    color_accent="*primary_700",
    slider_color="*primary_700",
    body_text_color_subdued="*neutral_600",
    link_text_color_dark="*primary_300",
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_hover_dark="*primary_800",
)


def build(
    predictor: Predictor,
    pictures: Callable[[], Mapping[str, Picture]],
    kept_in: Path | None = None,
) -> gr.Blocks:
    """Returns the page on this model; who disagrees is kept in a folder, if there is one.

    An open page waits for `pictures`, of each class that can be simulated: to simulate them the
    first time takes longer than the app may take to start.
    """

    def files() -> list[tuple[Path, str]]:
        # Asked for anew each time: what is old is swept away.
        return examples.files(pictures(), Path(get_upload_folder()) / "examples")

    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        prior = classify.prior_choice(predictor)
        gr.Markdown(HEADING.format(kinds=len(predictor.classes)))
        with gr.Tab("Classify"):
            gallery = classify.add(predictor, prior, files, kept_in)
        with gr.Tab("Batch"):
            batch.add(predictor, prior)
        with gr.Tab("Strain") as tab:
            strain.add(predictor, prior, tab)
        with gr.Tab("Guide"):
            classes = guide.add_guide(predictor.classes)
        with gr.Tab("Model"):
            guide.add_card(predictor)
        with gr.Accordion("Class frequencies", open=False):
            prior.render()
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
        page.load(None, js=SCRIPT.read_text(encoding="utf-8"))
    page.queue(max_size=64, default_concurrency_limit=1, api_open=False)
    return page


def launch(
    page: gr.Blocks,
    host: str = "127.0.0.1",
    port: int | None = None,
    accounts: Sequence[tuple[str, str]] = (),
    embed: bool = False,
    links: Set[str] = frozenset(),
) -> str:
    """Serves the page in the background and returns its local address.

    `embed` and `links` are as in `protect.Guard`.
    """
    protect.tame_gradio()
    protect.check_arguments(page)
    guard = Middleware(protect.Guard, Path(get_upload_folder()), host, links, embed)
    _, address, _ = page.launch(
        server_name=host,
        server_port=port,
        auth=list(accounts) or None,
        theme=THEME,
        css_paths=STYLE,
        max_file_size=protect.MAX_UPLOAD,
        app_kwargs={"middleware": [guard]},
        state_session_capacity=100,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        share=False,
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
    embed: bool,
) -> None:
    """Opens the app, on a desktop also in the browser, and serves it until it is interrupted.

    A second interrupt ends the process at once.

    Raises:
        CheckpointError: if there is no model, or it is no good.
    """
    keep_compiled()
    place = find_checkpoint(checkpoint)
    predictor = Predictor.from_checkpoint(place)
    LOG.info(f"Making {place} ready …")
    predictor.predict(np.zeros((478, 568, 3), np.uint8))  # compiles it for the first visitor
    folder = Path(get_upload_folder())
    pictures: Future[Mapping[str, Picture]] = Future()
    page = build(predictor, pictures.result, feedback_folder(host, share or embed))
    protect.start_sweeping(folder)
    links: set[str] = set()
    address = launch(page, host, port, accounts, embed, links)
    _say(f"flax_glitch is at {address} (Ctrl-C ends it)")
    _notices(page, host, port, bool(accounts))
    if share:
        threading.Thread(target=_share, args=(page, links), daemon=True).start()
    screens = (os.environ.get("DISPLAY"), os.environ.get("WAYLAND_DISPLAY"))
    if browser and (sys.platform in ("darwin", "win32") or any(screens)):
        webbrowser.open(address)
    try:
        pictures.set_result(examples.pictures(predictor.classes, folder))
        evidence.warm_up(predictor)
        while page.is_running:
            time.sleep(0.5)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, lambda *_: _end_now(folder))
        LOG.info("\nEnding … (Ctrl-C again ends at once)")
    page.close(verbose=False)
    strain.finish()


def _end_now(folder: Path) -> NoReturn:
    """Ends the process, whatever it is waiting for."""
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(128 + signal.SIGINT)


def feedback_folder(host: str, share: bool) -> Path | None:
    """Returns where disagreements are kept, None if others than this machine's people may come."""
    return feedback.FOLDER if host in LOOPBACK and not share else None


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _notices(page: gr.Blocks, host: str, port: int | None, accounts: bool) -> None:
    if port is None and page.server_port != 7860:
        LOG.warning(f"port 7860 is taken: using {page.server_port}")
    if host not in LOOPBACK and not accounts:
        LOG.warning("all who can reach this machine can use the app; --auth-file asks for a name")


def _share(page: gr.Blocks, links: set[str]) -> None:
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
        LOG.warning(f"no public link ({reason.rstrip('.')}): offline? The app goes on locally")
    else:
        links.add(urlsplit(link).netloc)
        _say(f"Public link, for everybody who knows it: {link}")
