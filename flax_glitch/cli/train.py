"""Train a classifier of LIGO glitches.

    flax-glitch train                                  simulated glitches, minutes
    flax-glitch train --source gravity-spy/            the report's ResNet50 on real pictures
    flax-glitch train --source gravity-spy/ --weights none --size 96 --epochs 20
    flax-glitch train --source gravity-spy/ --model vgg16      another of the report's systems
    flax-glitch train --source gravity-spy/ --classes Blip Tomte Whistle     some classes alone
    flax-glitch train --run NAME --resume              go on with a run that was stopped

With --source the settings start from the paper preset, without it from quick (shown below).
A run's folder, checkpoints/NAME, holds its settings, metrics.jsonl, TensorBoard events, learning
curves and the best epoch's model; `flax-glitch app --checkpoint checkpoints/NAME` shows it.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import tyro

from flax_glitch.cli.terminal import OPTIONS, for_program, one_line_usage
from flax_glitch.config import (
    CACHE,
    RUNS,
    SIMULATED,
    Config,
    OptimiserConfig,
    UsageError,
    keep_compiled,
)
from flax_glitch.models.systems import MODELS, check, settings


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Settings of the run and where it goes."""

    config: Annotated[Config, tyro.conf.arg(name="")]
    model: Literal[*MODELS] = "resnet50"  # type: ignore[valid-type]
    """The architecture."""
    run: str = ""
    """Name of the run; source and time if not given."""
    resume: tyro.conf.FlagCreatePairsOff[bool] = False
    """Go on with the run of this name, or with the newest one."""
    preset: Literal["auto", "paper", "quick"] = "auto"
    """The model's settings to start from. paper: the report's; quick: small pictures from scratch;
    auto: quick for simulated glitches, paper for a source."""
    out: Path = RUNS
    """Folder of the runs."""
    cache: Path = CACHE
    """Folder for downloads and prepared data."""


def parse(given: Sequence[str], program: str) -> Arguments:
    """Returns the arguments, over the defaults of their preset or of the run to resume."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    known_defaults = {"preset": "auto", "source": SIMULATED, "model": "resnet50", "run": ""}
    for name, default in (known_defaults | {"out": RUNS}).items():
        first.add_argument(f"--{name}", default=default, nargs="?")
    first.add_argument("--resume", action="store_true")
    known, _ = first.parse_known_args(given)
    if known.resume:
        from flax_glitch.training.start import read_settings

        run = known.run or newest_run(Path(known.out))
        defaults = read_settings(Path(known.out) / run)
    else:
        auto = "quick" if known.source == SIMULATED else "paper"
        preset = auto if known.preset == "auto" else known.preset
        model = known.model if known.model in MODELS else "resnet50"
        defaults = settings(preset, model)
        source = Path(known.source or "").resolve().stem
        run = f"{source}-{model}-{datetime.now():%Y%m%d-%H%M%S}"
    with one_line_usage():
        arguments = tyro.cli(
            Arguments,
            default=Arguments(defaults, defaults.model.name, run),
            description=f"{for_program(__doc__ or '', program)}\n{OPTIONS}",
            prog=program,
            args=given,
            config=(tyro.conf.OmitArgPrefixes,),
        )
    if Path(arguments.run).name != arguments.run or arguments.run in ("", ".."):
        raise UsageError(f"--run {arguments.run!r}: give a plain name, and its folder with --out")
    return dataclasses.replace(arguments, config=_settled(arguments, defaults.optimiser))


def _settled(arguments: Arguments, defaults: OptimiserConfig) -> Config:
    """Returns the settings with the model, and a least learning rate that isn't above the first."""
    model = dataclasses.replace(arguments.config.model, name=arguments.model)
    optimiser = arguments.config.optimiser
    rate, least = optimiser.learning_rate, optimiser.min_learning_rate
    if least > rate and least == defaults.min_learning_rate:  # nobody asked for it
        optimiser = dataclasses.replace(optimiser, min_learning_rate=rate / 10)
    return dataclasses.replace(arguments.config, model=model, optimiser=optimiser)


def newest_run(runs: Path) -> str:
    """Returns the name of the run that was started last."""
    found = sorted(runs.glob("*/config.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ValueError(f"{runs}: no run to resume; start one without --resume")
    return found[-1].parent.name


def train_model(given: Sequence[str], program: str) -> None:
    """Trains and says what to do next, in words of the program that was started."""
    arguments = parse(given, program)
    check(arguments.config)
    from flax_glitch.training.run import Interrupted
    from flax_glitch.training.start import train

    keep_compiled(arguments.cache)
    folder = arguments.out / arguments.run
    try:
        train(arguments.config, folder, resume=arguments.resume, cache=arguments.cache)
    except Interrupted:
        again = f"--out {arguments.out} --run {arguments.run} --resume"
        sys.stderr.write(f"Stopped and saved; go on with: {program} {again}\n")
        sys.exit(130)
    show = for_program(f"flax-glitch app --checkpoint {folder}", program)
    sys.stdout.write(f"Done: {folder} holds the best epoch's model; see it with:\n  {show}\n")
