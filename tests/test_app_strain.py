"""The Strain tab: what it answers, what it says when it can't, and what it never reads."""

import json
import logging
import zipfile
from threading import Event, Lock, Thread, Timer

import httpx
import numpy as np
import pytest
from gwosc_server import RATE, write_strain
from nearest_picture import TOYS, NearestPicture
from test_cli import run

from flax_glitch import files as network
from flax_glitch.app import main, strain
from flax_glitch.app.strain import answer_of, captioned, question_of
from flax_glitch.cli.events import CURES
from flax_glitch.data.layouts import parse_name
from flax_glitch.predict.predictor import Failure
from flax_glitch.predict.verdicts import percent
from flax_glitch.strain import remote
from flax_glitch.strain.files import Strain
from flax_glitch.strain.gwosc import PRESETS
from flax_glitch.strain.qtransform import QScan

NOISE = 1e-22 * np.random.default_rng(5).standard_normal(32 * RATE)
START = 1000


@pytest.fixture(scope="module")
def predictor():
    return NearestPicture()


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Folders of the app's own, no network, and no transform, which takes long to compile."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served"))
    (tmp_path / "served").mkdir()
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(strain, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(remote, "HOST", "http://127.0.0.1:9")
    monkeypatch.setattr(network, "PAUSES", (0.01,))
    monkeypatch.setattr("flax_glitch.strain.picture.q_scan", transform)


def transform(samples, event):
    """Stripes of the samples, in the place of a transform."""
    columns = np.abs(samples[:568] / samples.std()) * 8 + event
    return QScan(np.tile(columns.astype(np.float32), (4, 478, 1)), np.float32(5.66))


@pytest.fixture
def files(tmp_path):
    """Good and bad files by what they are."""
    names = {
        "good": "a.hdf5",
        "gap": "b.hdf5",
        "numbers": "c.npy",
        "text": "d.txt",
        "pickle": "e.npy",
    }
    paths = {kind: tmp_path / "uploads" / name for kind, name in names.items()}
    paths["good"].parent.mkdir()
    gap = NOISE.copy()
    gap[16 * RATE : 17 * RATE] = np.nan
    write_strain(paths["good"], NOISE, START)
    write_strain(paths["gap"], gap, START)
    np.save(paths["numbers"], NOISE)
    np.save(paths["pickle"], np.array([print], object))
    paths["text"].write_text("no strain\n")
    return {kind: str(path) for kind, path in paths.items()}


def silent(*stage, desc):
    """Shows no progress."""


def answered(predictor, *question):
    return answer_of(predictor, question_of(*question), silent)


def test_the_answer_is_the_object_that_the_command_line_prints(
    predictor, files, monkeypatch, capsys, tmp_path
):
    answer = answered(predictor, "1016.5", "", files["good"])
    monkeypatch.setattr("flax_glitch.cli.classify.open_predictor", lambda *_: predictor)
    strain_file = ("--gps", 1016.5, "--strain", files["good"])
    run("classify", *strain_file, "--format", "json", "--cache", tmp_path)
    assert answer.text.read_text() == capsys.readouterr().out
    assert answer.found == json.loads(answer.text.read_text())
    assert (answer.found["ifo"], answer.found["gps"]) == ("H1", 1016.5)


def test_the_pictures_are_named_as_gravity_spy_does(predictor, files):
    answer = answered(predictor, "1016.5", "", files["good"])
    with zipfile.ZipFile(answer.archive) as archive:
        names = archive.namelist()
        assert archive.read(names[0]) == answer.pictures[0].read_bytes()
    glitch = ("H1", answer.found["gravityspy_id"])
    assert [parse_name(name) for name in names] == [(*glitch, d) for d in (0.5, 1.0, 2.0, 4.0)]


def test_each_window_says_its_length_and_what_it_shows_by_itself(predictor, files):
    answer = answered(predictor, "1016.5", "", files["good"])
    captions = [caption for _, caption in captioned(answer)]
    own = answer.found["per_view"]["4.0"]
    shown = own["class"].replace("_", " ")
    assert captions[3] == f"4.0 s: {shown}, {percent(own['confidence'])}"
    assert answer.verdict.count('<th scope="row">') == 4
    assert f'<th scope="row">4.0 s</th><td>{shown}</td>' in answer.verdict


def test_plain_numbers_are_taken_with_their_start_rate_and_detector(predictor, files):
    described = answered(predictor, "1016.5", "H1", files["numbers"], START, RATE)
    of_hdf5 = answered(predictor, "1016.5", "", files["good"])
    assert described.found | {"channel": "strain/Strain"} == of_hdf5.found
    assert "Strain read from strain/Strain." in of_hdf5.verdict


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (("", "H1"), "Give the event's name or its time"),
        (("1e9", ""), "Choose a detector"),
        (("1e9", "H1"), "can't be reached"),
        (("GW190521", "H1"), "GW150914 comes with the package"),
        (("GW150914; rm", "H1"), "give a name of GWOSC's, such as GW150914"),
        (("nan", "H1"), "GPS seconds"),
        (("2015-09-14 25:00", "H1"), "or UTC, such as 2015-09-14 09:50:45.4"),
        (("2000", "", "good"), "a.hdf5: holds GPS 1000 to 1032"),
        (("1031.5", "", "good"), "0.50 s after it; a picture needs 3 s"),
        (("1016.5", "L1", "good"), "the detector is H1 by the file, and L1 was given"),
        (("1016.5", "", "gap"), "no data from GPS 1016 to 1017"),
        (("1016.5", "", "text"), "d.txt: has no numbers"),
        (("1016.5", "H1", "pickle", START, RATE), "e.npy: can't be read"),
        (("1016.5", "H1", "numbers"), "c.npy: doesn't say its start; give its start"),
        (("1016.5", "H1", "numbers", START), "give its sample rate"),
        (("1016.5", "", "numbers", START, RATE), "give its detector"),
        (("1016.5", "", "good", None, None, "X"), "no data set strain/Strain"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence_without_paths_or_options(
    predictor, files, question, said
):
    when, detector, *file = question
    file[:1] = [files[kind] for kind in file[:1]]
    failure = answered(predictor, when, detector, *file)
    assert isinstance(failure, Failure)
    assert said in failure.error
    for word in ("\n", "--", "uploads", "Traceback"):
        assert word not in failure.error


def test_the_unforeseen_is_logged_and_said_without_its_details(
    predictor, files, monkeypatch, caplog
):
    monkeypatch.setattr(strain, "scan", lambda *_: 1 / 0)
    with caplog.at_level(logging.ERROR):
        failure = answered(predictor, "1016.5", "", files["good"])
    assert failure.error == strain.UNEXPECTED
    assert "ZeroDivisionError" in caplog.text


def test_the_page_has_words_for_each_cure_of_an_event():
    assert {*strain.CURES, "table"} == set(CURES)


def test_the_prior_that_the_page_was_given_is_that_of_the_answer(predictor, files):
    found = answered(predictor.with_prior("gravity-spy"), "1016.5", "", files["good"])
    assert found.found["prior"] == "gravity-spy" and "training set." in found.verdict


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: f"{preset.name} {preset.detector}")
def test_an_event_to_click_on_is_fetched_from_its_own_files(predictor, preset, monkeypatch):
    asked = []

    def fetch(gps, detector, cache, *, event, progress):
        asked.append((gps, detector, event))
        return Strain(NOISE, gps - 16, float(RATE), detector)

    monkeypatch.setattr("flax_glitch.events.find.fetch", fetch)
    when, detector, *rest = strain._fill(preset)
    assert rest[0] is None
    assert answered(predictor, when, detector).found["gps"] == preset.gps
    assert asked == [(preset.gps, preset.detector, preset.event)]


def test_warming_up_prepares_the_lengths_that_gwosc_gives(predictor, monkeypatch):
    shapes = []

    def recorded(samples, event):
        shapes.append((len(samples) // 8192, event))
        return transform(samples, event)

    monkeypatch.setattr("flax_glitch.strain.picture.q_scan", recorded)
    for _ in range(2):
        strain.warm_up(predictor)
    assert shapes == [(64, 32.0), (32, 16.0)]


def test_the_end_waits_for_a_transform_and_lets_no_other_begin(predictor, monkeypatch):
    begun, go_on, ended = Event(), Event(), []

    def slow(samples, event):
        begun.set()
        assert go_on.wait(20)
        ended.append(event)
        return transform(samples, event)

    monkeypatch.setattr(strain, "_computing", Lock())
    monkeypatch.setattr(strain, "_ending", Event())
    monkeypatch.setattr("flax_glitch.strain.picture.q_scan", slow)
    Thread(target=strain.warm_up.__wrapped__, args=(predictor,), daemon=True).start()
    assert begun.wait(20)
    Timer(0.2, go_on.set).start()
    strain.finish()
    assert ended == [32.0]
    assert strain._computing.locked()


@pytest.mark.parametrize("uploaded", [True, False])
def test_an_upload_is_read_but_no_other_path_on_the_servers_disk(predictor, files, uploaded):
    page = main.build(predictor, lambda: TOYS)
    address = main.launch(page)
    try:
        path = files["good"]
        if uploaded:
            with open(path, "rb") as file:  # noqa: PTH123
                reply = httpx.post(f"{address}gradio_api/upload", files={"files": ("a.hdf5", file)})
            path = reply.json()[0]
        data = [
            "1016.5",
            "",
            {"path": path, "meta": {"_type": "gradio.FileData"}},
            None,
            None,
            "",
            "gravity-spy",
        ]
        call = f"{address}gradio_api/call/strain"
        asked = httpx.post(call, json={"data": data}).json()
        reply = httpx.get(f"{call}/{asked.get('event_id')}", timeout=20).text if uploaded else asked
    finally:
        page.close(verbose=False)
    assert ("event: complete" in reply) == uploaded
    assert ("gravityspy_id" in reply) == uploaded
    assert ('"prior": "gravity-spy"' in reply) == uploaded


def test_the_page_takes_utc_and_tells_it(predictor, files):
    gps = answered(predictor, "1016.5", "H1", files["numbers"], START, RATE)
    began = "1980-01-06T00:16:40Z"
    utc = answered(predictor, " 1980-01-06 00:16:56.5 ", "H1", files["numbers"], began, RATE)
    assert utc.found == gps.found
    assert "GPS 1016.500, 1980-01-06T00:16:56.500Z" in gps.verdict
