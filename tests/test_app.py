"""The app: its words, its files, its protection, and its server as a program sees it."""

import csv
import dataclasses
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from flax import nnx
from gradio_client import Client, handle_file
from nearest_picture import CALIBRATION, TOYS, NearestPicture
from PIL import Image
from toy_pictures import toy_picture

from flax_glitch.app import batch, classify, guide, main, protect
from flax_glitch.app.verdict import sure
from flax_glitch.checkpoint import Description, arrays_of, save_model
from flax_glitch.classes import CLASSES, MORPHOLOGY, TRAINING_SET
from flax_glitch.config import ModelConfig, Preprocessing
from flax_glitch.models.classifier import build
from flax_glitch.predict.predictor import Failure, Prediction
from flax_glitch.predict.verdicts import as_objects

ROOT = Path(__file__).parents[1]
MODEL = {"name": "nearest-picture", "sha256": "0123456789abcdef" * 4}


@pytest.fixture(scope="module")
def predictor():
    return NearestPicture()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder for the app's own files, as `own_folder` gives."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def address(predictor, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("served")))
        page = main.build(predictor, lambda: TOYS)
        yield main.launch(page)
        page.close(verbose=False)


@pytest.fixture(scope="module")
def whistle(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "H1_abc_spectrogram_1.0.png"
    Image.fromarray(toy_picture("Whistle", 1.0)).save(path)
    return path


def prediction(probabilities, geometry=("kaggle",)):
    probabilities = np.asarray(probabilities, float)
    unknown = (("a.png",), None, None, (None,), geometry)
    return Prediction(CLASSES, *unknown, probabilities[None], probabilities)


def confident(share, name="Koi_Fish"):
    rest = np.full(len(CLASSES), (1 - share) / (len(CLASSES) - 1))
    rest[CLASSES.index(name)] = share
    return rest


def test_a_confident_verdict_names_the_class_and_what_it_looks_like():
    text = classify.verdict_of(prediction(confident(0.973)))
    assert "<h2>Koi Fish</h2>" in text
    assert "97.3% confident" in text
    assert MORPHOLOGY["Koi_Fish"] in text
    assert "note" not in text


@pytest.mark.parametrize(
    ("probability", "said"),
    [(1.0, "&gt;99.9%"), (0.9994, "99.9%"), (0.5, "50.0%"), (0.0006, "0.1%"), (0.0, "&lt;0.1%")],
)
def test_no_probability_is_rounded_to_certain_or_impossible(probability, said):
    assert sure(probability) == said


@pytest.mark.parametrize(("share", "said"), [(0.499, True), (0.501, False)])
def test_a_confidence_below_one_half_is_called_low(share, said):
    assert ("Low confidence" in classify.verdict_of(prediction(confident(share)))) is said


def test_a_picture_of_unknown_geometry_is_said_to_be_used_whole():
    assert "used whole" in classify.verdict_of(prediction(confident(0.9), ("unknown",)))
    assert "used whole" not in classify.verdict_of(prediction(confident(0.9), ("full",)))


def test_a_picture_unlike_any_glitch_is_said_to_be_so(predictor, folder):
    grey = folder / "grey.png"
    Image.new("RGB", (568, 478), (128, 128, 128)).save(grey)
    answer, verdict, _ = classify.classify(predictor, str(grey))
    assert "Unlike anything in training" in verdict and answer["unlike_training"] is True
    assert batch.table_of(tried(predictor, [str(grey)]))[0][3] == batch.UNLIKE


def test_a_file_name_cannot_smuggle_html_or_template_code_into_the_page():
    text = classify.verdict_of(Failure("<img src=x onerror=alert(1)>${1+1}{{x}}.png", "is bad"))
    assert "<img" not in text
    assert "${" not in text
    assert "{{" not in text


@pytest.mark.parametrize("count", [1, 5, 22])
def test_as_many_bars_are_shown_as_asked_best_first(count):
    answer = as_objects(prediction(confident(0.6)), MODEL)[0]
    text = classify.bars_of(answer, count)
    assert text.count("<li>") == count
    assert text.index("Koi Fish") == min(
        text.index(name.replace("_", " ")) for name in CLASSES if name.replace("_", " ") in text
    )


@pytest.mark.parametrize("answer", [None, {"input": "a.png", "error": "is bad"}])
def test_no_bars_are_shown_without_an_answer(answer):
    assert classify.bars_of(answer, 5) == ""


def test_no_picture_gives_the_invitation(predictor):
    answer, verdict, seen = classify.classify(predictor, None)
    assert answer is None and seen is None
    assert "upload files, or click an example.</p>" in verdict


def test_a_picture_gives_its_class_as_json_and_html_and_what_the_network_saw(predictor, whistle):
    answer, verdict, seen = classify.classify(predictor, str(whistle))
    assert answer["class"] == "Whistle"
    assert answer["input"] == whistle.name
    assert "<h2>Whistle</h2>" in verdict and "Unlike" not in verdict
    assert seen.shape == (32, 32, 3)


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n broken", None])
def test_a_bad_picture_gives_one_sentence_without_the_servers_folders(predictor, tmp_path, content):
    path = tmp_path / "bad.png"
    if content is not None:
        path.write_bytes(content)
    answer, verdict, seen = classify.classify(predictor, str(path))
    assert seen is None
    assert answer["input"] == "bad.png"
    assert "bad.png" in verdict
    assert str(tmp_path) not in verdict + json.dumps(answer)
    assert "Error" not in verdict


def test_an_unexpected_failure_gives_a_friendly_sentence(predictor, whistle, monkeypatch, caplog):
    def fail(views, mask):
        raise RuntimeError("secret")

    monkeypatch.setattr(predictor, "forward", fail)
    _, verdict, _ = classify.classify(predictor, str(whistle))
    assert "something went wrong" in verdict
    assert "secret" not in verdict
    assert "secret" in caplog.text


@pytest.fixture
def pictures(tmp_path):
    """Two windows of one glitch, a picture of no known name, and a file that is no picture."""
    for duration in (0.5, 1.0):
        path = tmp_path / f"L1_xy.z_spectrogram_{duration}.png"
        Image.fromarray(toy_picture("Koi_Fish", duration)).save(path)
    Image.fromarray(toy_picture("Whistle", 1.0)).save(tmp_path / "mine.png")
    (tmp_path / "text.png").write_text("no picture")
    return [str(path) for path in sorted(tmp_path.glob("*.png"))]


def tried(predictor, paths):
    results = []
    list(batch.classify(predictor, paths, results))
    return results


def test_a_batch_has_a_row_a_glitch_and_says_how_far_it_is(predictor, pictures, folder):
    results = []
    said = list(batch.classify(predictor, pictures, results))
    assert said[0].startswith("1 of 4 pictures; about ") and said[-1].startswith("4 of 4 pictures")
    summary, ordered, *_ = batch.finished(predictor, results)
    assert summary.startswith("**3 pictures of 2 glitches**; 1 failed, see below.")
    rows = {row[5]: row for row in batch.table_of(ordered)}
    assert set(rows) == {"xy.z", "mine.png"}
    assert rows["xy.z"][1] == "Koi Fish" and rows["xy.z"][6] == "0.5, 1.0"
    assert isinstance(ordered[-1], Failure)


def test_the_doubtful_come_first_and_can_be_shown_alone():
    sure, unsure = prediction(confident(0.9)), prediction(confident(0.4))
    odd = prediction(confident(0.95, "Whistle"))
    doubted = dataclasses.replace(odd, ood_score=1e9, calibration=CALIBRATION)
    _, ordered, *_ = batch.finished(
        NearestPicture(), [sure, Failure("x", "is bad"), unsure, doubted]
    )
    assert [row[1] for row in batch.table_of(ordered)] == ["Whistle", "Koi Fish", "Koi Fish"]
    assert [row[0] for row in batch.table_of(ordered, batch.UNSURE)] == [2]
    assert [row[0] for row in batch.table_of(ordered, batch.UNLIKE)] == [1]
    assert [row[0] for row in batch.table_of(ordered, "Koi_Fish")] == [2, 3]
    filters, failed, reasons, *_ = batch.arranged(ordered)
    assert [label for label, _ in filters.choices] == [
        "All (3)",
        "unsure (1)",
        "unlike anything in training (1)",
        "Koi Fish (2)",
        "Whistle (1)",
    ]
    assert failed.label == "1 failed" and "x: is bad" in reasons


def test_a_row_opens_the_glitchs_pictures_while_they_are_there(predictor, pictures):
    (whistle,) = tried(predictor, [path for path in pictures if "mine" in path])
    verdict, windows, _ = batch.opened_of(predictor, whistle)
    assert "<h2>Whistle</h2>" in verdict and windows.count("<figure>") == 1
    Path(whistle.inputs[0]).unlink()
    assert "no longer here" in batch.opened_of(predictor, whistle)[1]


def test_the_files_to_download_hold_what_the_table_shows(predictor, pictures, folder):
    _, ordered, _, *buttons = batch.finished(predictor, tried(predictor, pictures))
    csv_file, json_file = (Path(button.value["path"]) for button in buttons)
    rows = list(csv.DictReader(csv_file.read_text(encoding="utf-8").splitlines()))
    objects = json.loads(json_file.read_text(encoding="utf-8"))
    inputs = [row["input"] for row in objects]
    assert [row["input"] for row in rows] == inputs and set(inputs) == {
        Path(path).name for path in pictures
    }
    assert len(ordered) == 3 and folder in csv_file.parents
    assert str(folder) not in csv_file.read_text() + json_file.read_text()


@pytest.mark.parametrize(
    ("count", "sentence"), [(0, "Choose some"), (200, None), (201, "at most 200")]
)
def test_a_batch_has_from_1_to_200_pictures(count, sentence):
    refusal = batch.refusal_of(["a.png"] * count)
    assert (sentence in refusal) if sentence else refusal == ""


def test_the_guide_shows_every_class_and_describes_its_pictures():
    text = guide.classes_of(CLASSES, {"Blip": toy_picture("Blip", 1.0)})
    for name in CLASSES:
        assert MORPHOLOGY[name] in text
    assert text.count("<img") == 1
    assert 'alt="Simulated example of Blip"' in text


def test_old_files_are_swept_then_the_oldest_beyond_the_limit(tmp_path):
    names = ["kept", "old", "older_than_new", "new"]
    for age, name in zip((9000, 9000, 20, 10), names, strict=True):
        (tmp_path / name).write_bytes(b"x" * 100)
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    keep = {tmp_path / "kept"}
    protect.sweep(tmp_path, keep, max_age=3600.0)
    assert {path.name for path in tmp_path.iterdir()} == {"kept", "older_than_new", "new"}
    protect.sweep(tmp_path, keep, max_age=3600.0, max_bytes=150)
    assert {path.name for path in tmp_path.iterdir()} == {"kept", "new"}


def test_an_address_is_refused_in_one_line_that_names_the_cure():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"^--port {port}: taken by another program; give"):
            protect.check_address("127.0.0.1", port)
    protect.check_address("127.0.0.1", port)
    for host, port, said in [
        ("127.0.0.1", 70000, "--port 70000: give a number from 1 to 65535"),
        ("203.0.113.7", None, "--host 203.0.113.7: not an address of this machine"),
        ("no such host", None, "--host no such host: no such host"),
    ]:
        with pytest.raises(ValueError, match=re.escape(said)):
            protect.check_address(host, port)


