"""What networks say of real glitches that they have not seen, as tables."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from common import hardest
from jaxtyping import Bool, Float
from protocol import LOOKED_AT
from sklearn.metrics import roc_auc_score

from flax_glitch.checkpoint import Calibration
from flax_glitch.classes import TRAINING_SET
from flax_glitch.evaluation.evaluate import Outputs, join, summary
from flax_glitch.evaluation.metrics import calibration_error
from flax_glitch.evaluation.report import markdown_table, with_interval, write_report
from flax_glitch.predict.calibration import fit
from flax_glitch.predict.prior import under

NETWORKS = ("compact", "vgg16-rows", "pair")


TITLES = {
    "folds": "Folds over tune, by which all was chosen",
    "report": "Report, by networks made of tune alone",
}


@dataclasses.dataclass(frozen=True)
class Judged:
    """What a network says of glitches that it has not seen."""

    outputs: Outputs
    """Of those of the 22 classes."""
    colours: Float[np.ndarray, " sample"]
    """Of each of their pictures, the distance from the colours of a spectrogram."""
    scores: Float[np.ndarray, " glitch"]
    """The out-of-distribution scores of these glitches."""
    later: Float[np.ndarray, " glitch"]
    """Those of glitches of later classes."""


def tell(out: Path, name: str, parts: Sequence[Mapping[str, Judged]]) -> dict[str, str]:
    """Prints and writes what each network said in all parts together, and returns the tables."""
    told = {}
    for network in NETWORKS:
        judged = [part[network] for part in parts]
        outputs = join([one.outputs for one in judged])
        folder = out / f"{name}-{network}"
        write_report(folder, outputs, summary(outputs), {"part": name, "network": network})
        heading = f"### {TITLES[name]}\n\n"
        parts_of_it = by_collection(outputs), flagged(judged), frequent(outputs)
        told[network] = heading + "\n\n".join(parts_of_it)
        text = f"# {network}\n\n{told[network]}\n\n```\n{hardest(outputs)}\n```\n"
        print(text, flush=True)
        (folder / "told.md").write_text(text)
    return told


def by_collection(outputs: Outputs) -> str:
    """Returns the table of what is measured per glitch, in all and by collection."""
    where = np.array([Path(key).parts[-2] for key in outputs.table["path"]])
    old = np.isin(where, LOOKED_AT)
    chosen = {"all": np.ones(len(where), bool), "looked at before": old, "new": ~old}
    chosen |= {name: where == name for name in dict.fromkeys(where)}
    rows = []
    for name, some in chosen.items():
        measured = summary(only(outputs, some))["per_glitch"]
        figures = [with_interval(measured, key) for key in ("accuracy", "recall_macro", "ece")]
        rows.append((name, str(measured["n"]), *figures))
    header = ("Per glitch, per cent", "n", "Accuracy", "Macro recall", "ECE")
    return markdown_table(header, rows)


def only(outputs: Outputs, some: Bool[np.ndarray, " sample"]) -> Outputs:
    """Returns the outputs of some pictures, with their glitches whole."""
    table = outputs.table[some].reset_index(drop=True)
    return Outputs(outputs.logits[some], table, outputs.classes)


def flagged(judged: Sequence[Judged]) -> str:
    """Returns how well later classes are told from the 22, and what is flagged at 5 % of these."""
    aurocs = [
        roc_auc_score(
            np.repeat([0, 1], [len(one.scores), len(one.later)]),
            np.concatenate([one.scores, one.later]),
        )
        for one in judged
        if len(one.later)
    ]
    known, later = (
        np.concatenate([getattr(one, k) for one in judged]) for k in ("scores", "later")
    )
    caught = np.mean(later > np.quantile(known, 0.95))
    spread = f" ({min(aurocs):.3f} to {max(aurocs):.3f})" if len(aurocs) > 1 else ""
    return (
        f"Later classes ({len(later)} glitches): AUROC {np.mean(aurocs):.3f}{spread}; with one in "
        f"twenty of the 22's glitches flagged, {caught:.0%} of them are."
    )


def confusion(judged: Sequence[Judged]) -> dict[str, dict[str, int]]:
    """Returns how many glitches of each true class were called what, as `model.json` holds it."""
    outputs = join([one.outputs for one in judged])
    names = np.array(outputs.classes)
    called = names[outputs.glitch_probabilities.argmax(1)]
    counts = pd.crosstab(names[outputs.glitch_labels], called)
    return {
        true: {name: int(count) for name, count in row[row > 0].items()}
        for true, row in counts.iterrows()
    }


def calibrated(judged: Sequence[Judged]) -> tuple[Calibration, ...]:
    """Returns the calibration by what networks said of glitches that they had not seen.

    Its temperatures are 1: fitted ones made probabilities less honest (docs/experiments.md).
    """
    outputs = join([one.outputs for one in judged])
    logits, fused = outputs.scores
    colours = np.concatenate([one.colours for one in judged])
    return fit(
        logits,
        colours,
        outputs.glitches,
        outputs.glitch_labels,
        fused,
        outputs.classes,
        tempered=False,
    )


def frequent(outputs: Outputs) -> str:
    """Returns what changes where probabilities are under Gravity Spy's class frequencies."""
    labels = outputs.glitch_labels
    counts = np.array([TRAINING_SET[name] for name in outputs.classes], float)
    own = outputs.glitch_probabilities
    other = under(own, counts)
    weights = counts[labels] / np.bincount(labels, minlength=len(counts))[labels]
    recalls = [np.mean(other.argmax(1)[labels == label] == label) for label in np.unique(labels)]
    there = [np.average(p.argmax(1) == labels, weights=weights) for p in (own, other)]
    return (
        f"Under Gravity Spy's class frequencies (`--prior gravity-spy`): accuracy "
        f"{np.mean(other.argmax(1) == labels):.1%}, macro recall {np.mean(recalls):.1%}, ECE "
        f"{calibration_error(other, labels):.1%}. Were these glitches as frequent as there: "
        f"balanced {there[0]:.1%} right, with that prior {there[1]:.1%}."
    )
