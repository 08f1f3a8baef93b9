"""The Q-transform agrees with GWpy's and with what physics says of tones, bursts and noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gwpy.timeseries import TimeSeries
from scipy.interpolate import RegularGridInterpolator
from scipy.signal import welch

from flax_glitch.classes import DURATIONS
from flax_glitch.simulate.noise import coloured
from flax_glitch.strain.files import block, read_strain
from flax_glitch.strain.qtransform import (
    AXES_HEIGHT,
    AXES_WIDTH,
    COLUMNS,
    ROWS,
    q_scan,
    scan_strain,
    scan_whitened,
)
from flax_glitch.strain.tiling import FREQUENCIES, planes
from flax_glitch.strain.whitening import SAMPLE_RATE, median, whiten

EVENT = 16.4
TIMES = np.arange(32 * SAMPLE_RATE) / SAMPLE_RATE - EVENT
CLIP = 25.5


def frequency_of(row):
    low, high = FREQUENCIES
    return low * (high / low) ** (1 - (row + 1.5) / AXES_HEIGHT)


def time_of(column, duration):
    return duration * ((column + 1.5) / AXES_WIDTH - 0.5)


def gwpy_scan(samples, event):
    return TimeSeries(samples, sample_rate=SAMPLE_RATE, t0=0).q_transform(
        qrange=(4, 64), frange=FREQUENCIES, gps=event, search=0.5, tres=0.002, fres=0.5,
        outseg=(event - 2, event + 2), whiten=True,
    )  # fmt: skip


def gwpy_on_pixels(theirs, event, duration):
    known = (np.asarray(theirs.times), np.asarray(theirs.frequencies))
    energies = RegularGridInterpolator(known, np.asarray(theirs), "linear", False, None)
    times = event + time_of(np.arange(COLUMNS), duration)
    return energies(tuple(np.meshgrid(times, frequency_of(np.arange(ROWS)))))


def assert_agrees(samples, event):
    ours, theirs = q_scan(samples, event), gwpy_scan(samples, event)
    assert float(ours.q) == pytest.approx(theirs.q, rel=1e-4)
    for duration, energies in zip(DURATIONS, np.asarray(ours.energies), strict=True):
        expected = gwpy_on_pixels(theirs, event, duration)
        apart = np.abs(energies.clip(0, CLIP) - expected.clip(0, CLIP))
        assert np.percentile(apart, 99) < 0.25


@pytest.fixture(scope="module")
def strain():
    """Noise like Livingston's with a burst of 150 Hz at the event."""
    burst = np.exp(-((TIMES / 0.01) ** 2)) * np.cos(2 * np.pi * 150 * TIMES)
    return coloured(np.random.default_rng(1), "L1", 32) + 4e-21 * burst


def test_it_agrees_with_gwpy_on_simulated_strain(strain):
    assert_agrees(strain, EVENT)


@pytest.mark.parametrize("detector", ["H1", "L1"])
def test_it_agrees_with_gwpy_on_the_first_event(detector, shared_data):
    (path,) = (shared_data / "strain").glob(f"{detector[0]}-{detector}_*.hdf5")
    assert_agrees(*block(read_strain(path), 1126259462.4))


@pytest.mark.parametrize("seed", range(3))
def test_it_agrees_with_gwpy_on_noise(seed):
    rng = np.random.default_rng(seed)
    burst = np.exp(-((TIMES / 0.05) ** 2)) * np.cos(2 * np.pi * 10 ** rng.uniform(1.3, 3) * TIMES)
    assert_agrees(rng.normal(size=len(TIMES)) + 0.5 * burst, EVENT)


@pytest.mark.parametrize("frequency", [23.0, 147.0, 1620.0])
def test_a_burst_shows_at_its_time_and_frequency(frequency):
    after = TIMES - 0.05
    burst = np.exp(-((after * frequency / 4) ** 2)) * np.cos(2 * np.pi * frequency * after)
    noise = np.random.default_rng(0).normal(size=len(TIMES))
    energies = np.asarray(q_scan(noise + 6 * burst * np.sqrt(frequency / 100), EVENT).energies)
    for duration, window in zip(DURATIONS, energies, strict=True):
        row, column = np.unravel_index(window.argmax(), window.shape)
        assert frequency_of(row) == pytest.approx(frequency, rel=0.06)
        assert time_of(column, duration) == pytest.approx(0.05, abs=0.01 + 2 / frequency)


