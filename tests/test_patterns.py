"""The drawn pictures have Gravity Spy's layout, geometry, colours and frequencies."""

import re

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from flax_glitch.classes import CLASSES, DURATIONS
from flax_glitch.simulate.patterns import PATTERNS, draw_pattern, draw_patterns

VIRIDIS = np.rint(colormaps["viridis"](np.linspace(0, 1, 256))[:, :3] * 255).astype(int)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("patterns")
    draw_patterns(folder, per_class=2, seed=5)
    return folder


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}


def energy(label: str, duration: float, seed: int = 0) -> np.ndarray:
    """Normalised energy, read back from the colours."""
    codes = packed(draw_pattern(label, duration, seed)[1:, 1:])
    order = packed(VIRIDIS).argsort()
    return order[np.searchsorted(packed(VIRIDIS), codes, sorter=order)] / 10


def packed(colours: np.ndarray) -> np.ndarray:
    red, green, blue = np.moveaxis(colours.astype(int), -1, 0)
    return (red * 256 + green) * 256 + blue


def frequency_of_rows(rows: int) -> np.ndarray:
    return np.geomspace(2048, 10, rows)


def test_every_class_gets_four_windows_a_glitch_under_gravity_spy_names(drawn):
    assert set(PATTERNS) < set(CLASSES)
    assert {folder.name for folder in drawn.iterdir()} == set(PATTERNS)
    identities = []
    for label in PATTERNS:
        names = [path.name for path in (drawn / label).iterdir()]
        parts = [re.fullmatch(r"([HL]1_\w{10})_spectrogram_(\d\.\d)\.png", name) for name in names]
        found = [(part[1], float(part[2])) for part in parts]
        glitches = {identity for identity, _ in found}
        assert len(glitches) == 2
        assert sorted(found) == sorted((one, window) for one in glitches for window in DURATIONS)
        identities += glitches
    assert len(set(identities)) == 2 * len(PATTERNS)


def test_files_have_the_kaggle_geometry_and_viridis_colours(drawn):
    path = next((drawn / "Koi_Fish").glob("*_0.5.png"))
    picture = np.asarray(Image.open(path))
    assert picture.shape == (479, 569, 3)
    assert (picture[0] == 0).all()
    assert (picture[:, 0] == 0).all()
    assert np.isin(packed(picture[1:, 1:]), packed(VIRIDIS)).all()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(drawn, tmp_path):
    draw_patterns(tmp_path / "again", per_class=2, seed=5)
    assert contents(tmp_path / "again") == contents(drawn)
    draw_patterns(tmp_path / "other", per_class=1, seed=6)
    assert not set(contents(tmp_path / "other")) & set(contents(drawn))


def test_more_glitches_leave_the_first_ones_as_they_were(drawn, tmp_path):
    draw_patterns(tmp_path, per_class=1, seed=5)
    fewer = contents(tmp_path)
    assert fewer.items() <= contents(drawn).items()
    assert len(fewer) == 4 * len(PATTERNS)


@pytest.mark.parametrize("label", PATTERNS)
def test_one_drawn_window_is_that_of_the_folder(drawn, label):
    picture = draw_pattern(label, 2.0, seed=5)
    saved = [np.asarray(Image.open(path)) for path in (drawn / label).glob("*_2.0.png")]
    assert sum(np.array_equal(picture, one) for one in saved) == 1


def test_noise_has_the_energy_of_gaussian_noise():
    for seed in range(3):
        values = energy("No_Glitch", 4.0, seed)
        assert abs(values.mean() - 1) < 0.15
        assert abs(np.median(values) - np.log(2)) < 0.15


LINES = {"Power_Line": (60, 120, 180), "1080Lines": (1080,)}


@pytest.mark.parametrize(("label", "seed"), [(label, seed) for label in LINES for seed in range(3)])
def test_lines_lie_at_their_frequency(label, seed):
    values = energy(label, 1.0, seed)
    brightest = frequency_of_rows(len(values))[values.mean(1).argmax()]
    assert min(abs(np.log2(brightest / line)) for line in LINES[label]) < 0.05


@pytest.mark.parametrize("seed", range(3))
def test_a_chirp_rises_in_frequency(seed):
    values = energy("Chirp", 0.5, seed)
    bright = values > 8
    frequencies = np.log2(frequency_of_rows(len(values)))[:, None]
    mean = (frequencies * bright).sum(0) / np.maximum(bright.sum(0), 1)
    columns = np.flatnonzero(bright.sum(0) > 2)
    assert np.polyfit(columns, mean[columns], 1)[0] > 0


@pytest.mark.parametrize("label", sorted(set(PATTERNS) - {"No_Glitch"}))
def test_a_glitch_is_brighter_than_noise_in_every_window(label):
    for seed in range(3):
        for duration in DURATIONS:
            bright = (energy(label, duration, seed) > 12).mean()
            assert bright > 3 * (energy("No_Glitch", duration, seed) > 12).mean()
            assert bright > 0


def test_wrong_arguments_are_named(tmp_path):
    with pytest.raises(ValueError, match="Helix has no pattern; choose from 1080Lines, Blip"):
        draw_pattern("Helix", 1.0)
    with pytest.raises(ValueError, match=r"3.0 s is no window"):
        draw_pattern("Blip", 3.0)
    with pytest.raises(ValueError, match="0 glitches"):
        draw_patterns(tmp_path, per_class=0)