def test_gradio_s_own_variables_name_host_and_port(monkeypatch):
    monkeypatch.delenv("GRADIO_SERVER_PORT", raising=False)
    assert protect.wanted_port() is None
    monkeypatch.setenv("GRADIO_SERVER_PORT", "8123")
    assert protect.wanted_port() == 8123
    monkeypatch.setenv("GRADIO_SERVER_PORT", "http")
    with pytest.raises(ValueError, match="GRADIO_SERVER_PORT=http: give a number"):
        protect.wanted_port()
    script = Path(__file__).parents[1] / "app_gradio.py"
    asked = os.environ | {"GRADIO_SERVER_NAME": "no such host", "GRADIO_SERVER_PORT": "8123"}
    ended = subprocess.run([sys.executable, script], env=asked, capture_output=True, text=True)
    assert ended.stderr.startswith("error: --host no such host") and ended.returncode == 2


def test_accounts_are_read_from_lines_of_name_and_password(tmp_path):
    path = tmp_path / "accounts"
    path.write_text("ada:love:lace\n\nbob:x\n")
    assert protect.read_accounts(path) == [("ada", "love:lace"), ("bob", "x")]


@pytest.mark.parametrize(
    ("text", "said"),
    [("ada\n", "line 1 is not name:password"), ("\n", "empty"), (None, "no text file")],
)
def test_a_bad_file_of_accounts_is_refused_in_one_line(tmp_path, text, said):
    path = tmp_path / "accounts"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=said):
        protect.read_accounts(path)


