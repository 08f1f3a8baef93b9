"""The command that puts evaluated runs side by side."""

import sys
from pathlib import Path

import tyro

from flax_glitch.checkpoint import find_checkpoint
from flax_glitch.config import UsageError
from flax_glitch.evaluation.compare import check_comparable, read_system
from flax_glitch.evaluation.compare_report import as_text, write_comparison


def compare_runs(
    runs: tyro.conf.Positional[tuple[Path, ...]], out: Path = Path("comparison")
) -> None:
    """Compare evaluated runs: tables with intervals and tests, a bar chart, what each gets wrong.

    For example, `flax-glitch compare resnet50 cnn-a --out comparison/`, after `flax-glitch
    evaluate` of each on the same pictures.

    Args:
        runs: Folders of runs, or their names in checkpoints/.
        out: Folder to write comparison.md, comparison.json and the figures to.
    """
    if not runs:
        raise UsageError("no run to compare: name one or more, best two")
    systems = [read_system(find_checkpoint(run)) for run in runs]
    check_comparable(systems)
    comparison = write_comparison(out, systems)
    sys.stdout.write(f"{as_text(comparison)}\nWritten to {out}\n")
