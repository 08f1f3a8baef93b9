"""The app in a real browser: what people do with it, and what it never does."""

import base64
import csv
import json
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from nearest_picture import TOYS, NearestPicture, with_toy_evidence
from PIL import Image
from playwright.sync_api import expect
from toy_pictures import toy_picture

from flax_glitch.app import main
from flax_glitch.data.table import open_source

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    Image.effect_noise((400, 300), 50).save(folder / "learning_curves.png")
    return NearestPicture(folder)


@pytest.fixture(scope="module")
def kept_in(tmp_path_factory):
    """The folder of disagreements."""
    return tmp_path_factory.mktemp("data") / "disagreements"


@pytest.fixture(scope="module")
def address(predictor, kept_in, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("served")))
        with_toy_evidence(patch)
        page = main.build(predictor, lambda: TOYS, kept_in)
        yield main.launch(page)
        page.close(verbose=False)


@pytest.fixture(scope="module")
def requested():
    """Every address that any page asked for."""
    return []


@contextmanager
def opened(chromium, address, requested, viewport):
    context = chromium.new_context(
        viewport=viewport, permissions=["clipboard-read", "clipboard-write"]
    )
    page = context.new_page()
    page.on("request", lambda request: requested.append(request.url))
    refused = []
    page.on("console", lambda said: refused.append(said.text) if said.type == "error" else None)
    page.goto(address)
    expect(page.get_by_text("click an example.")).to_be_visible()
    expect(page.get_by_alt_text("Koi Fish", exact=True)).to_be_visible()
    yield page
    context.close()
    assert not [text for text in refused if "Content Security Policy" in text]


@pytest.fixture
def page(chromium, address, requested):
    with opened(chromium, address, requested, DESKTOP) as page:
        yield page