def test_short_bursts_take_the_lowest_q_and_long_ones_the_highest():
    noise = np.random.default_rng(0).normal(size=len(TIMES))
    short = np.exp(-((TIMES / 0.004) ** 2)) * np.cos(2 * np.pi * 200 * TIMES)
    long = np.exp(-((TIMES / 0.2) ** 2)) * np.cos(2 * np.pi * 200 * TIMES)
    assert float(q_scan(noise + 5 * short, EVENT).q) == pytest.approx(planes()[0])
    assert float(q_scan(noise + 2 * long, EVENT).q) == pytest.approx(planes()[-1])


def test_the_planes_are_gravity_spys():
    assert planes() == pytest.approx((5.657, 11.314, 22.627, 45.255), abs=1e-3)


def test_loud_strain_doesnt_change_with_its_unit(strain):
    energies = np.asarray(q_scan(strain, EVENT).energies)
    np.testing.assert_allclose(
        q_scan(strain * 1e21, EVENT).energies, energies, rtol=1e-3, atol=0.01
    )


def test_whitening_flattens_coloured_noise(strain):
    noise = jnp.asarray(strain / strain.std(), jnp.float32)
    white = np.fft.irfft(whiten(noise))[2 * SAMPLE_RATE : -2 * SAMPLE_RATE]
    frequency, power = welch(white, SAMPLE_RATE, nperseg=SAMPLE_RATE)
    level = power * SAMPLE_RATE / 2
    for low, high in ((12, 30), (70, 300), (550, 900), (1100, 1400)):
        inside = (frequency > low) & (frequency < high)
        assert np.median(level[inside]) == pytest.approx(1.0, abs=0.15)


def test_the_median_expected_of_noise_is_that_of_noise():
    noise = np.random.default_rng(3).normal(size=len(TIMES))
    event = np.float32(EVENT)
    expected = scan_whitened(jnp.asarray(noise, jnp.float32), event)
    measured = scan_strain(jnp.asarray(noise, jnp.float32), event)
    assert float(expected.q) == float(measured.q)
    high = frequency_of(np.arange(ROWS)) > 100  # where half a minute holds many tiles
    sums = [np.asarray(which.energies[3])[high].sum(1) for which in (expected, measured)]
    assert np.median(np.abs(sums[0] / sums[1] - 1)) < 0.08
    assert np.mean(np.asarray(expected.energies[3])) == pytest.approx(1 / np.log(2), rel=0.1)


def test_many_at_once_are_each_by_itself(strain):
    several = jnp.asarray(np.stack([strain, strain[::-1]]) / strain.std(), jnp.float32)
    events = jnp.asarray([EVENT, 32 - EVENT], jnp.float32)
    together = jax.lax.map(lambda pair: scan_strain(*pair), (several, events))
    alone = scan_strain(several[1], events[1])
    np.testing.assert_allclose(together.energies[1], alone.energies, rtol=1e-3, atol=1e-2)


def test_it_takes_either_precision_after_the_other():
    # Of a length that no other test has, so that both are traced here.
    for double in (False, True):
        with jax.enable_x64(double):
            strain, event = jnp.zeros(128 * SAMPLE_RATE), jnp.zeros(())
            scanned = jax.eval_shape(scan_strain, strain, event)
            assert scanned.energies.dtype == strain.dtype
            assert jax.eval_shape(scan_whitened, strain, event) == scanned


@pytest.mark.parametrize(("shape", "axis"), [((63, 40), 0), ((5, 1001), 1), ((7, 1), 1)])
def test_medians_are_numpys(shape, axis):
    values = np.random.default_rng(0).exponential(size=shape).astype(np.float32) ** 3
    np.testing.assert_allclose(median(jnp.asarray(values), axis), np.median(values, axis), 2.5e-4)


def test_of_an_even_number_the_lower_middle_is_taken():
    found = float(median(jnp.asarray([[4.0, 1.0, 3.0, 2.0]]), 1)[0])
    assert found == pytest.approx(2.0, rel=2.5e-4)
