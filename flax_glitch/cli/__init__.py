"""The command line: `flax-glitch` and its commands, each imported when it is used."""

import difflib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import tyro

from flax_glitch.cli.terminal import later, one_line_errors, one_line_usage
from flax_glitch.config import UsageError

__all__ = ["later", "main", "one_line_errors", "one_line_usage"]

Function = Callable[..., None]


COMMANDS = {
    "classify": "Classify glitches by their pictures, or by strain.",
    "compare": "Put evaluated runs side by side, with intervals and tests.",
    "draw": "Draw the pictures of a table of triggers, from strain.",
    "evaluate": "Measure a model on labelled pictures.",
    "generate": "Draw pictures that a DCGAN makes up.",
    "prepare": "Write a source once, at the size that a network sees.",
    "release": "Copy a run's model to a folder to hand on.",
    "samples": "Write pictures and strain to try the rest on.",
    "simulate": "Draw pictures of simulated glitches.",
}
"""What each does, in a line."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command that the arguments name."""
    given = sys.argv[1:] if arguments is None else arguments
    name = given[0] if given else ""
    with one_line_errors():
        if name in ("-h", "--help"):
            sys.stdout.write(overview())
            return
        if name not in COMMANDS:
            raise UsageError(f"{_what_is_wrong(name)} (flax-glitch --help says what each does)")
        run_command(name, load(name), given[1:])


def load(name: str) -> Function:
    """Returns a command's function, and imports what it needs alone: that takes seconds."""
    if name == "classify":
        from flax_glitch.cli.classify import classify_inputs

        return classify_inputs
    if name == "draw":
        from flax_glitch.cli.events import draw_triggers

        return draw_triggers
    if name == "samples":
        from flax_glitch.cli.samples import write_samples

        return write_samples
    from flax_glitch.cli import training

    commands: dict[str, Function] = {
        "compare": training.compare_runs,
        "evaluate": training.evaluate_checkpoint,
        "generate": training.generate_glitches,
        "prepare": training.prepare_source,
        "release": training.release_run,
        "simulate": training.simulate_glitches,
    }
    return commands[name]


def overview() -> str:
    """Returns what `flax-glitch --help` says."""
    commands = "\n".join(f"  {name:10}{purpose}" for name, purpose in COMMANDS.items())
    return (
        "usage: flax-glitch COMMAND [OPTIONS]\n\n"
        "Tell LIGO's glitches apart. `flax-glitch COMMAND --help` says more.\n\n"
        f"commands:\n{commands}\n"
    )


def run_command(name: str, function: Function, arguments: Sequence[str]) -> None:
    """Runs a command on its arguments, once all are parsed."""
    with one_line_usage():
        call: Any = tyro.cli(later(function), prog=f"flax-glitch {name}", args=arguments)
    call()


def _what_is_wrong(name: str) -> str:
    choices = ", ".join(COMMANDS)
    if not name:
        return f"no command given: choose from {choices}"
    near = difflib.get_close_matches(name, COMMANDS, n=1)
    meant = f"did you mean {near[0]}? There are" if near else "there are"
    return f"{name}: no such command; {meant} {choices}"
