"""Train a classifier of LIGO glitches: `flax-glitch train`, for who has a checkout.

python train_flax.py                                  simulated glitches, minutes
python train_flax.py --source gravity-spy/            the report's ResNet50 on real pictures
python train_flax.py --run NAME --resume              go on with a run that was stopped
python train_flax.py --help                           more examples, and all settings
"""

import sys

from flax_glitch.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]], "python train_flax.py")
