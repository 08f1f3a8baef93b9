"""Simulated glitches are loud, where and when their class is; the noise is like the detectors'."""

import numpy as np
import pytest
from scipy.signal import welch

from flax_glitch.classes import CLASSES
from flax_glitch.simulate.glitches import GLITCHES, simulate
from flax_glitch.simulate.noise import LINES, asd, background, coloured
from flax_glitch.simulate.shapes import (
    SECONDS,
    TIMES,
    band_noise,
    bump,
    from_quantiles,
    scaled,
    sine_gaussian,
    tone,
    wander,
)
from flax_glitch.strain.qtransform import AXES_HEIGHT
from flax_glitch.strain.tiling import FREQUENCIES
from flax_glitch.strain.whitening import SAMPLE_RATE

BANDS = {
    "1080Lines": (950, 1250),
    "1400Ripples": (1350, 1800),
    "Air_Compressor": (40, 60),
    "Blip": (50, 600),
    "Chirp": (30, 400),
    "Helix": (20, 500),
    "Koi_Fish": (15, 500),
    "Low_Frequency_Burst": (10, 25),
    "Low_Frequency_Lines": (10, 22),
    "Paired_Doves": (15, 90),
    "Power_Line": (50, 130),
    "Repeating_Blips": (50, 600),
    "Scattered_Light": (10, 130),
    "Scratchy": (60, 400),
    "Tomte": (15, 120),
    "Wandering_Line": (400, 2048),
}
"""Hz between which the loudest tile near the event lies, where a class has such a band."""


def frequencies():
    low, high = FREQUENCIES
    return low * (high / low) ** (1 - (np.arange(478) + 1.5) / AXES_HEIGHT)


def test_every_class_is_simulated():
    assert set(GLITCHES) == set(CLASSES)


@pytest.mark.parametrize("label", CLASSES)
def test_a_waveform_is_finite_and_as_its_seed(label):
    waves = [GLITCHES[label](np.random.default_rng(seed)) for seed in (3, 3, 4)]
    assert waves[0].shape == TIMES.shape
    assert np.isfinite(waves).all()
    np.testing.assert_array_equal(waves[0], waves[1])
    assert (waves[0] != waves[2]).any()


@pytest.mark.parametrize("label", BANDS)
def test_most_glitches_are_loudest_where_their_class_is(label):
    low, high = BANDS[label]
    inside = 0
    for seed in range(5):
        window = simulate(label, np.random.default_rng(seed)).energies[0]
        row = np.unravel_index(window.argmax(), window.shape)[0]
        inside += low <= frequencies()[row] <= high
    assert inside >= 3


def test_the_background_is_not_taken_for_a_glitch():
    peaks = [
        simulate("No_Glitch", np.random.default_rng(seed)).energies[0].max() for seed in range(8)
    ]
    assert np.median(peaks) < 25.5


def test_a_simulated_glitch_has_no_class_in_its_detector():
    scans = [simulate("Blip", np.random.default_rng(seed)) for seed in range(12)]
    assert {scan.detector for scan in scans} == {"H1", "L1"}


@pytest.mark.parametrize("detector", LINES)
def test_coloured_noise_has_the_spectrum_it_is_made_with(detector):
    noise = coloured(np.random.default_rng(0), detector, 64)
    frequency, power = welch(noise, SAMPLE_RATE, nperseg=SAMPLE_RATE * 4)
    between = (frequency > 70) & (frequency < 290)
    ratio = np.sqrt(power[between]) / asd(detector, frequency[between])
    assert np.median(ratio) == pytest.approx(1.0, rel=0.05)
    assert (
        np.sqrt(power[np.argmin(np.abs(frequency - 60))]) > 3 * asd(detector, np.array([64.0]))[0]
    )


@pytest.mark.parametrize("detector", LINES)
def test_the_spectrum_is_that_of_the_first_run(detector):
    """Within a factor of 2 of the published levels (Martynov et al. 2016, figure 1)."""
    published = {20.0: 3e-22, 100.0: 1e-23, 200.0: 8e-24, 1000.0: 3e-23}
    for frequency, level in published.items():
        ratio = asd(detector, np.array([frequency]))[0] / level
        assert 0.4 < ratio < 2.5


def test_the_background_is_nearly_white():
    noise = background(np.random.default_rng(2), "H1")
    frequency, power = welch(noise, SAMPLE_RATE, nperseg=SAMPLE_RATE)
    level = power * SAMPLE_RATE / 2
    assert np.median(level[frequency > 100]) == pytest.approx(1.0, abs=0.05)


def test_shapes_have_the_ratio_the_band_and_the_place_asked_for():
    rng = np.random.default_rng(0)
    burst = scaled(sine_gaussian(200.0, 8.0, 0.1), 12.0)
    assert np.sum(burst**2) == pytest.approx(144.0)
    assert TIMES[np.abs(burst).argmax()] == pytest.approx(0.1, abs=0.003)
    noise = band_noise(rng, 100.0, 200.0)
    assert noise.std() == pytest.approx(1.0, abs=0.05)
    frequency, power = welch(noise, SAMPLE_RATE, nperseg=SAMPLE_RATE)
    assert power[(frequency > 80) & (frequency < 220)].sum() > 0.98 * power.sum()
    steady = tone(np.full_like(TIMES, 300.0), bump(0.0, 1.0))
    assert np.abs(np.fft.rfft(steady)).argmax() / SECONDS == pytest.approx(300.0, abs=0.1)
    lines = np.array([wander(rng, 0.5) for _ in range(20)])
    assert lines.std() == pytest.approx(1.0, abs=0.15)


def test_numbers_drawn_from_quantiles_have_them():
    rng = np.random.default_rng(0)
    wanted = (1.0, 2.0, 4.0, 8.0, 20.0)
    drawn = [from_quantiles(rng, wanted) for _ in range(4000)]
    np.testing.assert_allclose(np.percentile(drawn, (27.5, 50, 72.5)), (2.2, 4.0, 7.3), rtol=0.1)