@pytest.fixture
def phone(chromium, address, requested):
    with opened(chromium, address, requested, PHONE) as page:
        yield page


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Good and bad files by what they are."""
    folder = tmp_path_factory.mktemp("pictures")
    names = {
        "whistle": "H1_abc_spectrogram_1.0.png",
        "koi fish": "L1_xyz_spectrogram_0.5.png",
        "koi fish, longer": "L1_xyz_spectrogram_1.0.png",
        "unnamed": "mine.png",
        "unnamed, longer": "other.png",
        "text": "text.png",
        "empty": "empty.png",
        "large": "large.png",
    }
    paths = {kind: folder / name for kind, name in names.items()}
    Image.fromarray(toy_picture("Whistle", 1.0)).save(paths["whistle"])
    Image.fromarray(toy_picture("Koi_Fish", 0.5)).save(paths["koi fish"])
    Image.fromarray(toy_picture("Koi_Fish", 1.0)).save(paths["koi fish, longer"])
    Image.fromarray(toy_picture("Whistle", 2.0)).save(paths["unnamed"])
    Image.fromarray(toy_picture("Whistle", 4.0)).save(paths["unnamed, longer"])
    paths["text"].write_text("no picture")
    paths["empty"].write_bytes(b"")
    paths["large"].write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(10 * 1024 * 1024))
    return {kind: str(path) for kind, path in paths.items()}


def upload(page, *paths):
    inputs = page.locator("[role=tabpanel]:visible input[type=file]").first
    inputs.set_input_files(list(paths))


def verdict(page):
    return page.locator(".verdict")


def test_an_uploaded_picture_gets_its_class(page, pictures):
    expect(page).to_have_title("flax_glitch")
    assert page.locator("html").get_attribute("lang") == "en"
    upload(page, pictures["whistle"])
    expect(verdict(page).get_by_role("heading")).to_have_text("Whistle")
    expect(verdict(page)).to_contain_text("A steep V or W")
    expect(page.locator(".bars li")).to_have_count(5)
    expect(page.locator(".looked img:visible")).to_have_count(1)


def test_a_dropped_picture_gets_its_class(page, pictures):
    content = base64.b64encode(Path(pictures["whistle"]).read_bytes()).decode()
    transfer = page.evaluate_handle(
        """async content => {
            const reply = await fetch(`data:image/png;base64,${content}`);
            const transfer = new DataTransfer();
            transfer.items.add(new File([await reply.blob()], "a.png", {type: "image/png"}));
            return transfer;
        }""",
        content,
    )
    page.locator(".drop button").first.dispatch_event("drop", {"dataTransfer": transfer})
    expect(verdict(page).get_by_role("heading")).to_have_text("Whistle")


def test_a_pasted_picture_gets_its_class(page, pictures):
    content = base64.b64encode(Path(pictures["whistle"]).read_bytes()).decode()
    page.evaluate(
        """async content => {
            const reply = await fetch(`data:image/png;base64,${content}`);
            const item = new ClipboardItem({"image/png": await reply.blob()});
            await navigator.clipboard.write([item]);
        }""",
        content,
    )
    page.get_by_role("tab", name="Guide").click()
    page.keyboard.press("Control+V")
    expect(verdict(page).get_by_role("heading")).to_have_text("Whistle")


def test_windows_stand_side_by_side_with_each_ones_verdict(page, pictures):
    upload(page, pictures["koi fish"], pictures["koi fish, longer"])
    expect(verdict(page).get_by_role("heading")).to_have_text("Koi Fish")
    expect(page.locator(".alike li")).to_have_count(6, timeout=30_000)
    captions = page.locator(".looked figcaption")
    expect(captions).to_contain_text(["0.5 s: Koi Fish", "1.0 s: Koi Fish"])
    left, right = (picture.bounding_box() for picture in page.locator(".looked figure").all())
    assert left["y"] == right["y"] and left["x"] + left["width"] < right["x"]


def test_a_picture_that_follows_is_another_glitch_unless_its_name_or_the_reader_says_so(
    page, pictures
):
    upload(page, pictures["koi fish"])
    expect(page.locator(".looked figure")).to_have_count(1)
    upload(page, pictures["koi fish, longer"])
    expect(page.locator(".looked figure")).to_have_count(2)
    upload(page, pictures["unnamed"])
    expect(verdict(page).get_by_role("heading")).to_have_text("Whistle")
    expect(page.locator(".looked figure")).to_have_count(1)
    page.get_by_label("The next picture is another window").check()
    upload(page, pictures["unnamed, longer"])
    expect(page.locator(".looked figure")).to_have_count(2)


def test_a_bad_file_among_windows_is_named_and_leaves_no_broken_picture(page, pictures):
    upload(page, pictures["koi fish"], pictures["text"])
    expect(verdict(page).first.get_by_role("heading")).to_have_text("Koi Fish")
    expect(page.get_by_role("alert")).to_contain_text("text.png is not a PNG")
    expect(page.locator(".alike li")).to_have_count(6, timeout=30_000)
    widths = "images => images.map(image => image.naturalWidth)"
    assert 0 not in page.locator("img").evaluate_all(widths)
    page.get_by_role("button", name="Start anew").click()
    expect(verdict(page).first).to_contain_text("click an example")
    upload(page, pictures["text"])
    expect(verdict(page)).to_contain_text("text.png is not a PNG")
    expect(page.locator(".looked img")).to_have_count(0)


def test_under_a_verdict_stand_where_it_looked_what_it_resembles_and_its_entry_of_the_guide(
    page, pictures
):
    upload(page, pictures["whistle"])
    expect(page.locator(".looked img.map")).to_be_visible()
    expect(page.locator(".looked img.plain")).to_be_hidden()
    page.get_by_label("Mark what speaks for Whistle").uncheck()
    expect(page.locator(".looked img.map")).to_be_hidden()
    expect(page.locator(".looked img.plain")).to_be_visible()
    near = page.locator(".alike li")
    expect(near).to_have_count(6)
    expect(near.nth(1)).to_contain_text("1400Ripples0.87")
    expect(page.locator(".alike")).to_contain_text("Of 9 Whistle, 3 were Tomte.")
    page.get_by_role("button", name="Whistle in the Guide").click()
    entry = page.locator(".guide li", has_text="Whistle").first
    expect(entry).to_be_in_viewport()
    expect(entry).to_contain_text("A steep V or W")


def test_a_report_needs_nobody_else(page, pictures, tmp_path, chromium):
    upload(page, pictures["koi fish"], pictures["koi fish, longer"])
    expect(page.locator(".alike li")).to_have_count(6, timeout=30_000)
    report = download(page, "a report", tmp_path)
    other, asked = chromium.new_page(), []
    other.on("request", lambda request: asked.append(request.url))
    other.goto(report.as_uri())
    expect(other.get_by_role("heading", name="Koi Fish")).to_be_visible()
    expect(other.locator(".looked img.map")).to_have_count(2)
    expect(other.locator(".bars li")).to_have_count(22)
    for said in ("0123456789abcdef", "nearest-picture", "xyz", "balanced", "Classes are taken"):
        expect(other.locator("body")).to_contain_text(said)
    assert not [url for url in asked if not url.startswith(("file:", "data:"))]
    other.close()


def test_a_disagreement_is_kept_as_a_source_to_train_on(page, pictures, kept_in):
    upload(page, pictures["koi fish"], pictures["koi fish, longer"])
    page.get_by_role("button", name="I disagree").click()
    page.get_by_role("button", name="Keep").click()
    expect(page.get_by_text("Choose what it is first.")).to_be_visible()
    page.get_by_label("It is", exact=True).click()
    page.get_by_role("option", name="Tomte").click()
    page.get_by_label("Why, if you like").fill("=no fins")
    page.get_by_role("button", name="Keep").click()
    expect(page.get_by_text("Kept in")).to_be_visible()
    table = open_source(kept_in).table
    assert set(table["label"]) == {"Tomte"} and set(table["id"]) == {"xyz"}
    assert sorted(table["duration"]) == [0.5, 1.0]
    upload(page, pictures["whistle"])
    expect(page.get_by_text("Kept in")).to_be_hidden()
    expect(page.get_by_label("It is", exact=True)).to_have_value("")


def test_a_click_on_an_example_classifies_it_and_clearing_starts_anew(page):
    page.get_by_alt_text("Koi Fish").click()
    expect(verdict(page).get_by_role("heading")).to_have_text("Koi Fish")
    expect(verdict(page)).not_to_contain_text("used whole")
    page.get_by_role("button", name="Start anew").click()
    expect(verdict(page)).to_contain_text("click an example")
    expect(page.locator(".bars li")).to_have_count(0)


def test_the_slider_shows_more_classes_without_predicting_again(page, predictor, monkeypatch):
    page.get_by_alt_text("Blip", exact=True).click()
    expect(page.locator(".bars li")).to_have_count(5)
    monkeypatch.setattr(predictor, "forward", lambda views, mask: pytest.fail("predicted again"))
    page.get_by_label("range slider for Classes shown").fill("22")
    expect(page.locator(".bars li")).to_have_count(22)
    expect(page.locator(".bars .name").first).to_have_text("Blip")


def test_another_choice_of_class_frequencies_judges_the_picture_anew(page):
    page.get_by_alt_text("Blip", exact=True).click()
    expect(verdict(page)).to_contain_text("taken to be equally frequent")
    page.get_by_role("button", name="Class frequencies").click()
    page.get_by_label("Classes are taken to be").click()
    page.get_by_role("option", name="as frequent as in Gravity Spy's training set").click()
    expect(verdict(page)).to_contain_text("as frequent as in Gravity Spy's training set")
    expect(page.locator(".bars li")).to_have_count(5)


def test_a_picture_unlike_any_glitch_is_said_to_be_so(page, tmp_path):
    Image.new("RGB", (568, 478), (128, 128, 128)).save(tmp_path / "grey.png")
    upload(page, tmp_path / "grey.png")
    expect(verdict(page).get_by_role("heading")).to_have_text("Unlike anything in training")
    expect(verdict(page)).to_contain_text("nearest: ")


@pytest.mark.parametrize(("kind", "said"), [("text", "is not a PNG"), ("empty", "is empty")])
def test_a_bad_picture_gets_one_friendly_sentence(page, pictures, kind, said):
    upload(page, pictures[kind])
    expect(verdict(page)).to_contain_text(f"{kind}.png {said}")
    expect(verdict(page)).to_have_attribute("role", "alert")
    for word in ("Traceback", "Error", "/"):
        assert word not in verdict(page).inner_text()


def test_a_file_that_is_too_large_is_refused_in_a_sentence(page, pictures):
    upload(page, pictures["large"])
    expect(verdict(page)).to_contain_text("large.png is larger than 10,000,000 bytes")


def classify_all(page, *paths):
    page.get_by_role("tab", name="Batch").click()
    upload(page, *paths)
    expect(page.get_by_label("Remove this file")).to_have_count(len(paths))
    page.get_by_role("button", name="Classify all").click()


def test_a_batch_of_good_and_bad_files_gives_rows_filters_reasons_and_files(
    page, pictures, tmp_path
):
    kinds = ("whistle", "koi fish", "koi fish, longer", "text", "empty")
    classify_all(page, *(pictures[kind] for kind in kinds))
    expect(page.get_by_text("3 pictures of 2 glitches; 2 failed")).to_be_visible()
    rows = page.locator(".results .virtual-row")
    expect(rows).to_have_count(2)
    page.get_by_label("Whistle (1)").check()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("abc")
    page.get_by_label("All (2)").check()
    expect(rows).to_have_count(2)
    page.get_by_role("button", name="2 failed").click()
    expect(page.get_by_text("text.png: is not a PNG")).to_be_visible()
    found = {kind: download(page, kind, tmp_path).read_text() for kind in ("CSV", "JSON")}
    classes = {row["input"]: row["class"] for row in csv.DictReader(found["CSV"].splitlines())}
    assert classes == {
        "text.png": "",
        "empty.png": "",
        "H1_abc_spectrogram_1.0.png": "Whistle",
        "L1_xyz_spectrogram_0.5.png": "Koi_Fish",
        "L1_xyz_spectrogram_1.0.png": "Koi_Fish",
    }
    assert {row["input"] for row in json.loads(found["JSON"])} == set(classes)


def test_a_row_of_a_batch_opens_its_pictures(page, pictures):
    classify_all(page, pictures["whistle"], pictures["koi fish"], pictures["koi fish, longer"])
    page.locator(".results .virtual-row", has_text="xyz").get_by_text("xyz").click()
    expect(page.locator(".verdict:visible")).to_contain_text("Koi Fish")
    expect(page.locator("figure:visible")).to_have_count(2)


def test_too_many_pictures_are_refused_before_they_are_sent(page, requested, tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(201)]
    for path in paths:
        path.write_bytes(b"x")
    page.get_by_role("tab", name="Batch").click()
    before = len(requested)
    upload(page, *paths)
    expect(page.get_by_role("alert")).to_have_text(
        "201 pictures are too many at once: choose at most 200."
    )
    assert not [url for url in requested[before:] if "upload" in url]
    upload(page, *paths[:2])
    expect(page.get_by_label("Remove this file")).to_have_count(2)
    expect(page.locator(".refused")).to_be_empty()


def test_a_batch_can_be_cancelled_and_keeps_what_it_has(page, predictor, tmp_path, monkeypatch):
    paths = [tmp_path / f"{number}.png" for number in range(60)]
    for path in paths:
        Image.fromarray(toy_picture("Whistle", 1.0)).save(path)
    forward = predictor.forward

    def slow(views, mask):
        time.sleep(1.5)
        return forward(views, mask)

    monkeypatch.setattr(predictor, "forward", slow)
    classify_all(page, *paths)
    expect(page.locator(".prose.summary")).to_contain_text("of 60 pictures; about", timeout=20_000)
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".prose.summary")).to_contain_text("Cancelled: ")
    expect(page.locator(".results .virtual-row").first).to_contain_text("Whistle")
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()


def test_a_full_queue_is_told(chromium, predictor, pictures, monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    page = main.build(predictor, lambda: TOYS)
    opened = chromium.new_page()
    try:
        opened.goto(main.launch(page))
        expect(opened.get_by_alt_text("Koi Fish", exact=True)).to_be_visible()
        monkeypatch.setattr(page._queue, "max_size", 0)
        opened.get_by_alt_text("Koi Fish", exact=True).click()
        expect(opened.get_by_text("This application is currently busy").first).to_be_visible()
    finally:
        opened.close()
        page.close(verbose=False)


def download(page, kind, folder):
    with page.expect_download() as started:
        page.get_by_role("button", name=f"Download {kind}").or_(
            page.get_by_role("link", name=f"Download {kind}")
        ).first.click()
    path = folder / started.value.suggested_filename
    started.value.save_as(path)
    return path


def test_an_empty_batch_is_answered_in_a_sentence(page):
    page.get_by_role("tab", name="Batch").click()
    page.get_by_role("button", name="Classify all").click()
    expect(page.get_by_text("Choose some pictures first.")).to_be_visible()


def test_the_guide_shows_the_classes_and_the_next_tab_the_model(page):
    page.get_by_role("tab", name="Guide").click()
    expect(page.locator(".guide li")).to_have_count(22)
    page.get_by_role("tab", name="Model").click()
    expect(page.get_by_text("not on detector data").first).to_be_visible()
    expect(page.get_by_role("heading", name="Learning curves")).to_be_visible()
    curves = page.get_by_alt_text("Learning curves: ")
    curves.scroll_into_view_if_needed()
    expect(curves).to_have_js_property("naturalWidth", 400)


def test_the_page_is_there_before_the_examples_are_simulated(
    chromium, predictor, tmp_path, pictures
):
    simulated = threading.Event()
    page = main.build(predictor, lambda: TOYS if simulated.wait(60) else {})
    opened = chromium.new_page()
    try:
        opened.goto(main.launch(page))
        upload(opened, pictures["whistle"])
        expect(verdict(opened).get_by_role("heading")).to_have_text("Whistle")
        expect(opened.locator(".examples img")).to_have_count(0)
        simulated.set()
        expect(opened.locator(".examples img")).to_have_count(8)
    finally:
        opened.close()
        page.close(verbose=False)


def test_every_picture_is_described_and_every_input_labelled(page):
    page.get_by_alt_text("Blip", exact=True).click()
    expect(page.locator(".bars li")).to_have_count(5)
    for tab in ("Classify", "Batch", "Guide", "Model"):
        page.get_by_role("tab", name=tab).click()
        assert page.locator("h1:visible").count() == 1
        for image in page.locator("img:visible").all():
            assert image.get_attribute("alt")
        for field in page.locator("input:visible").all():
            assert field.evaluate("field => field.ariaLabel || field.labels.length")


def test_the_keyboard_reaches_tabs_upload_examples_and_slider(page):
    reached = []
    for _ in range(24):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("(document.activeElement.ariaLabel || document.activeElement.innerText)")
        )
    text = "\n".join(reached)
    for name in ("Classify", "One to four windows", "Thumbnail 1 of 8", "slider", "JSON"):
        assert name in text


def test_on_a_phone_the_verdict_is_on_screen_after_a_tap(phone):
    phone.get_by_alt_text("Koi Fish").click()
    expect(verdict(phone).get_by_role("heading")).to_have_text("Koi Fish")
    expect(verdict(phone).get_by_role("heading")).to_be_in_viewport(ratio=1)
    expect(phone.locator(".bars li").first).to_be_in_viewport()


def test_on_a_phone_nothing_sticks_out_sideways(phone, pictures):
    upload(phone, pictures["whistle"])
    expect(verdict(phone).get_by_role("heading")).to_have_text("Whistle")
    expect(phone.locator(".alike li")).to_have_count(6, timeout=30_000)
    assert phone.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    for image in phone.locator("img:visible").all():
        box = image.bounding_box()
        assert box["x"] + box["width"] <= PHONE["width"]
    phone.get_by_role("tab", name="Batch").click()
    upload(phone, pictures["koi fish"], pictures["text"])
    expect(phone.get_by_label("Remove this file")).to_have_count(2)
    phone.get_by_role("button", name="Classify all").click()
    expect(phone.locator(".results .virtual-row")).to_have_count(1)
    assert phone.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    for tab in ("Guide", "Model"):
        phone.get_by_role("tab", name=tab).click()
        assert phone.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_no_page_ever_asked_anybody_but_the_app(page, address, requested):
    """Runs last: it judges all that the pages of this file asked for."""
    asked = [url for url in requested if not url.startswith(("data:", "blob:"))]
    assert len(asked) > 30
    assert [url for url in asked if not url.startswith(address)] == []
