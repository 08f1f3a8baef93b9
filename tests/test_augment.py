"""Random variation keeps views together and does what Keras' does."""

import jax
import numpy as np
import pytest
from scipy import ndimage

from flax_glitch.data.augment import Variation, augment

RANDOM = np.random.default_rng(0)
SMOOTH = ndimage.gaussian_filter(RANDOM.uniform(0, 255, (12, 1, 17, 17, 3)), (0, 0, 2, 2, 0))
PICTURES = np.repeat(SMOOTH, 2, axis=1).astype(np.uint8)
KEY = jax.random.key(3)


def test_nothing_asked_changes_nothing():
    result = augment(PICTURES, KEY, Variation(mirror=False, zoom=0.0, shift=0.0))
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, PICTURES)


def test_mirroring_leaves_a_glitch_as_it_is_or_reverses_its_time_exactly():
    result = np.asarray(augment(PICTURES, KEY, Variation(mirror=True, zoom=0.0, shift=0.0)))
    mirrored = [np.array_equal(a, b[:, :, ::-1]) for a, b in zip(result, PICTURES, strict=True)]
    same = [np.array_equal(a, b) for a, b in zip(result, PICTURES, strict=True)]
    assert all(one != other for one, other in zip(mirrored, same, strict=True))
    assert any(mirrored)
    assert any(same)


def test_all_views_of_a_glitch_vary_alike_and_glitches_differ():
    same_everywhere = np.broadcast_to(PICTURES[:1], PICTURES.shape)
    result = np.asarray(augment(same_everywhere, KEY, Variation(mirror=True, zoom=0.2, shift=0.2)))
    np.testing.assert_array_equal(result[:, 0], result[:, 1])
    assert np.abs(result[0] - result[1:]).max((1, 2, 3, 4)).min() > 1


def fitted(picture: np.ndarray, result: np.ndarray, axis: int) -> tuple[float, float]:
    """The stretch and shift that turn a ramp along an axis into the result, where not clipped."""
    line = result.mean(tuple(other for other in range(3) if other != axis))
    inside = (line > line.min() + 1e-3) & (line < line.max() - 1e-3)
    return tuple(np.polyfit(np.arange(len(line))[inside], line[inside], 1))


@pytest.mark.parametrize("axis", [0, 1])
def test_zoom_and_shift_equal_a_linear_affine_map_with_nearest_edges(axis):
    size, zoom, shift = 33, 0.3, 0.2
    shape = [1, 1, 1]
    shape[axis] = size
    ramp = np.broadcast_to(np.arange(size, dtype=np.uint8).reshape(shape), (size, size, 3))
    texture = ndimage.gaussian_filter(RANDOM.uniform(0, 255, (size, size)), 1).astype(np.uint8)
    other = np.repeat(texture[..., None], 3, axis=2)
    views = np.stack([ramp, np.swapaxes(ramp, 0, 1), other])
    pictures = np.broadcast_to(views, (20, *views.shape))
    for result in np.asarray(
        augment(pictures, KEY, Variation(mirror=False, zoom=zoom, shift=shift))
    ):
        stretches, offsets = [0.0, 0.0], [0.0, 0.0]
        for view, direction in ((0, axis), (1, 1 - axis)):
            slope, start = fitted(views[view], result[view], direction)
            stretches[direction], offsets[direction] = slope, start
            centre = (size - 1) / 2
            assert 1 - zoom <= slope <= 1 + zoom
            assert abs(start - centre + slope * centre) <= shift * size + 1e-3
        expected = ndimage.affine_transform(
            other[..., 0].astype(float), stretches, offsets, order=1, mode="nearest"
        )
        assert np.abs(result[2, ..., 0] - expected).max() < 0.1


def test_zoom_and_shift_of_time_and_frequency_are_drawn_apart():
    size = 33
    ramp = np.broadcast_to(np.arange(size, dtype=np.uint8)[:, None, None], (size, size, 3))
    views = np.stack([ramp, np.swapaxes(ramp, 0, 1)])[None]
    result = np.asarray(augment(views, KEY, Variation(mirror=False, zoom=0.3, shift=0.0)))[0]
    rows, columns = fitted(ramp, result[0], 0)[0], fitted(ramp, result[1], 1)[0]
    assert abs(rows - columns) > 0.01


