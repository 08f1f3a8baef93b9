"""What the page says of a glitch, as HTML: the verdict, its notes and its bars."""

import html
from collections.abc import Mapping
from typing import Any

from flax_glitch.classes import NONE_OF_THE_ABOVE, morphology, readable
from flax_glitch.config import BALANCED, GRAVITY_SPY
from flax_glitch.predict.verdicts import UNLIKE, Failure, Prediction, percent, ranked

LOW_CONFIDENCE = 0.5
"""Below this the verdict is called uncertain."""

FREQUENT = {
    BALANCED: "equally frequent",
    GRAVITY_SPY: "as frequent as in Gravity Spy's training set",
}
"""How often each class is taken to come, by the name of the prior."""


def hint(text: str) -> str:
    """Returns what stands where the verdict will be."""
    return f'<div class="verdict" role="status"><p class="hint">{text}</p></div>'


def verdict_of(prediction: Prediction | Failure, table: bool = True) -> str:
    """Returns the verdict as HTML: class, confidence, looks, what to beware of.

    With the table also the verdict of each window by itself, if there are several.
    """
    if isinstance(prediction, Failure):
        sentence = f"{escape(prediction.input)} {escape(prediction.error)}."
        return f'<div class="verdict failed" role="alert"><p>{sentence}</p></div>'
    name = named(prediction.label)
    title, below, looks = (
        name,
        f"{sure(prediction.confidence)} confident",
        looks_of(prediction.label),
    )
    if prediction.unlike:
        title, below, looks = UNLIKE.capitalize(), f"nearest: {name}", ""
    notes = "".join(f'<p class="note">{note}</p>' for note in _notes(prediction))
    return (
        f'<div class="verdict{" unlike" * bool(prediction.unlike)}" role="status">'
        f'<h2>{title}</h2><p class="confidence">{below}</p>'
        f"{_when(prediction)}{looks}{notes}<p>{assumed(prediction.prior)}.</p></div>"
        f"{windows_of(prediction) if table else ''}"
    )


def _when(prediction: Prediction) -> str:
    if prediction.gps is None:
        return ""
    return f"<p>{prediction.ifo}, GPS {prediction.gps:.3f}, {prediction.utc}</p>"


def assumed(prior: str) -> str:
    """Returns how often each class is taken to come as HTML, without a full stop."""
    return f"Classes are taken to be {escape(FREQUENT.get(prior, f'as frequent as in {prior}'))}"


def windows_of(prediction: Prediction) -> str:
    """Returns the verdict of each window by itself as HTML, empty if there is but one window."""
    if len(prediction.durations) == 1:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{length}</th><td>{name}</td><td>{share}</td></tr>'
        for length, name, share in each_of(prediction)
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Window", "Verdict", "Confidence"))
    return (
        '<table class="each"><caption>Each window by itself</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def each_of(prediction: Prediction) -> list[tuple[str, str, str]]:
    """Returns length, class and confidence of each window by itself as HTML."""
    best = [ranked(prediction.names, row)[0] for row in prediction.per_view]
    lengths = ["unknown length" if one is None else f"{one} s" for one in prediction.durations]
    pairs = zip(lengths, best, strict=True)
    return [(length, named(name), sure(p)) for length, (name, p) in pairs]


def _notes(prediction: Prediction) -> list[str]:
    notes = [f"Strain read from {escape(prediction.channel)}."] if prediction.channel else []
    if prediction.flags:
        notes.append(f"Flagged at this time: {escape(', '.join(prediction.flags))}.")
    none_of_these = prediction.label == NONE_OF_THE_ABOVE
    if none_of_these and prediction.unlike and not prediction.knows_outliers:
        notes.append(
            "No spectrogram that the network has seen has such colours, or so few. Is it one?"
        )
    elif prediction.unlike:
        notes.append(
            "The class that is named may mean nothing. It may be another kind of glitch, or no "
            "spectrogram at all; about one in twenty glitches that the network should know is "
            "called so as well."
        )
    elif none_of_these:
        notes.append(
            "This is an answer, not a failure: the network takes it for a glitch that is none of "
            f"the {len(prediction.names) - 1} other classes."
        )
    if prediction.confidence < LOW_CONFIDENCE and not prediction.unlike:
        second = named(prediction.top(2)[1][0])
        notes.append(
            f"Low confidence: the network is not sure. It may be {second}, or no class it knows."
        )
    if "unknown" in prediction.geometry:
        notes.append(
            "Not a layout of Gravity Spy that we know: the picture was used whole. If it has axes "
            "or a title, crop them away."
        )
    return notes


def bars_of(answer: Mapping[str, Any] | None, count: int | float) -> str:
    """Returns the most likely classes of an answer as HTML, with a bar each."""
    if not answer or "probabilities" not in answer:
        return ""
    best_first = sorted(answer["probabilities"].items(), key=lambda pair: -float(pair[1]))
    rows = "".join(
        f'<li><span class="name">{named(name)}</span>'
        f'<span class="bar" aria-hidden="true"><i style="width:{float(p):.1%}"></i></span>'
        f'<span class="value">{sure(float(p))}</span></li>'
        for name, p in best_first[: int(count)]
    )
    return f'<ol class="bars" aria-label="Most likely classes">{rows}</ol>'


def sure(probability: float) -> str:
    """Returns a probability as HTML."""
    return html.escape(percent(probability))


def looks_of(name: str) -> str:
    """Returns what a class looks like as HTML, empty if that isn't known."""
    line = morphology(name)
    return f"<p>{line}.</p>" if line else ""


def named(name: str) -> str:
    """Returns a class's name as HTML; it may come from anywhere, as the model does."""
    return escape(readable(name))


def escape(text: str) -> str:
    """Returns text made harmless in HTML, and in Gradio's templates (`${…}`, `{{…}}`) too."""
    return html.escape(text).replace("{", "&#123;").replace("$", "&#36;")
