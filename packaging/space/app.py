"""The page of `flax-glitch app` as a Hugging Face Space, which runs this file."""

import os

from flax_glitch.app import protect

# A Space is asked through a proxy, at this port of any address that its machine has.
HOST = os.environ.get("GRADIO_SERVER_NAME") or "0.0.0.0"
PORT = protect.wanted_port() or 7860

with protect.own_folder(HOST):
    # Gradio reads the folder's place when it is imported.
    from flax_glitch.app.main import run

    run(None, HOST, PORT, accounts=[], share=False, browser=False)
