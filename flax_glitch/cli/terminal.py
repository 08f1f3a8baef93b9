"""What the commands share: failures in one line, how much is said, the screen, the model."""

import io
import logging
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from functools import partial, wraps
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from tqdm import tqdm

from flax_glitch.config import CACHE, UsageError, keep_compiled
from flax_glitch.files import ODD_NAMES, shown
from flax_glitch.notes import LOG

if TYPE_CHECKING:
    import flax_glitch.predict.predictor

EXTRAS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "train": (
        "training and evaluating need",
        ("array_record", "grain", "tensorboardX", "tensorflow_datasets"),
    ),
    "tables": ("Parquet needs", ("pyarrow",)),
}
"""What needs each extra of pyproject.toml, and the packages in it; strain/formats tells of gwf."""

SCRIPTS = {
    "flax-glitch app": "python app_gradio.py",
    "flax-glitch train": "python train_flax.py",
}
"""What does the same in a checkout."""

OPTIONS = "-q, --quiet: answers and errors alone. -v, --verbose: also what is loaded, and when."
"""What the help of each command says of the options that all have."""

LEVELS = {
    "-q": logging.ERROR,
    "--quiet": logging.ERROR,
    "-v": logging.DEBUG,
    "--verbose": logging.DEBUG,
}
"""How grave must be what is said, by option."""

PREFIXES = {logging.WARNING: "note: ", logging.ERROR: "error: "}


def for_program(words: str, program: str) -> str:
    """Returns words that name commands as they are named by who started this program."""
    if program in SCRIPTS.values():
        for command, script in SCRIPTS.items():
            words = words.replace(command, script)
    return words


@contextmanager
def talking(given: Sequence[str]) -> Iterator[list[str]]:
    """Says on stderr what `notes.LOG` is told, more or less by -q and -v; gives the other words."""
    asked = {LEVELS[word] for word in given if word in LEVELS}
    if len(asked) > 1:
        raise UsageError("--quiet and --verbose: give one of them")
    handler = _OnTerminal()
    LOG.addHandler(handler)
    LOG.setLevel(max(asked, default=logging.INFO))
    LOG.propagate = False  # what libraries make of the root logger would say it again
    try:
        yield [word for word in given if word not in LEVELS]
    except Exception:
        LOG.debug("this is where it failed:", exc_info=True)
        raise
    finally:
        LOG.removeHandler(handler)
        LOG.setLevel(logging.NOTSET)
        LOG.propagate = True


class _OnTerminal(logging.Handler):
    """Writes notes above the bars, and those of --verbose with the seconds since the start."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one note."""
        start = f"[{record.relativeCreated / 1000:.1f} s] " if record.levelno < logging.INFO else ""
        before = PREFIXES.get(record.levelno, start)
        tqdm.write(shown(f"{before}{self.format(record)}"), sys.stderr)


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
        near = re.search(r"Perhaps you meant:\W+(--[\w-]+)", " ".join(lines))
        meant = f"did you mean {near[1]}? " if near else ""
        if end.code:
            help = f"({meant}--help lists the options)"
            sys.stderr.write(f"error: {_worded(' '.join(what))} {help}\n")
        raise


def _worded(said: str) -> str:
    """What tyro says of what is missing, or of a number that is none, in words of people."""
    if said.startswith("Missing from") and (names := re.findall(r"(--[\w-]+) [A-Z{]", said)):
        return f"give {' and '.join(names)} too"
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
    except ModuleNotFoundError as error:
        sys.exit(f"error: {_not_installed(error)}")
    except (ValueError, FloatingPointError) as error:
        sys.exit(shown(f"error: {error}"))
    except OSError as error:
        sys.exit(shown(f"error: {error.filename or 'writing'}: {error.strerror or error}"))
    except KeyboardInterrupt:
        sys.exit(130)


def _not_installed(error: ModuleNotFoundError) -> str:
    """What to install, if it is a package of one of the extras; else the error is raised."""
    for extra, (what, packages) in EXTRAS.items():
        if error.name and error.name.partition(".")[0] in packages:
            cure = f"pip install 'flax-glitch[{extra}]'"
            return f"{what} packages that are not installed: {cure}"
    raise error


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
