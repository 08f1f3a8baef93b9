"""A report to keep: one HTML file that holds a verdict and all that belongs to it."""

from datetime import UTC, datetime
from pathlib import Path

from flax_glitch import __version__
from flax_glitch.app.evidence import Answered, figures_of
from flax_glitch.app.verdict import bars_of, escape, verdict_of
from flax_glitch.predict.predictor import Predictor
from flax_glitch.predict.verdicts import as_objects

STYLE = """
:root { color-scheme: light; --background-fill-secondary: #f4f4f5; --color-accent: #0f766e;
  --border-color-primary: #d4d4d8; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 1000px; margin: 2rem auto;
  padding: 0 1rem; }
th { text-align: left; padding-right: 2em; vertical-align: top; }
td { overflow-wrap: anywhere; }
.looked, .alike, .bars { margin-top: 1.5rem; }
.to-guide { display: none; }
"""


def report_html(
    predictor: Predictor, found: Answered, figures: str = "", resembling: str = ""
) -> str:
    """Returns a page that needs no other file, as `evidence` gives its parts.

    Args:
        predictor: whose verdict it is.
        found: the verdict and its pictures.
        figures: the windows, with maps or without; if empty, without.
        resembling: what the glitch resembles.
    """
    prediction = found.prediction
    answer = as_objects(prediction, predictor.identity)[0]
    style = STYLE + Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    settings = "".join(
        f'<tr><th scope="row">{name}</th><td>{escape(str(value))}</td></tr>'
        for name, value in _settings(predictor, found).items()
        if value not in (None, "")
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>flax_glitch: {escape(prediction.inputs[0])}</title><style>{style}</style></head>"
        f"<body><h1>flax_glitch</h1>{verdict_of(prediction, table=False)}"
        f"{figures or figures_of(found)}{resembling}{bars_of(answer, len(prediction.names))}"
        f"<h2>How it was made</h2><table>{settings}</table></body></html>\n"
    )


def _settings(predictor: Predictor, found: Answered) -> dict[str, str | float | None]:
    prediction, score = found.prediction, found.prediction.ood_score
    return {
        "Pictures": ", ".join(prediction.inputs),
        "Gravity Spy id": prediction.gravityspy_id,
        "Detector": prediction.ifo,
        "GPS time": prediction.gps,
        "UTC": prediction.utc,
        "Q": prediction.q,
        "Channel": prediction.channel,
        "Layout": ", ".join(dict.fromkeys(prediction.geometry)),
        "Unlike anything in training": score if score is None else f"score {score:.2f}",
        "Class frequencies": prediction.prior,
        "Model": f"{predictor.name}, SHA-256 {predictor.sha256}",
        "Trained on": predictor.trained_on,
        "Made by": f"flax_glitch {__version__}",
        "Made at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
