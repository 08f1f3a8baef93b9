"""The Strain tab in a real browser: files, GWOSC, no network, a phone, the keyboard."""

import json
import re
import zipfile

import gwosc.api.v2
import numpy as np
import pytest
from gwosc_server import RATE, Server, write_strain
from nearest_picture import TOYS, NearestPicture, with_toy_evidence
from playwright.sync_api import expect
from test_browser import DESKTOP, PHONE, download, opened, upload

from flax_glitch import files
from flax_glitch.app import main, strain
from flax_glitch.box import SAMPLES
from flax_glitch.data.pictures import load_picture
from flax_glitch.strain import remote

START, EVENT, TONE = 1126259447, 1126259462.4, 180.0
"""GPS seconds of the simulated file and of what is heard in it, and its frequency in Hz."""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("served")))
        patch.setattr(strain, "warm_up", lambda predictor: None)
        with_toy_evidence(patch)
        page = main.build(NearestPicture(), lambda: TOYS)
        yield main.launch(page)
        page.close(verbose=False)


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """No GWOSC, an empty cache, and nothing in the box."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(gwosc.api.v2, "JSON_CACHE", {})
    monkeypatch.setattr(strain, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(remote, "HOST", "http://127.0.0.1:9")
    monkeypatch.setattr(files, "PAUSES", (0.01,))
    monkeypatch.setattr("flax_glitch.strain.gwosc.PACKAGED", tmp_path / "no box")


@pytest.fixture(scope="module")
def requested():
    """Every address that any page asked for."""
    return []


@pytest.fixture
def page(chromium, address, requested):
    with opened(chromium, address, requested, DESKTOP) as page:
        page.get_by_role("tab", name="Strain").click()
        yield page


@pytest.fixture
def phone(chromium, address, requested):
    with opened(chromium, address, requested, PHONE) as page:
        page.get_by_role("tab", name="Strain").click()
        yield page


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """A file as of GWOSC: noise, and a burst of a tone."""
    folder = tmp_path_factory.mktemp("public")
    times = START + np.arange(32 * RATE) / RATE - EVENT
    burst = 5 * np.exp(-((times / 0.02) ** 2)) * np.sin(2 * np.pi * TONE * times)
    noise = np.random.default_rng(3).standard_normal(len(times))
    return write_strain(
        folder / f"H-H1_MADE_4KHZ_R1-{START}-32.hdf5", 1e-21 * (noise + burst), START
    )


def verdict(page):
    return page.locator(".verdict:visible")


def classify(page, when, *files):
    if files:
        upload(page, *files)
        expect(page.get_by_label("Detector")).to_have_value("As the file says")
    page.get_by_label("Event, GPS time or UTC").fill(when)
    page.get_by_role("button", name="Classify", exact=True).click()


def answered(page):
    """Waits for the four windows: the transform may have to be compiled."""
    expect(page.locator(".windows img")).to_have_count(4, timeout=120_000)


def test_of_a_file_there_are_four_windows_a_verdict_and_downloads(page, simulated, tmp_path):
    with strain._computing:  # so that it can't be done before it is seen
        classify(page, str(EVENT), simulated)
        expect(page.get_by_text("Transforming")).to_be_visible()
    answered(page)
    expect(verdict(page).get_by_role("heading")).to_be_visible()
    numbers = page.locator(".numbers")
    for said in (f"GPS{EVENT:.3f}", "UTC2015-09-14T09:50:45.400Z", "Q", "LoudnessSNR "):
        expect(numbers).to_contain_text(said)
    assert page.locator(".windows").bounding_box()["y"] < numbers.bounding_box()["y"]
    assert numbers.bounding_box()["y"] < verdict(page).bounding_box()["y"]
    found = json.loads(download(page, "JSON", tmp_path).read_text())
    assert (found["gps"], found["ifo"], found["views"]) == (
        EVENT,
        "H1",
        ["0.5", "1.0", "2.0", "4.0"],
    )
    with zipfile.ZipFile(download(page, "pictures", tmp_path)) as archive:
        name = f"H1_{found['gravityspy_id']}_spectrogram_1.0.png"
        area = load_picture(archive.read(name)).pixels
    row, column = np.argwhere(area[..., 0] == area[..., 0].max()).mean(0)
    frequency = 10 * (2048 / 10) ** (1 - row / area.shape[0])
    assert frequency == pytest.approx(TONE, rel=0.15)
    (peak,) = re.findall(r"Peak frequency\s*(\d+) Hz", page.locator(".numbers").inner_text())
    assert float(peak) == pytest.approx(TONE, rel=0.1)
    assert column / area.shape[1] - 0.5 == pytest.approx(0, abs=0.03)


def test_of_strain_too_there_is_evidence_and_a_report(page, simulated, tmp_path):
    classify(page, str(EVENT), simulated)
    answered(page)
    expect(page.locator(".looked img.map:visible")).to_have_count(4)
    expect(page.locator(".alike li:visible")).to_have_count(6)
    report = download(page, "a report", tmp_path).read_text(encoding="utf-8")
    assert report.count('class="map"') == 4
    for said in (
        f"GPS {EVENT:.3f}, 2015-09-14T09:50:45.400Z",
        "Layout",
        "strain",
        "nearest-picture",
    ):
        assert said in report


def test_of_real_strain_there_are_four_windows(page, shared_data):
    classify(page, "GW150914", shared_data / "strain/L-L1_LOSC_4_V2-1126259446-32.hdf5")
    answered(page)
    expect(page.locator(".windows .caption-label").first).to_contain_text("0.5 s:")


def test_a_click_on_an_event_fetches_it_and_it_is_there_again_offline(page, simulated, monkeypatch):
    with Server(simulated.parent) as server:
        monkeypatch.setattr(remote, "HOST", server.address)
        page.get_by_role("button", name="GW150914, H1").click()
        answered(page)
        assert len([path for path, _ in server.asked if "hdf5" in path]) == 1
    expect(page.get_by_label("Event, GPS time or UTC")).to_have_value("GW150914")
    classify(page, "1126259480")
    expect(verdict(page)).to_contain_text("can't be reached")
    page.get_by_role("button", name="GW150914, H1").click()
    answered(page)


def test_the_first_event_is_in_the_box(page, monkeypatch):
    monkeypatch.setattr("flax_glitch.strain.gwosc.PACKAGED", SAMPLES)
    page.get_by_role("button", name="GW150914, L1").click()
    answered(page)
    expect(verdict(page)).to_contain_text("L1, GPS 1126259462.400")


def test_without_a_network_one_sentence_says_so_and_what_helps(page):
    page.get_by_role("button", name="Koi Fish, H1").click()
    expect(verdict(page)).to_contain_text("are you offline? GW150914 comes with the package")
    expect(verdict(page)).to_have_attribute("role", "alert")
    expect(page.locator(".windows img")).to_have_count(0)
    expect(page.get_by_role("button", name="Download JSON")).to_be_hidden()


def test_a_file_of_plain_numbers_is_asked_about(page, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(8 * RATE))
    start = page.get_by_label("Start of the file (GPS seconds or UTC)")
    expect(start).to_be_hidden()
    upload(page, tmp_path / "a.npy")
    start.fill("1000")
    page.get_by_label("Sample rate (Hz)").fill(str(RATE))
    classify(page, "1004")
    expect(verdict(page)).to_contain_text("a.npy: doesn't say its detector")
    page.get_by_label("Detector").click()
    page.get_by_role("option", name="L1, Livingston").click()
    page.get_by_label("Event, GPS time or UTC").press("Enter")
    expect(verdict(page)).to_contain_text("has no data from GPS 1000 to 1008")
    page.get_by_role("button", name="GW150914, L1").click()
    expect(start).to_be_hidden()
    expect(verdict(page)).to_contain_text("can't be reached")


def test_a_file_that_is_too_large_is_refused_in_a_sentence(page, tmp_path):
    with (tmp_path / "a.hdf5").open("wb") as file:
        file.truncate(151 << 20)
    upload(page, tmp_path / "a.hdf5")
    expect(page.get_by_text("exceed the maximum allowed size of 150")).to_be_visible()


def test_the_keyboard_reaches_all_and_starts_an_event(page):
    reached = []
    page.get_by_role("tab", name="Strain").focus()
    for _ in range(13):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                """(e => e.ariaLabel || e.labels?.[0]?.innerText || e.innerText)
                (document.activeElement)"""
            )
        )
    text = "\n".join(reached)
    for name in (
        "GW150914, H1",
        "Koi Fish",
        "GPS time",
        "Detector",
        "Click to upload",
        "Classify",
        "slider",
    ):
        assert name in text
    page.get_by_role("button", name="GW150914, L1").press("Enter")
    expect(verdict(page)).to_contain_text("can't be reached")


def test_on_a_phone_nothing_sticks_out_and_all_is_described(phone, simulated):
    classify(phone, str(EVENT), simulated)
    answered(phone)
    assert phone.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    for image in phone.locator("img:visible").all():
        assert image.get_attribute("alt")
        box = image.bounding_box()
        assert box["x"] + box["width"] <= PHONE["width"]
    for field in phone.locator("input:visible, textarea:visible").all():
        assert field.evaluate("field => field.ariaLabel || field.labels?.[0]?.innerText")


def test_no_page_ever_asked_anybody_but_the_app(page, address, requested):
    """Runs last: it judges all that the pages of this file asked for."""
    asked = [url for url in requested if not url.startswith(("data:", "blob:"))]
    assert len(asked) > 30
    assert [url for url in asked if not url.startswith(address)] == []
