"""Files of verdicts that a stopped call left: what is kept of them."""

import csv
import io
import json

import numpy as np
import pytest

from flax_glitch.classes import CLASSES, DURATIONS
from flax_glitch.cli.answers import continue_rows
from flax_glitch.predict.predictor import Failure, Prediction
from flax_glitch.predict.verdicts import csv_header, render

SHA256 = "abc" * 20
MODEL = {"name": "made", "sha256": SHA256}
HEADER = csv_header(CLASSES)


def verdict(id, gps=1e9):
    """Of strain."""
    even = np.full(22, 1 / 22)
    return Prediction(
        CLASSES, (f"H1 at {gps:.3f}",), id, "H1", DURATIONS, ("strain",) * 4,
        np.tile(even, (4, 1)), even, gps=gps, q=5.66,
    )  # fmt: skip


RESULTS = [verdict("one"), Failure("H1 at 5.000", "no strain, nowhere\nat all"), verdict("two")]


def text(form, results=RESULTS, header=True):
    return "".join(render(results, form, MODEL, CLASSES, header=header))


def ids(content, form):
    if form == "csv":
        return [row["gravityspy_id"] for row in csv.DictReader(io.StringIO(content))]
    return [json.loads(line)["gravityspy_id"] for line in content.splitlines()]


@pytest.mark.parametrize("form", ["csv", "json"])
def test_verdicts_stay_as_they_are_and_failures_fall_away(tmp_path, form):
    path = tmp_path / "out"
    path.write_text(text(form))
    assert continue_rows(path, form, SHA256, "balanced", HEADER) == {
        ("H1", "one"): "1080Lines",
        ("H1", "two"): "1080Lines",
    }
    assert path.read_text() == text(form, [RESULTS[0], RESULTS[2]])
    path.write_text(path.read_text() + text(form, [verdict("three")], header=False))
    assert ids(path.read_text(), form) == ["one", "two", "three"]


@pytest.mark.parametrize("form", ["csv", "json"])
def test_cut_anywhere_a_file_goes_on_from_its_last_whole_row(tmp_path, form):
    path = tmp_path / "out"
    whole = text(form)
    for end in [*range(0, len(whole), 7), len(whole) - 1]:
        path.write_text(whole[:end])
        keys = continue_rows(path, form, SHA256, "balanced", HEADER)
        kept = path.read_text()
        assert ids(kept, form) == [id for _, id in sorted(keys)]
        assert keys or not kept
        assert whole[:end].count("one,H1" if form == "csv" else "}}\n") >= len(keys) - 1
    assert set(keys) == {("H1", "one")}


def test_there_may_be_no_file_yet(tmp_path):
    assert continue_rows(tmp_path / "none", "csv", SHA256, "balanced", HEADER) == {}
    assert not (tmp_path / "none").exists()


def pictures_verdict(form):
    prediction = verdict("one")
    windows = [f"H1_one_spectrogram_{duration}.png" for duration in DURATIONS]
    values = vars(prediction) | {"inputs": tuple(windows), "gps": None, "q": None}
    return text(form, [Prediction(**values)])


@pytest.mark.parametrize("form", ["csv", "json"])
@pytest.mark.parametrize(
    "content",
    [
        "my notes",
        "a,b\n1,2\n",
        '{"a": 1}\n',
        "[]\n",
        '{"input": "a", "error": "b"}\n[]\n',
        pictures_verdict("csv"),
        pictures_verdict("json"),
    ],
    ids=[
        "text",
        "table",
        "object",
        "list",
        "object and list",
        "csv of pictures",
        "json of pictures",
    ],
)
def test_anything_else_is_refused_and_left_as_it_is(tmp_path, form, content):
    path = tmp_path / "out"
    path.write_text(content)
    with pytest.raises(ValueError, match=f"holds something else than {form.upper()} verdicts"):
        continue_rows(path, form, SHA256, "balanced", HEADER)
    assert path.read_text() == content


@pytest.mark.parametrize("form", ["csv", "json"])
def test_verdicts_under_another_prior_are_not_mixed_in(tmp_path, form):
    path = tmp_path / "out"
    path.write_text(text(form))
    with pytest.raises(ValueError, match=r"another prior \(balanced, now gravity-spy\); give that"):
        continue_rows(path, form, SHA256, "gravity-spy", HEADER)
    assert path.read_text() == text(form)


@pytest.mark.parametrize("form", ["csv", "json"])
def test_the_verdicts_of_another_model_are_not_mixed_in(tmp_path, form):
    path = tmp_path / "out"
    path.write_text(text(form))
    with pytest.raises(ValueError, match=r"begun with another model .*abcabcabcabc"):
        continue_rows(path, form, "def" * 20, "balanced", HEADER)
    assert path.read_text() == text(form)
