"""Times verdicts on a glitch of four windows, of several models in turn.

    python benchmarks/verdicts.py --checkpoints default fast --glitch H1_abc_spectrogram_*.png

Prints the median and the extremes of --runs, in milliseconds, after a first verdict that compiles;
reading and resizing the pictures is part of it. Seen on 2 shared x86 cores, 2026-11-25, jax 0.10.2:
default 120 (107 to 148), fast 17 (16 to 23).
"""

import argparse
import statistics
import time
from pathlib import Path

from flax_glitch.checkpoint.model import find_checkpoint
from flax_glitch.predict.predictor import Predictor


def main() -> None:
    """Prints a line a model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--glitch", type=Path, nargs="+", required=True, help="its pictures")
    parser.add_argument("--checkpoints", type=Path, nargs="+", default=[Path("default")])
    parser.add_argument("--runs", type=int, default=21)
    given = parser.parse_args()
    models = {str(name): Predictor(find_checkpoint(name)) for name in given.checkpoints}
    times: dict[str, list[float]] = {name: [] for name in models}
    for run in range(given.runs + 1):
        for name, predictor in models.items():
            start = time.perf_counter()
            list(predictor.classify(given.glitch))
            if run:
                times[name].append(1e3 * (time.perf_counter() - start))
    for name, each in times.items():
        print(f"{name}: {statistics.median(each):.1f} ({min(each):.1f} to {max(each):.1f}) ms")


if __name__ == "__main__":
    main()
