"""`flax-glitch app`: what the page can be asked. It imports little, so that help comes at once."""

import os
import signal
from pathlib import Path

import tyro

from flax_glitch.app import protect

Switch = tyro.conf.FlagCreatePairsOff[bool]


def open_app(
    checkpoint: Path | None = None,
    host: str = os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1",
    port: int | None = None,
    share: Switch = False,
    auth_file: Path | None = None,
    no_browser: Switch = False,
    embed: Switch = False,
) -> None:
    """Open the classifier of LIGO glitches in your browser.

    Prints the address, http://127.0.0.1:7860/ unless that port is taken. Ctrl-C ends it. For
    example:

    `flax-glitch app` on the model that comes with the project

    `flax-glitch app --checkpoint checkpoints/mine` on that model

    `flax-glitch app --share` with a public link, if online

    Args:
        checkpoint: folder or name of a model; none: the one in the box.
        host: address to listen at; 0.0.0.0 lets other machines in.
        port: port to listen at; none: GRADIO_SERVER_PORT, or 7860 or the next that is free.
        share: ask Gradio's service for a public link as well.
        auth_file: file of lines name:password; visitors must give one of them.
        no_browser: don't open the page in the browser by itself.
        embed: let other sites show the page in a frame, and answer to any name, as a proxy asks.
    """
    # SIGINT too: a shell that starts us in the background has it ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    port = protect.wanted_port() if port is None else port
    protect.check_address(host, port)
    accounts = protect.read_accounts(auth_file) if auth_file else []
    with protect.own_folder(host):
        # Gradio reads the folder's place when it is imported.
        from flax_glitch.app.main import run

        run(checkpoint, host, port, accounts, share, not no_browser, embed)
