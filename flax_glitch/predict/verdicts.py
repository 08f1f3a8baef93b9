"""The verdict on a glitch, and how it is written: JSON objects, CSV rows, a table for people."""

import csv
import dataclasses
import html
import io
import json
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from flax_glitch.arrays import Picture
from flax_glitch.checkpoint import Calibration
from flax_glitch.classes import NONE_OF_THE_ABOVE
from flax_glitch.config import BALANCED
from flax_glitch.files import harmless
from flax_glitch.predict.calibration import conformal_set
from flax_glitch.strain.picture import png
from flax_glitch.times import to_utc

if TYPE_CHECKING:
    import pandas

NO_CALIBRATION = (
    "the model isn't calibrated, as sets of classes want: take one trained with validation glitches"
)

UNLIKE = "unlike anything in training"

COLUMNS = (
    "input",
    "gravityspy_id",
    "ifo",
    "gps",
    "utc",
    "q",
    "channel",
    "flags",
    "view",
    "geometry",
    "views",
    "class",
    "confidence",
    "view_class",
    "view_confidence",
    "ood_score",
    "unlike_training",
    "set",
    "prior",
    "model",
    "error",
)
"""Columns of the CSV before one probability a class: class and confidence are the glitch's, over
all its views; the model is the hash of its arrays. Of strain there is a row a glitch, with GPS
time, UTC and Q; of pictures a row each. A set has the classes that hold the truth with the coverage
that is asked for; the prior is how often each class is taken to come. After the probabilities come
the columns of the table that was given, `table_` before names that are here already.
"""


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The verdict on one glitch.

    Attributes:
        names: the classes that the model names, in the order of probabilities.
        inputs: names of its pictures; one name for all four that were made of strain.
        gravityspy_id: its id, where the names tell; so is its detector, `ifo`.
        durations: the window of each picture in seconds, None where the name doesn't tell.
        geometry: the known layout of each picture, "framed" if a figure's axes were found,
            "unknown" if it was used whole, "strain" if it was made of strain.
        per_view: class probabilities of each picture by itself, under the prior.
        probabilities: class probabilities of the glitch, calibrated if the model is, and then put
            under the prior.
        gps: its time in GPS seconds, where strain was given, as is the Q of its pictures.
        channel: what its strain was read from, where the file has names.
        flags: what is amiss with its strain at the time, in words, None if nothing is known of it.
        raw: logits that `own` is the softmax of, at the calibration's temperature; the mean of
            its pictures', or the network's own if it judges them together.
        ood_score: how unlike the training pictures it is, see `calibration.unlikeness`; whatever
            the prior.
        calibration: what validation says of glitches in so many pictures, if the model has any.
        own: class probabilities before the prior, which the calibration is of; those above if not
            given.
        prior: name of how often each class is taken to come.
        knows_outliers: whether the model learned what `ood_score` tells, see `classes.OUTLIER`.
        pixels: its pictures as the network saw them; of many verdicts, which they would fill the
            memory of, only if asked for.
        row: the cells of its row, by column, where a table was given.
    """

    names: tuple[str, ...]
    inputs: tuple[str, ...]
    gravityspy_id: str | None
    ifo: str | None
    durations: tuple[float | None, ...]
    geometry: tuple[str, ...]
    per_view: np.ndarray
    probabilities: np.ndarray
    gps: float | None = None
    q: float | None = None
    channel: str | None = None
    flags: tuple[str, ...] | None = None
    raw: np.ndarray | None = None
    ood_score: float | None = None
    calibration: Calibration | None = None
    own: np.ndarray | None = None
    prior: str = BALANCED
    knows_outliers: bool = False
    pixels: tuple[Picture, ...] = ()
    row: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.names[int(self.probabilities.argmax())]

    @property
    def confidence(self) -> float:
        """The probability of that class."""
        return float(self.probabilities.max())

    @property
    def utc(self) -> str | None:
        """Its time in UTC, as 2015-09-14T09:50:45.400Z, where strain was given."""
        return None if self.gps is None else to_utc(self.gps)

    @property
    def unlike(self) -> bool | None:
        """Whether the class that is named may mean nothing; None if the model has no measure of it.

        So it is with one in twenty glitches of validation. The verdict None_of_the_Above names no
        class, and its own probability is what the score is made of, unless the model learned
        outliers: then only colours that no spectrogram has, which alone make a score positive, are
        unlike anything in training. The prior has no part in the score, but in which class is
        named.
        """
        if self.calibration is None or self.ood_score is None:
            return None
        own_score = self.label == NONE_OF_THE_ABOVE and not self.knows_outliers
        return self.ood_score > (0 if own_score else self.calibration.unlike)

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """Returns the k most probable classes, best first, with their probabilities."""
        return ranked(self.names, self.probabilities)[:k]

    def to_frame(self) -> "pandas.DataFrame":
        """Returns a row a picture, one of strain, with the columns of the CSV."""
        return _frame(self)

    def _repr_html_(self) -> str:
        """Shows a notebook the pictures and the most probable classes."""
        shown = zip(self.pixels, self.durations, strict=False)
        figures = "".join(
            f'<img src="data:image/png;base64,{b64encode(png(pixels)).decode()}" '
            f'alt="window: {window_name(duration)}" style="display:inline; margin:2px">'
            for pixels, duration in shown
        )
        flag = f" ({UNLIKE})" if self.unlike else ""
        rows = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{html.escape(percent(p))}</td></tr>"
            for name, p in self.top()
        )
        verdict = f"<p><b>{html.escape(self.label)}</b>{flag}: {html.escape(called(self))}</p>"
        return f"<div>{verdict}{figures}<table>{rows}</table></div>"

    def classes(self, coverage: float) -> tuple[str, ...]:
        """Returns the classes, best first, that hold the true one with this chance.

        It holds for glitches like those of validation, and so for the probabilities that were
        measured there: the prior has no part in it, and its verdict may be outside of the set.

        Raises:
            ValueError: if the model isn't calibrated, or there is no such share.
        """
        if not 0 < coverage < 1:
            raise ValueError(f"coverage {coverage}: give a share between 0 and 1, such as 0.9")
        if self.calibration is None:
            raise ValueError(NO_CALIBRATION)
        own = self.probabilities if self.own is None else self.own
        kept = conformal_set(own, self.calibration, coverage)
        return tuple(self.names[number] for number in kept)


@dataclasses.dataclass(frozen=True)
class Failure:
    """A picture or an event that can't be classified, and why, in one sentence."""

    input: str
    error: str
    row: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """As in `Prediction`."""

    def to_frame(self) -> "pandas.DataFrame":
        """Returns a row with the columns of the CSV."""
        return _frame(self)


