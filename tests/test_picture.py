"""Pictures drawn from strain are Gravity Spy's, to the pixel."""

import io

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from sklearn.datasets import load_sample_image
from test_qtransform import EVENT, TIMES, frequency_of, time_of

from flax_glitch.classes import DURATIONS
from flax_glitch.data.pictures import load_picture
from flax_glitch.strain.channels import StrainError
from flax_glitch.strain.files import Strain
from flax_glitch.strain.picture import (
    MOST,
    VIRIDIS,
    colour_distance,
    full_picture,
    indices,
    png,
    scan,
    spectrogram,
)
from flax_glitch.strain.tiling import FREQUENCIES
from flax_glitch.strain.whitening import SAMPLE_RATE


@pytest.fixture(scope="module")
def strain():
    burst = np.exp(-((TIMES / 0.02) ** 2)) * np.cos(2 * np.pi * 120 * TIMES)
    values = np.random.default_rng(5).normal(size=len(TIMES)) + burst
    return Strain(values, 1000.0, float(SAMPLE_RATE), "H1")


@pytest.fixture(scope="module")
def drawn(strain):
    return scan(strain, 1000.0 + EVENT)


def test_a_series_of_gwpys_gets_the_scan_of_its_strain(strain, drawn):
    series = pytest.importorskip("gwpy.timeseries").TimeSeries
    timed = {"t0": strain.start, "sample_rate": SAMPLE_RATE}
    made = scan(series(strain.values, channel="H1:GDS-CALIB_STRAIN", **timed), drawn.gps)
    assert (made.detector, made.gps, made.channel) == ("H1", drawn.gps, "H1:GDS-CALIB_STRAIN")
    np.testing.assert_array_equal(made.energies, drawn.energies)
    unnamed = series(strain.values, name="Strain", **timed)
    assert scan(unnamed, drawn.gps, "L1").detector == "L1"
    with pytest.raises(StrainError, match="time series: doesn't say its detector"):
        scan(unnamed, drawn.gps)
    with pytest.raises(StrainError, match="nothing from GPS 4936"):
        scan(unnamed, 5000.0, "L1")
    with pytest.raises(StrainError, match="holds complex128 of shape"):
        scan(unnamed.astype(complex), drawn.gps, "L1")


def test_the_channel_stands_below_the_picture_and_changes_nothing_of_it(drawn):
    plain, named = (full_picture(drawn.energies[0], 0.5, "H1", name) for name in ("", "H1:A_$x$"))
    rows, columns = np.nonzero((plain != named).any(-1))
    assert rows.min() > 580 and columns.min() > 400
    loaded = load_picture(png(named))
    assert loaded.geometry == "full"
    np.testing.assert_array_equal(loaded.pixels, spectrogram(drawn.energies[0]))


def test_the_colours_of_a_spectrogram_are_near_viridis_and_those_of_anything_else_are_not(drawn):
    picture = drawn.views[1.0]
    assert colour_distance(picture) < 0.01  # some colours share their green
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=60)
    assert 0.1 < colour_distance(np.asarray(Image.open(file))) < 10
    for name in ("china.jpg", "flower.jpg"):
        assert colour_distance(load_sample_image(name)) > 40
    grey = np.asarray(Image.fromarray(picture).convert("L").convert("RGB"))
    jet = matplotlib.colormaps["jet"](np.arange(256), bytes=True)[None, :, :3]
    assert min(colour_distance(grey), colour_distance(jet)) > 25
    for colour in VIRIDIS[::51]:
        assert colour_distance(np.full((40, 50, 3), colour)) == 255


def test_colours_are_matplotlibs():
    assert [bytes(VIRIDIS[number]).hex() for number in (0, 128, 255)] == [
        "440154",
        "20908c",
        "fde724",
    ]
    energies = np.linspace(-1, 30, 5000, dtype=np.float32).reshape(50, 100)
    scaled = (energies / np.float32(MOST)).clip(0, 1)
    expected = matplotlib.colormaps["viridis"](scaled, bytes=True)[..., :3]
    different = (spectrogram(energies) != expected).any(-1)
    assert different.mean() < 0.001  # at the edges of colours rounding decides


@pytest.mark.parametrize("number", range(4))
def test_the_full_picture_cut_as_every_picture_is_the_direct_one(drawn, number):
    duration = DURATIONS[number]
    whole = png(full_picture(drawn.energies[number], duration, "H1"))
    assert Image.open(io.BytesIO(whole)).size == (800, 600)
    loaded = load_picture(whole)
    assert loaded.geometry == "full"
    np.testing.assert_array_equal(loaded.pixels, drawn.views[duration])


def test_pixels_are_where_matplotlib_puts_their_time_and_frequency():
    figure = Figure(figsize=(8, 6), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.125, 0.1, 574 / 800, 0.8))
    axes.set_yscale("log", base=2)
    axes.set(xlim=(-1, 1), ylim=FREQUENCIES)
    axes.set_facecolor("purple")
    axes.axhline(frequency_of(300), color="black", linewidth=0.5, snap=False)
    axes.axvline(time_of(400, 2.0), color="black", linewidth=0.5, snap=False)
    canvas.draw()
    area = load_picture(np.asarray(canvas.buffer_rgba())).pixels.astype(int).sum(-1)
    assert (area.sum(1).argmin(), area.sum(0).argmin()) == (300, 400)


def test_the_brightest_colour_begins_at_the_clip():
    assert indices(np.array([[0.0, MOST, 1e9, -3.0]], np.float32)).tolist() == [[0, 255, 255, 0]]


def test_a_title_names_the_site(drawn):
    titles = [full_picture(drawn.energies[0], 0.5, name)[:50] for name in ("H1", "L1")]
    assert (titles[0] != titles[1]).any()


@pytest.mark.parametrize(("frequency", "q"), [(60.0, 8.0), (180.0, 12.0), (700.0, 25.0)])
def test_the_loudest_place_has_time_frequency_and_snr_of_what_was_put_in(frequency, q):
    later, snr = 0.05, 20.0
    times = TIMES - later
    width = q / (2 * np.pi * frequency)  # of a sine-Gaussian, seconds
    wave = np.exp(-((times / width / np.sqrt(2)) ** 2)) * np.cos(2 * np.pi * frequency * times)
    wave *= snr / np.linalg.norm(wave)  # in white noise of variance 1, by matched filtering
    noise = np.random.default_rng(int(frequency)).normal(size=len(TIMES))
    made = scan(Strain(noise + wave, 1000.0, float(SAMPLE_RATE), "H1"), 1000.0 + EVENT).loudest
    assert made.snr == pytest.approx(snr, rel=0.15)
    assert made.frequency == pytest.approx(frequency, rel=0.1)
    assert made.gps == pytest.approx(1000.0 + EVENT + later, abs=0.01)