def test_each_process_has_a_folder_of_its_own_that_goes_with_it(monkeypatch):
    for name in ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED", "no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "before")
    with protect.own_folder("127.0.0.1") as first, protect.own_folder("127.0.0.1") as second:
        assert first != second
        assert os.environ["GRADIO_TEMP_DIR"] == str(second)
        (second / "upload").write_text("x")
    assert not first.exists()
    assert not second.exists()


def test_sharing_offline_says_so_in_one_line_and_goes_on(
    predictor, folder, monkeypatch, capsys, caplog
):
    def fail(*arguments):
        raise RuntimeError("Could not get share link from Gradio API Server.")

    page = main.build(predictor, lambda: TOYS)
    page.server_name, page.server_port = "127.0.0.1", 7860
    links = set()
    monkeypatch.setattr(main.networking, "setup_tunnel", fail)
    main._share(page, links)
    (said,) = caplog.messages
    assert "\n" not in said and said.endswith("The app goes on locally")
    monkeypatch.setattr(main.networking, "setup_tunnel", lambda *_: "https://x.example")
    main._share(page, links)
    assert "https://x.example" in capsys.readouterr().out
    assert links == {"x.example"}


@pytest.fixture
def client(address, tmp_path):
    return Client(address, verbose=False, download_files=tmp_path / "downloads")