def ranked(names: Sequence[str], probabilities: np.ndarray) -> list[tuple[str, float]]:
    """Returns the classes with their probabilities, most probable first."""
    order = np.argsort(-probabilities, kind="stable")
    return [(names[number], float(probabilities[number])) for number in order]


def called(result: Prediction) -> str:
    """Returns what a glitch is called: its id, its first picture, or where and when it was."""
    if result.utc:
        return f"{result.inputs[0]}, {result.utc}"
    return result.gravityspy_id or result.inputs[0]


def percent(p: float) -> str:
    """Returns a probability as people read it everywhere: "99.8%", and never 0% or 100%."""
    return "<0.1%" if p < 0.0005 else ">99.9%" if p >= 0.9995 else f"{p:.1%}"


def window_name(duration: float | None) -> str:
    """Returns a window as it is written: "0.5", or "unknown"."""
    return "unknown" if duration is None else str(duration)


def as_objects(
    result: Prediction | Failure, model: Mapping[str, str], coverage: float | None = None
) -> list[dict[str, Any]]:
    """Returns one object a picture, ready for JSON; all pictures of a glitch carry its verdict.

    The geometry is the layout by which a picture was cropped, see `Prediction`; "unknown" was used
    whole. Where strain was given, there is one object a glitch, with its time and Q. With a
    coverage there is also the set of classes that holds the true one with this chance, and with a
    table its row.
    """
    table = {"table": dict(result.row)} if result.row else {}
    if isinstance(result, Failure):
        return [{"input": result.input, "error": result.error, **table}]
    windows = _window_names(result.durations)
    best = [ranked(result.names, row)[0] for row in result.per_view]
    verdict = {
        "gravityspy_id": result.gravityspy_id,
        "ifo": result.ifo,
        "views": windows,
        "class": result.label,
        "confidence": result.confidence,
        "probabilities": _by_class(result, result.probabilities),
        "per_view": {
            window: {"class": name, "confidence": confidence}
            for window, (name, confidence) in zip(windows, best, strict=True)
        },
        "ood_score": result.ood_score,
        "unlike_training": result.unlike,
        "logits": None if result.raw is None else _by_class(result, result.raw),
        **({"set": result.classes(coverage)} if coverage else {}),
        "prior": result.prior,
        "model": dict(model),
        **table,
    }
    if result.gps is not None:
        verdict["geometry"] = "strain"
        flags = None if result.flags is None else list(result.flags)
        told = {"channel": result.channel, "flags": flags}
        strain = {"gps": result.gps, "utc": result.utc, "q": result.q, **told}
        return [{"input": result.inputs[0], **strain, **verdict}]
    return [
        {"input": name, "view": window, "geometry": geometry, **verdict}
        for name, window, geometry in zip(result.inputs, windows, result.geometry, strict=True)
    ]


