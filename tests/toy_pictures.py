"""Simple pictures for tests that don't look at what glitches are like."""

from types import SimpleNamespace

import numpy as np
from PIL import Image

from flax_glitch.classes import DURATIONS, INDEX


def toy_picture(label, duration=1.0, seed=0):
    """Kaggle's geometry, coarse noise, and a bar whose height tells the class."""
    random = np.random.default_rng([INDEX[label], DURATIONS.index(duration), seed])
    noise = random.integers(0, 80, (30, 36, 3), np.uint8)
    area = np.array(Image.fromarray(noise).resize((568, 478)))
    top, half = 20 + 20 * INDEX[label], int(60 / duration)
    area[top : top + 18, 284 - half : 284 + half] = random.integers(180, 250)
    return np.pad(area, ((1, 0), (1, 0), (0, 0)))


def draw_toys(folder, classes, per_class):
    """Four windows of each glitch under Gravity Spy's names, in class folders."""
    for label in classes:
        (folder / label).mkdir(parents=True)
        for number in range(per_class):
            for duration in DURATIONS:
                name = f"H1_{INDEX[label]}x{number}_spectrogram_{duration}.png"
                image = Image.fromarray(toy_picture(label, duration, number))
                image.save(folder / label / name, compress_level=1)


def toy_simulation(label, rng):
    """Stripes of random energies in the place of a glitch, each window 1 above the last."""
    stripes = np.tile(rng.uniform(-2, 40, 568), (4, 478, 1)) + np.arange(4)[:, None, None]
    detector = str(rng.choice(["H1", "L1"]))
    energies = stripes.astype(np.float32)
    return SimpleNamespace(label=label, detector=detector, gps=1e9, q=5.66, energies=energies)
