"""Opens the classifier in your browser: `flax-glitch app`, for who has a checkout.

    python app_gradio.py                                  the model that comes with the project
    python app_gradio.py --checkpoint checkpoints/mine    that model
    python app_gradio.py --share                          with a public link, if online

Prints the address, http://127.0.0.1:7860/ unless that port is taken. Ctrl-C ends it.
"""

import sys

from flax_glitch.cli import main

if __name__ == "__main__":
    main(["app", *sys.argv[1:]], "python app_gradio.py")
