"""Opens the classifier in your browser.

    python app_gradio.py                                  the model that comes with the project
    python app_gradio.py --checkpoint checkpoints/mine    that model
    python app_gradio.py --share                          with a public link, if online

Prints the address, http://127.0.0.1:7860/ unless that port is taken. Ctrl-C ends it.
"""

import os
import signal
from pathlib import Path

import tyro

from flax_glitch.app import protect
from flax_glitch.cli.terminal import later, one_line_errors, one_line_usage


def main(
    checkpoint: Path | None = None,
    host: str = os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1",
    port: int | None = None,
    share: bool = False,
    auth_file: Path | None = None,
    no_browser: bool = False,
) -> None:
    """Opens the classifier of LIGO glitches in your browser.

    Args:
        checkpoint: folder of a model; none: the one that comes with the project.
        host: address to listen at; 0.0.0.0 lets other machines in.
        port: port to listen at; none: GRADIO_SERVER_PORT, or 7860 or the next that is free.
        share: ask Gradio's service for a public link as well.
        auth_file: file of lines name:password; visitors must give one of them.
        no_browser: don't open the page in the browser by itself.
    """
    # SIGINT too: a shell that starts us in the background has it ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with one_line_errors():
        port = protect.wanted_port() if port is None else port
        protect.check_address(host, port)
        accounts = protect.read_accounts(auth_file) if auth_file else []
        with protect.own_folder(host):
            # Gradio reads the folder's place when it is imported.
            from flax_glitch.app.main import run

            run(checkpoint, host, port, accounts, share, not no_browser)


if __name__ == "__main__":
    with one_line_usage():
        start = tyro.cli(later(main), config=(tyro.conf.FlagCreatePairsOff,))
    start()
