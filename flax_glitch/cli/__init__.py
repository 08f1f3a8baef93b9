"""The command line: `flax-glitch` and its commands, each imported when it is used."""

import ast
import difflib
import inspect
import io
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout, suppress
from importlib.metadata import version
from platform import python_version
from typing import Any

import tyro

from flax_glitch.cli.terminal import (
    OPTIONS,
    for_program,
    later,
    one_line_errors,
    one_line_usage,
    talking,
)
from flax_glitch.config import UsageError

__all__ = ["main", "one_line_errors", "talking"]

Function = Callable[..., Any]


COMMANDS = {
    "app": "Open the classifier in your browser.",
    "classify": "Classify glitches by their pictures, or by strain.",
    "compare": "Put evaluated runs side by side, with intervals and tests.",
    "draw": "Draw the pictures of a table of triggers, from strain.",
    "evaluate": "Measure a model on labelled pictures.",
    "generate": "Draw pictures that a DCGAN makes up.",
    "prepare": "Write a source once, at the size that a network sees.",
    "release": "Copy a run's model to a folder to hand on.",
    "samples": "Write pictures and strain to try the rest on.",
    "similar": "Find the glitches that one resembles.",
    "simulate": "Draw pictures of simulated glitches.",
    "train": "Train a model.",
}
"""What each does, in a line."""

SPOKEN = {("-q", "--quiet"): "answers and errors alone", ("-v", "--verbose"): "what is done too"}
"""Options that all commands have."""

SHELLS = ("bash", "zsh", "fish")


def main(arguments: Sequence[str] | None = None, program: str = "") -> None:
    """Runs the command that the arguments name.

    Args:
        arguments: those of the command line if not given.
        program: what was started, if it isn't `flax-glitch` with the command's name.
    """
    with one_line_errors(), talking(sys.argv[1:] if arguments is None else arguments) as given:
        name, *rest = given or ["--help"]
        if name in ("-h", "--help"):
            sys.stdout.write(overview())
        elif name == "--version":
            sys.stdout.write(versions())
        elif name == "--completion":
            write_completion(rest)
        elif name not in COMMANDS:
            raise UsageError(f"{_what_is_wrong(name)} (flax-glitch --help says what each does)")
        elif name == "train":
            from flax_glitch.cli.train import train_model

            train_model(rest, program or "flax-glitch train")
        else:
            run_command(program or f"flax-glitch {name}", load(name), rest)


def load(name: str) -> Function:
    """Returns a command's function, and imports what it needs alone: that takes seconds."""
    if name == "app":
        from flax_glitch.cli.app import open_app

        return open_app
    if name == "classify":
        from flax_glitch.cli.classify import classify_inputs

        return classify_inputs
    if name == "draw":
        from flax_glitch.cli.events import draw_triggers

        return draw_triggers
    if name == "samples":
        from flax_glitch.cli.samples import write_samples

        return write_samples
    if name == "similar":
        from flax_glitch.cli.similar import find_similar

        return find_similar
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
        f"commands:\n{commands}\n\n"
        "options:\n"
        "  -h, --help          This.\n"
        "  -q, --quiet         Answers and errors alone: no notes, no progress.\n"
        "  -v, --verbose       Also what is loaded, and when; where it failed, if it did.\n"
        "  --version           The versions of flax-glitch and of what it stands on.\n"
        "  --completion SHELL  What makes a shell complete all this: bash, zsh or fish.\n"
    )


def versions() -> str:
    """Returns what `flax-glitch --version` says, of packages that need not be imported."""
    beneath = f"Python {python_version()}, JAX {version('jax')}, Flax {version('flax')}"
    return f"flax-glitch {version('flax-glitch')} ({beneath})\n"


def write_completion(rest: Sequence[str]) -> None:
    """Writes the script by which a shell completes commands and options."""
    if tuple(rest) not in {(shell,) for shell in SHELLS}:
        raise UsageError(f"--completion {' '.join(rest)}: give one of {', '.join(SHELLS)}")
    from flax_glitch.cli.train import Arguments

    commands = {name: Arguments if name == "train" else load(name) for name in COMMANDS}
    asked = ["--tyro-write-completion", *rest, "-"]
    with redirect_stdout(io.StringIO()) as said, suppress(SystemExit):
        tyro.extras.subcommand_cli_from_dict(
            commands, prog="flax-glitch", args=asked, config=(tyro.conf.OmitArgPrefixes,)
        )
    # In bash, where no option fits it is a file.
    script = said.getvalue().replace("complete -F", "complete -o default -F")
    sys.stdout.write(re.sub(r"(?<=^COMPLETION_SPEC = ).*", _in_lines, script, flags=re.MULTILINE))


def _in_lines(found: re.Match[str]) -> str:
    """What bash and zsh complete, told in a line each, with the options that all commands have."""
    spec = ast.literal_eval(found[0])
    for options in (spec["options"], *(one["options"] for one in spec["subcommands"].values())):
        for option in options:
            option["description"] = " ".join(option["description"].split())
            if "choices" in option:
                option["choices"] = [word for word in option["choices"] if word != "None"]
        options += [
            {"flags": list(flags), "description": said, "type": "flag", "nargs": None}
            for flags, said in SPOKEN.items()
        ]
    spec["options"] += [
        {"flags": ["--version"], "description": "versions", "type": "flag", "nargs": None},
        {"flags": ["--completion"], "description": "shell", "type": "choice", "nargs": 1}
        | {"choices": list(SHELLS)},
    ]
    return repr(spec)


def run_command(program: str, function: Function, arguments: Sequence[str]) -> None:
    """Runs a command on its arguments, once all are parsed."""
    call_later = later(function)
    said = for_program(inspect.cleandoc(function.__doc__ or ""), program).replace("`", "")
    call_later.__doc__ = said.replace("\nArgs:", f"\n{OPTIONS}\n\nArgs:", 1)
    with one_line_usage():
        call: Any = tyro.cli(call_later, prog=program, args=arguments)
    call()


def _what_is_wrong(name: str) -> str:
    choices = ", ".join(COMMANDS)
    near = difflib.get_close_matches(name, COMMANDS, n=1)
    meant = f"did you mean {near[0]}? There are" if near else "there are"
    return f"{name}: no such command; {meant} {choices}"