def test_a_program_gets_the_class_of_a_picture(client, whistle):
    answer, verdict, seen = client.predict(handle_file(whistle), api_name="/classify")
    assert answer["class"] == "Whistle"
    assert "Whistle" in verdict
    with Image.open(seen) as picture:
        assert picture.size == (32, 32)


def test_a_program_gets_a_batch_with_its_files(client, pictures):
    files = [handle_file(path) for path in pictures]
    summary, table, csv_file, _ = client.predict(files, api_name="/batch")
    assert "3 pictures of 2 glitches" in summary
    assert len(table["value"]["data"]) == 2
    assert "L1_xy.z_spectrogram_0.5.png" in Path(csv_file["value"]).read_text()


def called(address, name, path, prior="balanced"):
    """Returns the events of a call on a file by its path on the server."""
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    call = f"{address}gradio_api/call/{name}"
    data = [file if name == "classify" else [file], prior]
    asked = httpx.post(call, json={"data": data})
    if asked.status_code == 400:
        return asked.text
    event = asked.json()["event_id"]
    return httpx.get(f"{call}/{event}", timeout=20).text


def test_all_tabs_take_the_classes_to_come_as_chosen(client, predictor, pictures):
    chosen = predictor.with_prior("gravity-spy")
    (expected,) = chosen.classify([Path(pictures[2])], ["mine.png"])
    answer, verdict, _ = client.predict(
        handle_file(pictures[2]), prior="gravity-spy", api_name="/classify"
    )
    assert answer["prior"] == "gravity-spy" and "Gravity Spy&#x27;s training set." in verdict
    assert answer["probabilities"] == pytest.approx(as_objects(expected, MODEL)[0]["probabilities"])
    files = [handle_file(path) for path in pictures]
    summary, *_, text = client.predict(files, prior="gravity-spy", api_name="/batch")
    assert summary.endswith("training set.")
    found = {item["input"]: item for item in json.loads(Path(text["value"]).read_text())}
    assert found["mine.png"]["probabilities"] == pytest.approx(answer["probabilities"])
    before, verdict, _ = client.predict(handle_file(pictures[2]), api_name="/classify")
    assert before["prior"] == "balanced" and "taken to be equally frequent." in verdict


