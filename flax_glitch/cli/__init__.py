"""The command line: `flax-glitch` and its commands."""

from collections.abc import Callable, Sequence

import tyro

from flax_glitch.cli.classify import classify_inputs
from flax_glitch.cli.compare import compare_runs
from flax_glitch.cli.draw import draw_triggers
from flax_glitch.cli.generate import generate_glitches
from flax_glitch.cli.terminal import later, one_line_errors, one_line_usage
from flax_glitch.cli.training import (
    evaluate_checkpoint,
    prepare_source,
    release_run,
    simulate_glitches,
)

__all__ = ["later", "main", "one_line_errors", "one_line_usage"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command that the arguments name."""
    commands: dict[str, Callable[..., None]] = {
        "classify": classify_inputs,
        "compare": compare_runs,
        "draw": draw_triggers,
        "evaluate": evaluate_checkpoint,
        "generate": generate_glitches,
        "prepare": prepare_source,
        "release": release_run,
        "simulate": simulate_glitches,
    }
    with one_line_errors():
        with one_line_usage():
            command = tyro.extras.subcommand_cli_from_dict(
                {name: later(function) for name, function in commands.items()},
                prog="flax-glitch",
                description="Tell LIGO's glitches apart. `flax-glitch COMMAND --help` says more.",
                args=arguments,
            )
        command()