def render(
    results: Iterable[Prediction | Failure],
    form: Literal["table", "csv", "json"],
    model: Mapping[str, str],
    classes: Sequence[str],
    top_k: int = 5,
    header: bool = True,
    coverage: float | None = None,
    table: Sequence[str] = (),
) -> Iterator[str]:
    """Yields the text of results piece by piece: JSON and CSV as they come, a table at the end.

    JSON has one object a line and picture, CSV a row a picture, and the table a row a glitch with
    its `top_k` classes; of strain there is one object or row a glitch. With a coverage there are
    also the sets of classes that hold the true one with this chance. `table` has the columns of the
    table that was given.
    """
    if form == "table":
        yield as_table(list(results), top_k, coverage)
        return
    if form == "csv" and header:
        yield csv_header(classes, table)
    columns = csv_columns(classes, table)
    carrying = columns[len(columns) - len(table) :]
    for result in results:
        if form == "json":
            yield "".join(json.dumps(item) + "\n" for item in as_objects(result, model, coverage))
        else:
            carried = {
                ours: result.row.get(name, "") for ours, name in zip(carrying, table, strict=True)
            }
            yield _csv(columns, [row | carried for row in _csv_rows(result, model, coverage)])


def csv_columns(classes: Sequence[str], table: Sequence[str] = ()) -> tuple[str, ...]:
    """Returns the columns of the CSV for a model's classes, and for the columns of a table."""
    columns = [*COLUMNS, *(f"p({name})" for name in classes)]
    for name in table:
        while name in columns:
            name = f"table_{name}"
        columns.append(name)
    return tuple(columns)


def csv_header(classes: Sequence[str], table: Sequence[str] = ()) -> str:
    """Returns the first line of the CSV."""
    columns = csv_columns(classes, table)
    return _csv(columns, [dict(zip(columns, columns, strict=True))])


def as_table(results: Sequence[Prediction | Failure], top_k: int, coverage: float | None) -> str:
    """Returns a text table with one row a glitch, then their prior; none for failures."""
    verdicts = [result for result in results if isinstance(result, Prediction)]
    sets = [f"{100 * coverage:g}% set"] if coverage else []
    rows: list[tuple[str, ...]] = [("glitch", "windows", "class", "confidence", *sets, "next")]
    rows += [_table_row(result, top_k, coverage) for result in verdicts]
    lines = in_columns(rows)
    lines += [f"* {UNLIKE}"] * any(result.unlike for result in verdicts)
    lines += [f"prior: {result.prior}" for result in verdicts[:1]]
    channels = dict.fromkeys(result.channel for result in verdicts if result.channel)
    lines += [f"channel: {channel}" for channel in channels]
    lines += [f"flagged: {one.inputs[0]}: {', '.join(one.flags)}" for one in verdicts if one.flags]
    return "".join(line + "\n" for line in lines if verdicts)


def in_columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Returns rows of cells as lines in which columns begin at the same place."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _window_names(durations: Sequence[float | None]) -> list[str]:
    """The windows as they are written; of several unknown ones the later are numbered."""
    names = [window_name(duration) for duration in durations]
    again = [names[:place].count("unknown") + 1 for place in range(len(names))]
    return [
        f"{name}-{n}" if name == "unknown" and n > 1 else name
        for name, n in zip(names, again, strict=True)
    ]


def _by_class(result: Prediction, values: np.ndarray) -> dict[str, float]:
    return dict(zip(result.names, map(float, values), strict=True))


def _csv(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    cells = (
        {name: harmless(v) if isinstance(v, str) else v for name, v in row.items()} for row in rows
    )
    csv.DictWriter(text, columns, restval="", lineterminator="\n").writerows(cells)
    return text.getvalue()


def _csv_rows(
    result: Prediction | Failure, model: Mapping[str, str], coverage: float | None
) -> list[dict[str, Any]]:
    if isinstance(result, Failure):
        return [{"input": result.input, "error": result.error}]
    rows = []
    for item, own in zip(as_objects(result, model, coverage), result.per_view, strict=False):
        kept = {name: value for name, value in item.items() if name in COLUMNS}
        kept |= {"views": " ".join(item["views"]), "model": model["sha256"]}
        kept["set"] = " ".join(item.get("set", ()))
        kept["flags"] = ", ".join(result.flags or ())
        if "view" in item:
            kept["view_class"], kept["view_confidence"] = ranked(result.names, own)[0]
        rows.append(kept | {f"p({name})": p for name, p in item["probabilities"].items()})
    return rows


def _table_row(result: Prediction, top_k: int, coverage: float | None) -> tuple[str, ...]:
    return (
        called(result),
        " ".join(map(window_name, result.durations)),
        result.label + " *" * bool(result.unlike),
        percent(result.confidence),
        *([" ".join(result.classes(coverage))] if coverage else []),
        ", ".join(f"{name} {percent(p)}" for name, p in result.top(top_k)[1:]),
    )


def _frame(result: Prediction | Failure) -> "pandas.DataFrame":
    import pandas  # here, because it takes half a second

    rows = pandas.DataFrame(_csv_rows(result, {"sha256": ""}, None))
    return rows.drop(columns=["model", "set"], errors="ignore")
