"""The page as axe-core sees it: on every tab, light and dark, before and after results."""

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from gwosc_server import RATE, write_strain
from nearest_picture import TOYS, NearestPicture, with_toy_evidence
from PIL import Image
from playwright.sync_api import expect
from toy_pictures import toy_picture

from flax_glitch.app import main, strain

START = 1126259447
"""GPS seconds of the file's first sample."""

MORE = ("target-size", "label-content-name-mismatch")
"""Beyond what axe-core looks at by itself: targets of 24 pixels, names with what a button says."""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    Image.effect_noise((400, 300), 50).save(folder / "learning_curves.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("served")))
        patch.setattr(strain, "warm_up", lambda predictor: None)
        with_toy_evidence(patch)
        page = main.build(NearestPicture(folder), lambda: TOYS, folder / "disagreements")
        yield main.launch(page)
        page.close(verbose=False)


PHONE = pytest.param(("light", 390), marks=pytest.mark.slow)


@pytest.fixture(params=[("light", 1280), ("dark", 1280), PHONE], ids=str)
def page(chromium, address, request):
    scheme, width = request.param
    context = chromium.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    page.goto(address)
    expect(page.get_by_alt_text("Koi Fish", exact=True)).to_be_visible()
    yield page
    context.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    Image.fromarray(toy_picture("Whistle", 1.0)).save(folder / "H1_abc_spectrogram_1.0.png")
    Image.fromarray(toy_picture("Koi_Fish", 0.5)).save(folder / "L1_xyz_spectrogram_0.5.png")
    (folder / "text.png").write_text("no picture")
    noise = np.random.default_rng(3).standard_normal(32 * RATE)
    write_strain(folder / f"H-H1_MADE_4KHZ_R1-{START}-32.hdf5", 1e-21 * noise, START)
    return folder


def upload(page, *paths):
    page.locator("[role=tabpanel]:visible input[type=file]").first.set_input_files(list(paths))


def look(page, tab, files):
    """Lets the tab show results, if it has any to show."""
    if tab == "Classify":
        upload(page, files / "H1_abc_spectrogram_1.0.png")
        expect(page.locator(".bars li")).to_have_count(5)
        expect(page.locator(".alike:visible")).to_be_visible()
        page.get_by_role("button", name="I disagree").click()
    if tab == "Batch":
        upload(page, *files.glob("*.png"))
        expect(page.get_by_label("Remove this file")).to_have_count(3)
        page.get_by_role("button", name="Classify all").click()
        page.locator(".results .virtual-row").get_by_text("xyz").click()
        expect(page.locator(".alike:visible")).to_be_visible()
        page.get_by_role("button", name="1 failed").click()
    if tab == "Strain":
        upload(page, *files.glob("*.hdf5"))
        expect(page.get_by_label("Detector")).to_have_value("As the file says")
        page.get_by_label("Event, GPS time or UTC").fill(str(START + 16))
        page.get_by_role("button", name="Classify", exact=True).click()
        expect(page.locator(".windows img")).to_have_count(4, timeout=120_000)


def violations(page):
    page.wait_for_timeout(300)  # for colours that change by and by
    found = (
        Axe()
        .run(page, options={"rules": {name: {"enabled": True} for name in MORE}})
        .response["violations"]
    )
    return [
        f"{one['id']}: {node['html'][:200]} | {node['failureSummary'][:200]}"
        for one in found
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("tab", ["Classify", "Batch", "Strain", "Guide", "Model"])
def test_axe_finds_nothing_before_and_after_results(page, tab, files):
    page.get_by_role("tab", name=tab).click()
    assert violations(page) == []
    look(page, tab, files)
    assert violations(page) == []


def test_nothing_moves_for_who_wants_no_motion(page):
    moving = page.evaluate(
        """() => [...document.querySelectorAll("*")].map(one => getComputedStyle(one))
        .filter(one => [one.transitionDuration, one.animationDuration].join()
            .split(",").some(time => parseFloat(time) > 0.01)).length"""
    )
    assert moving == 0


def test_no_fewer_classes_than_one_can_be_asked_for(page, files):
    look(page, "Classify", files)
    number = page.get_by_label("number input for Classes shown")
    number.fill("0")
    number.blur()
    expect(number).not_to_have_value("0")
    assert page.locator(".bars li").count() > 0
    expect(page.get_by_test_id("toast-body")).to_have_count(0)
