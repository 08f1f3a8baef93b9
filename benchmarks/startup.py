"""Times how long commands take to say what they do.

    python benchmarks/startup.py [--runs 9]

Prints the median and the extremes of the wall time of each, in seconds, Python's start included.
Seen on 2 busy x86 cores, 2026-11-25, Python 3.11: --help 0.18, classify --help 0.36, the Predictor
6.8. With all commands imported at the start, as it was before, the first two took 12.1 and 7.0.
"""

import argparse
import statistics
import subprocess
import sys
import time

CALLS = {
    "python -c pass": ["-c", "pass"],
    "flax-glitch --help": ["-m", "flax_glitch", "--help"],
    "flax-glitch classify --help": ["-m", "flax_glitch", "classify", "--help"],
    "import flax_glitch": ["-c", "import flax_glitch"],
    "from flax_glitch import Predictor": ["-c", "from flax_glitch import Predictor"],
}
"""What is called, and how without an installed script."""


def main() -> None:
    """Prints a line a call."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    for name, arguments in CALLS.items():
        seconds_of(arguments)  # files are then in memory, and byte code is written
        times = sorted(seconds_of(arguments) for _ in range(runs))
        median = statistics.median(times)
        print(f"{name:35}{median:6.2f} s ({times[0]:.2f} to {times[-1]:.2f})", flush=True)


def seconds_of(arguments: list[str]) -> float:
    """Returns the wall time of a call of Python."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