def test_values_stay_between_those_of_the_picture():
    result = np.asarray(augment(PICTURES, KEY, Variation(mirror=True, zoom=0.5, shift=0.5)))
    assert result.min() >= PICTURES.min()
    assert result.max() <= PICTURES.max() + 1e-3


def test_the_key_decides_and_jit_changes_nothing():
    def vary(pictures, key):
        return augment(pictures, key, Variation(mirror=True, zoom=0.2, shift=0.1))

    first = vary(PICTURES, KEY)
    np.testing.assert_array_equal(first, vary(PICTURES, KEY))
    np.testing.assert_allclose(jax.jit(vary)(PICTURES, KEY), first, atol=1e-2)
    assert np.abs(first - vary(PICTURES, jax.random.key(4))).max() > 1


@pytest.mark.parametrize(("zoom", "shift"), [(1.0, 0.0), (-0.1, 0.0), (0.0, 1.5), (0.0, -1.0)])
def test_impossible_settings_are_refused(zoom, shift):
    with pytest.raises(ValueError, match=f"zoom {zoom} must be"):
        augment(PICTURES, KEY, Variation(mirror=False, zoom=zoom, shift=shift))


def test_gain_changes_contrast_and_brightness_of_a_whole_glitch_alike():
    result = np.asarray(augment(PICTURES, KEY, Variation(gain=0.2)))
    for before, after in zip(PICTURES, result, strict=True):
        slope, offset = np.polyfit(before.ravel().astype(float), after.ravel(), 1)
        assert 0.8 <= slope <= 1.2
        assert abs(offset) <= 0.2 * 51
        np.testing.assert_allclose(after, slope * before + offset, atol=0.02)
    assert np.std(result.mean((1, 2, 3, 4)) - PICTURES.mean((1, 2, 3, 4))) > 1


def test_gamma_and_light_keep_the_order_of_values_and_every_third_glitch_is_lighter():
    ramp = np.broadcast_to(
        np.arange(16, dtype=np.uint8)[:, None, None] * 17, (300, 1, 16, 4, 3)
    ).astype(np.uint8)
    result = np.asarray(augment(ramp, KEY, Variation(gain=1e-9, gamma=0.4, light=0.2)))
    assert (np.diff(result, axis=2) > 0).all()
    added = result[:, 0, 0, 0, 0] / 255
    bent = (result[:, 0, 8, 0, 0] / 255 - added).ravel()
    assert (added >= -1e-6).all() and added.max() <= 0.2 and 0.25 < np.mean(added > 1e-6) < 0.42
    middle = 8 * 17 / 255
    assert (
        middle**1.4
        <= bent.min()
        < middle - 0.05
        < middle + 0.05
        < bent.max()
        <= middle ** (1 / 1.4)
    )


def test_unsharp_pictures_are_those_of_half_the_size_and_the_others_stay():
    pictures = PICTURES[:, :, :16, :16]
    result = np.asarray(augment(pictures, KEY, Variation(blur=0.5)))
    halved = pictures.reshape(12, 2, 8, 2, 8, 2, 3).astype(np.float32).mean((3, 5))
    unsharp = halved.repeat(2, axis=2).repeat(2, axis=3)
    same = np.abs(result - pictures).max((1, 2, 3, 4)) < 0.01
    blurred = np.abs(result - unsharp).max((1, 2, 3, 4)) < 0.01
    assert (same != blurred).all()
    assert same.any() and blurred.any()


def test_only_the_chosen_glitches_vary():
    chosen = np.arange(12) % 3 == 0
    wild = Variation(mirror=True, zoom=0.3, shift=0.1, gain=0.2, blur=0.5)
    result = np.asarray(augment(PICTURES, KEY, wild, chosen))
    changed = np.abs(result - PICTURES).max((1, 2, 3, 4)) > 0.01
    np.testing.assert_array_equal(changed, chosen)
