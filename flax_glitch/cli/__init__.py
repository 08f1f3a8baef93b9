"""The command line: `flax-glitch` and its commands, each imported when it is used."""

import difflib
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tyro

from flax_glitch.cli.terminal import later, one_line_errors, one_line_usage
from flax_glitch.config import UsageError

__all__ = ["later", "main", "one_line_errors", "one_line_usage"]

Function = Callable[..., None]


class Command(NamedTuple):
    """What it does, in a line, and how to get it: imports take seconds."""

    purpose: str
    load: Callable[[], Function]


def _classify() -> Function:
    from flax_glitch.cli.classify import classify_inputs

    return classify_inputs


def _compare() -> Function:
    from flax_glitch.cli.compare import compare_runs

    return compare_runs


def _draw() -> Function:
    from flax_glitch.cli.draw import draw_triggers

    return draw_triggers


def _evaluate() -> Function:
    from flax_glitch.cli.training import evaluate_checkpoint

    return evaluate_checkpoint


def _generate() -> Function:
    from flax_glitch.cli.generate import generate_glitches

    return generate_glitches


def _prepare() -> Function:
    from flax_glitch.cli.training import prepare_source

    return prepare_source


def _release() -> Function:
    from flax_glitch.cli.training import release_run

    return release_run


def _simulate() -> Function:
    from flax_glitch.cli.training import simulate_glitches

    return simulate_glitches


COMMANDS = {
    "classify": Command("Classify glitches by their pictures, or by strain.", _classify),
    "compare": Command("Put evaluated runs side by side, with intervals and tests.", _compare),
    "draw": Command("Draw the pictures of a table of triggers, from strain.", _draw),
    "evaluate": Command("Measure a model on labelled pictures.", _evaluate),
    "generate": Command("Draw pictures that a DCGAN makes up.", _generate),
    "prepare": Command("Write a source once, at the size that a network sees.", _prepare),
    "release": Command("Copy a run's model to a folder to hand on.", _release),
    "simulate": Command("Draw pictures of simulated glitches.", _simulate),
}


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
        run_command(name, COMMANDS[name].load(), given[1:])


def overview() -> str:
    """Returns what `flax-glitch --help` says."""
    commands = "\n".join(f"  {name:10}{command.purpose}" for name, command in COMMANDS.items())
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
