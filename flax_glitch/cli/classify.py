"""`flax-glitch classify`: what it can be asked. It imports little, so that help comes at once."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import tyro

from flax_glitch.cli.terminal import open_predictor
from flax_glitch.config import PRIOR, UsageError
from flax_glitch.events.question import Question

Inputs = tyro.conf.Positional[tuple[Path, ...]]
Form = Literal["table", "csv", "json", "parquet"]
PriorName = Annotated[str | None, tyro.conf.arg(help_behavior_hint=f"(default: {PRIOR})")]

FORMS: Mapping[str, Form] = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".parquet": "parquet",
}
"""What is written to a file, by its suffix."""


@dataclasses.dataclass(frozen=True)
class Goal:
    """How and where answers are written."""

    format: Form | None = None
    """table: a row a glitch; csv and parquet: a row a picture; json: an object a picture and line;
    of strain a row or object a glitch. By the suffix of --out, or a table, if not given. The
    columns of --triggers are carried into all but the table."""
    out: Path | None = None
    """File to write to, instead of the screen."""
    overwrite: bool = False
    """Begin the file anew if it is there already."""
    explain: Path | None = None
    """Folder for a sheet a glitch: its pictures, and where the network looked in them."""

    @property
    def by_suffix(self) -> Form | None:
        """What the name of the file says."""
        return FORMS.get(self.out.suffix.lower()) if self.out else None

    @property
    def form(self) -> Form:
        """How answers are written."""
        return self.format or self.by_suffix or "table"


SCREEN = Goal()


@dataclasses.dataclass(frozen=True)
class Events(Question):
    """Strain instead of pictures: one event, or a table of triggers."""

    pictures: Path | None = None
    """Folder to keep the four pictures of each event in, as Gravity Spy draws and names them."""


NO_EVENTS = Events()


def classify_inputs(
    inputs: Inputs,
    events: tyro.conf.OmitArgPrefixes[Events] = NO_EVENTS,
    checkpoint: Path | None = None,
    top_k: int = 5,
    coverage: float | None = None,
    prior: PriorName = None,
    one_glitch: tyro.conf.FlagCreatePairsOff[bool] = False,
    output: tyro.conf.OmitArgPrefixes[Goal] = SCREEN,
) -> None:
    """Classify glitches by their pictures, or by strain.

    Pictures whose names share detector and id are windows of one glitch. Exit code 1 if an input
    failed; the others are answered all the same. With --triggers and --out, a call that was
    stopped goes on where it stood, and tries again what failed. For example:

    `flax-glitch classify H1_abc_spectrogram_1.0.png`

    `flax-glitch classify pictures/ --out verdicts.csv`

    `flax-glitch classify pictures/ --explain sheets`

    `flax-glitch classify --event GW150914 --detector H1`

    `flax-glitch classify --gps "2015-09-14 09:50:45.4" --detector H1`

    `flax-glitch classify --gps 1126259462.4 --strain H-H1_LOSC_4_V2-1126259446-32.hdf5`

    `flax-glitch classify --triggers table.csv --strain folder/ --out verdicts.csv`

    Args:
        inputs: Picture files (PNG, JPEG, WebP), or folders that are searched for them.
        events: Strain instead of pictures.
        checkpoint: Folder of the model, or its name, such as fast; the one in the box if not given.
        top_k: Classes shown for each glitch in the table.
        coverage: Between 0 and 1: give each glitch the fewest classes that hold the true one with
            this chance, as it was with the glitches of validation, whatever the prior.
        prior: How often each class is taken to come: balanced (all equally often), gravity-spy (as
            in its training set), or a file of your own: CSV with the columns class and count, or
            JSON. Probabilities and verdicts follow it.
        one_glitch: Take all pictures, however they are called, as windows of one glitch.
        output: How and where answers are written.
    """
    check_arguments(events, bool(inputs))
    if one_glitch and not inputs:
        raise UsageError("--one-glitch: name the pictures of the glitch, one to four")
    if top_k < 1:
        raise UsageError(f"--top-k {top_k}: give 1 or more")
    if coverage is not None and not 0 < coverage < 1:
        raise UsageError(f"--coverage {coverage:g}: give a share between 0 and 1, such as 0.9")
    check_goal(output, bool(events.triggers))
    if output.form == "parquet":
        import pyarrow  # noqa: F401  what pandas says of its absence names no extra
    predictor = open_predictor(checkpoint, events.cache).with_prior(prior)
    from flax_glitch.cli.answers import answer  # not for --help: it takes seconds

    answer(predictor, inputs, one_glitch, events, output, top_k, coverage)


def check_goal(goal: Goal, table: bool) -> None:
    """Refuses files that can't be written or would be lost; those of a table are gone on with.

    Raises:
        UsageError: naming the file.
    """
    out, form = goal.out, goal.format
    if out is None:
        if form == "parquet":
            raise UsageError("--format parquet: give --out FILE.parquet too")
    elif not (form or goal.by_suffix):
        raise UsageError(f"--out {out}: end it in {', '.join(FORMS)}, or give --format")
    elif form and goal.by_suffix and form != goal.by_suffix:
        raise UsageError(f"--out {out}: its name says {goal.by_suffix}, --format {form}; give one")
    elif table and form == "table":
        raise UsageError(f"--out {out}: give --format csv or json, which can be gone on with")
    elif not (table or goal.overwrite) and out.is_file() and out.stat().st_size:
        raise UsageError(f"--out {out}: is there already; give --overwrite or another name")


def check_arguments(events: Events, pictures_given: bool) -> None:
    """Refuses arguments that are missing or contradict each other.

    Raises:
        UsageError: naming them.
    """
    given = {
        f"--{name.replace('_', '-')}" for name, value in vars(events).items() if value is not None
    }
    kinds = sorted({"--event", "--gps", "--triggers"} & given) + ["pictures"] * pictures_given
    if not kinds:
        raise UsageError(
            "no input: name pictures or folders, or give --event, --gps or --triggers "
            "(see flax-glitch classify --help)"
        )
    if len(kinds) > 1:
        quoted = "; put quotes around a time with a space" if isinstance(events.gps, str) else ""
        raise UsageError(f"{' and '.join(kinds)}: give one of them{quoted}")
    try:
        _ = events.time, events.start
    except ValueError as error:
        raise UsageError(str(error)) from None
    (kind,) = kinds
    idle = given - {kind, "--cache"} - _companions(kind, events.local)
    if idle:
        raise UsageError(f"{' and '.join(sorted(idle))}: no use with {kind}, leave out")
    if kind == "--triggers" and not events.strain:
        raise UsageError("--triggers: give --strain FOLDER or --strain gwosc too")
    if kind in ("--event", "--gps") and not (events.detector or events.local):
        raise UsageError(f"{kind}: give --detector too (H1, L1 or V1), or a --strain file")


def _companions(kind: str, local: Path | None) -> set[str]:
    """Returns the options that go with a kind of input."""
    if kind == "pictures":
        return set()
    if kind == "--triggers":
        return {"--detector", "--strain", "--pictures"} | ({"--channel"} if local else set())
    of_files = {"--channel"} if local else set()
    of_a_file = {"--gps-start", "--sample-rate"} if local and not local.is_dir() else set()
    return {"--detector", "--strain", "--pictures"} | of_files | of_a_file
