"""What the commands share: failures in one line, the screen, the model."""

import io
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from functools import partial, wraps
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from flax_glitch.config import CACHE, UsageError, keep_compiled
from flax_glitch.files import ODD_NAMES, shown

if TYPE_CHECKING:
    import flax_glitch.predict.predictor


def later(function: Callable[..., Any]) -> Callable[..., partial[None]]:
    """Returns the function as one that keeps its arguments, to be called once all are parsed."""

    @wraps(function)
    def with_arguments(*arguments: Any, **named: Any) -> partial[None]:
        return partial(function, *arguments, **named)

    with_arguments.__annotations__["return"] = partial
    return with_arguments


@contextmanager
def one_line_usage() -> Iterator[None]:
    """Turns what tyro says of wrong arguments, in a box, into one line."""
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            yield
    except SystemExit as end:
        # A title, the fault, a rule, and advice; the terminal decides how borders look.
        lines = [line.strip("│| ") for line in said.getvalue().splitlines()[1:]]
        worded = dropwhile(_is_rule, lines)
        what = takewhile(lambda line: not _is_rule(line), worded)
        if end.code:
            sys.stderr.write(f"error: {_worded(' '.join(what))} (--help lists the options)\n")
        raise


def _worded(said: str) -> str:
    """What tyro says of a number that is none, in words of people."""
    fault = re.fullmatch(
        r"Error parsing (\S+): (.*\b(float|int)\b.*)'(.*)'\]?\.?", said, re.IGNORECASE
    )
    if not fault:
        return said
    option, _, kind, value = fault.groups()
    number = "a number" if kind.lower() == "float" else "a whole number"
    return f"{option} {value!r}: give {number}"


def _is_rule(line: str) -> bool:
    return not any(letter.isalnum() for letter in line)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turns failures that a user can cure into one line on stderr.

    Exit codes: 2 for wrong arguments, 1 for failed work, 130 after Ctrl-C.
    """
    try:
        yield
    except UsageError as error:
        sys.stderr.write(shown(f"error: {error}\n"))
        sys.exit(2)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone, as `head` does
        sys.exit(1)
    except (ValueError, FloatingPointError) as error:
        sys.exit(shown(f"error: {error}"))
    except OSError as error:
        sys.exit(shown(f"error: {error.filename or 'writing'}: {error.strerror or error}"))
    except KeyboardInterrupt:
        sys.exit(130)


def open_predictor(
    checkpoint: Path | None, cache: Path = CACHE
) -> "flax_glitch.predict.predictor.Predictor":
    """Returns the predictor of a checkpoint, or of the one that comes with the project."""
    from flax_glitch.checkpoint import find_checkpoint  # --help needs none of this
    from flax_glitch.predict.predictor import Predictor

    keep_compiled(cache)
    return Predictor.from_checkpoint(find_checkpoint(checkpoint))


@contextmanager
def screen() -> Iterator[TextIO]:
    """Gives standard output, which takes file names of any letters."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=ODD_NAMES)
    yield sys.stdout
