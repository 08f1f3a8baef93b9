"""The page of `flax-glitch app` as a Hugging Face Space, which runs this file."""

import os

from flax_glitch.cli import main

# A Space's proxy asks at any address that its machine has, port 7860, and frames the page.
host = os.environ.get("GRADIO_SERVER_NAME") or "0.0.0.0"
main(["app", "--host", host, "--no-browser", "--embed"])
