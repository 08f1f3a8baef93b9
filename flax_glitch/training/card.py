"""The model card: what a trained model is, in words and a few numbers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flax_glitch.checkpoint import Calibration
from flax_glitch.classes import CLASSES
from flax_glitch.config import Config
from flax_glitch.data.layouts import Layout


def trained_on(config: Config, layout: Layout, glitches: Mapping[str, int]) -> str:
    """Returns in a sentence or two what a model was trained on.

    Args:
        config: settings of its run.
        layout: that of its source.
        glitches: number of glitches in each split.
    """
    if layout == "simulated":
        return (
            f"Trained on {glitches['train']} simulated glitches, not on detector data: "
            "measure it on real glitches before you rely on it."
        )
    name = Path(config.data.source).name
    return f"Trained on {glitches['train']} glitches of {name}, split by glitch."


def model_card(
    name: str,
    config: Config,
    provenance: Mapping[str, Any],
    calibration: Sequence[Calibration] = (),
) -> str:
    """Returns the model card in Markdown; SHA256 stands for the hash of the arrays."""
    data, best = provenance["data"], provenance["best"]
    counts = ", ".join(f"{n} {split}" for split, n in data["glitches"].items())
    return f"""# {name}

A {config.model.name} that tells Gravity Spy's {len(CLASSES)} classes of LIGO glitches apart.
**{provenance["trained_on"]}**

| | |
|---|---|
| Data | {data["layout"]} layout, glitches: {counts}; split by glitch |
| Training pictures made by a DCGAN, for rare classes | {provenance.get("generated", 0)} |
| Classes without a training picture | {", ".join(data["absent"]) or "none"} |
| Input | {_input(config)} |
| Weights at the start | {Path(config.model.weights).name} |
| Training | RMSprop, learning rate {config.optimiser.learning_rate:g}, batches of \
{config.data.batch_size}, imbalance: {config.training.imbalance}, seed \
{config.training.seed}; best epoch {best["epoch"]} |
| {best["part"].capitalize()} pictures at that epoch | {_figures(best["metrics"])} |
| Versions | {", ".join(f"{k} {v}" for k, v in provenance["versions"].items())} |
| Made | {provenance["created"]} |
| sha256 | SHA256 |

{_calibrated(calibration)} Several windows of one glitch are fused by their mean log-probability.
Meant for research and teaching, on Gravity Spy spectrograms; it has no answer for pictures of
anything else.
"""


def _calibrated(calibration: Sequence[Calibration]) -> str:
    if not calibration:
        return "Probabilities are the softmax of the network, not calibrated."
    temperatures = ", ".join(f"{one.temperature:.2f}" for one in calibration)
    return (
        f"Probabilities are calibrated on {calibration[0].n} validation glitches (temperatures "
        f"{temperatures} for one to four windows); of such glitches one in twenty is called unlike "
        "anything in training."
    )


def _input(config: Config) -> str:
    how = config.preprocessing
    height, width = how.shape
    return f"{height} by {width} pixels, {how.colour}, {how.normalise}"


def _figures(metrics: Mapping[str, float | None]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {value:.4f}"
        for name, value in metrics.items()
        if value is not None
    )