@pytest.mark.parametrize("name", ["classify", "batch"])
def test_a_prior_is_one_of_those_offered_and_no_file_on_the_servers_disk(
    address, whistle, name, tmp_path
):
    (tmp_path / "good.json").write_text(json.dumps(dict(TRAINING_SET)))
    uploaded = httpx.post(
        f"{address}gradio_api/upload", files={"files": (whistle.name, whistle.read_bytes())}
    ).json()[0]
    assert "event: complete" in called(address, name, uploaded, "gravity-spy")
    reply = called(address, name, uploaded, str(tmp_path / "good.json"))
    assert "is not in the list of choices" in reply and "event:" not in reply


@pytest.mark.parametrize("name", ["classify", "batch"])
def test_an_upload_is_read_but_no_other_path_on_the_servers_disk(address, whistle, name):
    uploaded = httpx.post(
        f"{address}gradio_api/upload", files={"files": (whistle.name, whistle.read_bytes())}
    ).json()[0]
    assert "event: complete" in called(address, name, uploaded)
    for path in ("/etc/passwd", str(whistle), f"{Path(uploaded).parent}/../../../etc/passwd"):
        reply = called(address, name, path)
        assert "of the wrong number or type" in reply
        assert "event: complete" not in reply


@pytest.mark.parametrize("name", ["classify", "batch"])
def test_an_address_in_the_place_of_a_file_is_not_fetched(address, name, monkeypatch):
    asked, resolve = [], socket.getaddrinfo

    def recorded(host, *more, **named):
        asked.append(host)
        return resolve(host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", recorded)
    reply = called(address, name, "http://example.org/x.png")
    assert "Addresses are not fetched" in reply
    assert asked and "example.org" not in asked


@pytest.mark.parametrize(
    "path", ["file=/etc/passwd", "file=http://example.org/", "proxy=http://example.org/"]
)
def test_nothing_but_the_apps_own_files_can_be_fetched(address, path):
    reply = httpx.get(f"{address}gradio_api/{path}")
    assert reply.status_code == 403
    assert "root:" not in reply.text


def test_a_file_that_is_too_large_is_refused(predictor, folder, monkeypatch):
    monkeypatch.setattr(protect, "MAX_UPLOAD", "1 MB")
    page = main.build(predictor, lambda: TOYS)
    upload = f"{main.launch(page)}gradio_api/upload"
    try:
        for size, answer in ((1 << 20, 200), ((1 << 20) + 1, 413)):
            assert httpx.post(upload, files={"files": ("a.png", bytes(size))}).status_code == answer
    finally:
        page.close(verbose=False)


def test_only_the_four_named_functions_are_open_to_programs(address):
    named = httpx.get(f"{address}gradio_api/info").json()["named_endpoints"]
    assert sorted(named) == ["/batch", "/classify", "/classify_glitch", "/strain"]
    for name, said in named.items():
        assert said["description"], name
        for one in said["parameters"]:
            assert one["python_type"]["type"] not in ("", "Any"), (name, one)
            assert not one["parameter_name"].startswith("param_"), (name, one)
        for one in said["returns"]:
            assert not one["label"].startswith("value_"), (name, one)
    for path in ("monitoring", "monitoring/summary", "gradio_api/runs"):
        assert httpx.get(address + path).status_code in (403, 404)


def test_the_page_has_its_own_styles(address):
    assert ".verdict.failed" in httpx.get(f"{address}config").json()["css"]


def test_pages_may_load_nothing_from_elsewhere(address):
    policy = httpx.get(address).headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy


def test_with_accounts_only_their_owners_get_in(predictor, folder):
    page = main.build(predictor, lambda: TOYS)
    address = main.launch(page, accounts=[("ada", "lovelace")])
    try:
        with httpx.Client(base_url=address) as client:
            assert client.get("config").status_code == 401
            wrong = {"username": "ada", "password": "x"}
            assert client.post("login", data=wrong).status_code == 400
            right = {"username": "ada", "password": "lovelace"}
            assert client.post("login", data=right).status_code == 200
            assert client.get("config").status_code == 200
    finally:
        page.close(verbose=False)


def start(*arguments, script="tests/nearest_picture.py"):
    return subprocess.Popen(
        [sys.executable, str(ROOT / script), "--no-browser", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def address_of(process):
    lines = []
    for line in process.stdout:
        lines.append(line)
        if found := re.search(r"http://\S+", line):
            return found[0]
    pytest.fail(f"it did not start: {''.join(lines)}{process.stderr.read()}")


def test_two_processes_serve_side_by_side_and_end_cleanly(whistle, tmp_path):
    processes = [start("--checkpoint", "fast"), start("--checkpoint", "fast")]
    try:
        addresses = [address_of(process) for process in processes]
        assert addresses[0] != addresses[1]
        for address in addresses:
            client = Client(address, verbose=False, download_files=tmp_path)
            answer, *_ = client.predict(handle_file(whistle), api_name="/classify")
            assert answer["class"] == "Whistle"
        port = addresses[0].rstrip("/").rpartition(":")[2]
        third = start("--checkpoint", "fast", "--port", port)
        _, said = third.communicate(timeout=60)
        assert third.returncode == 1
        assert said.startswith(f"error: --port {port}: taken")
        for process in processes:
            process.send_signal(signal.SIGINT)
        for process in processes:
            _, said = process.communicate(timeout=30)
            assert process.returncode == 0
            assert "Traceback" not in said
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_of_a_checkpoint_that_isnt_there_one_line_tells(tmp_path):
    process = subprocess.run(
        [sys.executable, str(ROOT / "app_gradio.py"), "--no-browser", "--checkpoint", "nowhere"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 1
    assert process.stderr.count("\n") == 1
    assert process.stderr.startswith("error: nowhere: no such folder or model")


def test_a_disk_that_fails_as_the_app_starts_is_told_in_one_line():
    code = (
        "import tempfile; from flax_glitch.cli import main; "
        "tempfile.tempdir = '/nowhere'; main(['app'])"
    )
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 1
    assert process.stderr.startswith("error: /nowhere/flax_glitch-")
    assert process.stderr.endswith(": No such file or directory\n")
    assert process.stderr.count("\n") == 1


def resident_bytes(process):
    status = Path(f"/proc/{process.pid}/status").read_text()
    return 1024 * int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_stays_flat_and_below_2_gb_over_200_predictions(tmp_path):
    settings = ModelConfig(weights="none")
    model = build(settings, rngs=nnx.Rngs(0))
    description = Description("random", settings, Preprocessing(), {}, CLASSES)
    save_model(tmp_path / "random", arrays_of(model), description, "# random")
    for name in CLASSES:
        Image.fromarray(toy_picture(name, 1.0)).save(tmp_path / f"{name}.png")
    process = start("--checkpoint", str(tmp_path / "random"), script="app_gradio.py")
    try:
        client = Client(address_of(process), verbose=False, download_files=tmp_path / "downloads")
        used = []
        for number in range(200):
            picture = tmp_path / f"{CLASSES[number % len(CLASSES)]}.png"
            answer, *_ = client.predict(handle_file(picture), api_name="/classify")
            assert answer["model"]["name"] == "random"
            used.append(resident_bytes(process))
        assert max(used) < 2e9
        assert used[-1] - used[50] < 50e6
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
