"""Rows of maps are kept apart, and a pair of networks says what both say on the average."""

import dataclasses
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from flax import nnx
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from flax_glitch.checkpoint import Description, arrays_of, load_model, save_model
from flax_glitch.classes import CLASSES
from flax_glitch.models.classifier import build, make_forward
from flax_glitch.models.layers import Maker
from flax_glitch.models.stacks import RowsHead
from flax_glitch.models.systems import settings
from flax_glitch.models.vgg import VGG16, VGG16Rows

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
NAMES = CLASSES[:3]
RANDOM = np.random.default_rng(0)


@pytest.fixture
def recipe(monkeypatch):
    """How the model in the box is made."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import recipe

    yield recipe
    for name in ("recipe", "common"):
        sys.modules.pop(name, None)


def small(name, size=32):
    """The preprocessing of a network for small pictures."""
    return dataclasses.replace(settings("paper", name).preprocessing, size=size)


def saved(name, folder):
    """Writes a network of random arrays, statistics included, and returns its forward function."""
    model = build(settings("paper", name).model, small(name), len(NAMES), rngs=nnx.Rngs(0))
    arrays = {
        key: RANDOM.uniform(0.5, 1.5, array.shape).astype(np.float32)
        if key.endswith(("var", "scale"))
        else np.asarray(array) + RANDOM.normal(0, 0.02, array.shape).astype(np.float32)
        for key, array in arrays_of(model).items()
    }
    described = Description(name, settings("paper", name).model, small(name), {}, NAMES)
    save_model(folder, arrays, described, "")
    return forward(folder)


def forward(folder):
    model, described = load_model(folder)
    graph, state = nnx.split(model)
    run = make_forward(graph, described.preprocessing)
    return lambda views: np.asarray(run((state,), views, np.ones(views.shape[:2], bool)))


def test_a_head_of_rows_tells_at_which_frequency_a_line_is_and_not_at_which_time():
    head = RowsHead((4, 6, 2), 3, Maker(nnx.Rngs(0)))
    maps = np.zeros((1, 1, 4, 6, 2), np.float32)
    low, high, later = maps.copy(), maps.copy(), maps.copy()
    low[0, 0, 1, 2, 0] = high[0, 0, 3, 2, 0] = later[0, 0, 1, 5, 0] = 9.0
    rows = np.asarray(head.rows(low))
    np.testing.assert_array_equal(rows, head.rows(later))
    assert np.abs(rows - head.rows(high)).max() > 1
    by_hand = np.full((4, 4), np.sqrt(1e-4))
    by_hand[1, 0], by_hand[1, 2] = np.sqrt(9 / 6 + 1e-4), np.sqrt(9 + 1e-4)
    np.testing.assert_allclose(rows[0, 0], by_hand.ravel(), rtol=1e-6)


def test_the_maps_of_vgg16_rows_are_those_of_the_third_and_of_the_fourth_block():
    model, whole = VGG16Rows(Maker(nnx.Rngs(0))), VGG16(Maker(nnx.Rngs(1)))
    nnx.update(whole, nnx.state(model))
    pictures = jnp.asarray(RANDOM.normal(size=(1, 32, 56, 3)), jnp.float32)
    maps = model(pictures)
    assert maps.shape == (1, 2, 3, model.features)
    third = whole.block3(whole.block2(whole.block1(pictures)))
    corners = [
        third[:, row : row + 3 : 2, column : column + 5 : 2] for row in (0, 1) for column in (0, 1)
    ]
    np.testing.assert_array_equal(maps[..., :256], np.max(corners, axis=0))
    np.testing.assert_array_equal(maps[..., 256:], whole.block4(third))


def test_a_pair_says_the_mean_of_what_its_two_networks_say(tmp_path, recipe, monkeypatch):
    large, tiny = saved("vgg16-rows", tmp_path / "large"), saved("compact", tmp_path / "tiny")
    monkeypatch.setattr(
        recipe,
        "settings",
        lambda _, name: dataclasses.replace(settings("paper", name), preprocessing=small(name)),
    )
    pair = forward(recipe.pair_of(tmp_path / "large", tmp_path / "tiny", tmp_path / "pair"))
    views = RANDOM.integers(0, 256, (2, 1, 32, 32, 3), np.uint8)
    one, two = large(views), tiny(views)
    assert np.abs(one - two).max() > 0.1
    np.testing.assert_allclose(pair(views), (one + two) / 2, atol=2e-4)


def test_a_fitted_head_is_the_logistic_regression_of_standardised_rows(recipe, monkeypatch):
    monkeypatch.setattr(recipe, "COMPONENTS", 16)  # as many as there are: nothing is left out
    labels = np.repeat(np.arange(3), 40)
    rows = (RANDOM.normal(size=(120, 16)) + 2 * np.eye(3, 16)[labels]).astype(np.float16)
    weights = np.repeat([1.0, 2.0, 4.0], 40)
    arrays = recipe.fitted_head(rows, labels, weights)
    head = RowsHead((2, 3, 4), 3, Maker(nnx.Rngs(0)))
    values = {"norm": {}, "output": {}}
    for name, array in arrays.items():
        _, layer, key = name.split(".")
        values[layer][key] = jnp.asarray(array, jnp.float32)
    state = nnx.state(head, nnx.Any(nnx.Param, nnx.BatchStat))
    nnx.replace_by_pure_dict(state, values)
    nnx.update(head, state)
    x = rows.astype(np.float32)
    ours = head.output(nnx.view(head.norm, use_running_average=True)(jnp.asarray(x)))
    x = (x - x.mean(0)) / (x.std(0) + 0.1 * x.std())
    x /= np.sqrt(np.linalg.eigvalsh(np.cov(x.T, ddof=0)).max())
    theirs = LogisticRegression(C=recipe.STRENGTH, max_iter=1000)
    theirs.fit(x, labels, sample_weight=weights / weights.mean())
    np.testing.assert_allclose(jax.nn.softmax(ours), theirs.predict_proba(x), atol=5e-3)


def test_a_teacher_gives_the_mean_of_what_a_head_says_of_a_picture_and_of_its_copies(recipe):
    path = "elsewhere/{}/{}/H1_{}_spectrogram_1.0.png"
    places = [
        ("Blip", "o3", "a"),
        ("Tomte", "o3", "a"),
        ("Blip", "o3", "a"),
        ("Blip", "golden", "a"),
    ]
    table = pd.DataFrame(
        {
            "path": [path.format(folder, "x", id) for _, folder, id in places],
            "label": [label for label, _, _ in places],
        }
    )
    rows = RANDOM.normal(size=(4, 6)).astype(np.float32)
    head = {
        "head.norm.mean": RANDOM.normal(size=6),
        "head.norm.var": RANDOM.uniform(0.5, 2, size=6),
        "head.output.kernel": RANDOM.normal(size=(6, 3)),
        "head.output.bias": RANDOM.normal(size=3),
    }
    shown = [f"train/{label}/{folder}/H1_a_spectrogram_1.0.png" for label, folder, _ in places]
    split = SimpleNamespace(table=pd.DataFrame({"path": [shown[3], shown[0], shown[1]]}))
    x = (rows - head["head.norm.mean"]) / np.sqrt(head["head.norm.var"] + 1e-3)
    said = softmax(x @ head["head.output.kernel"] + head["head.output.bias"], axis=1)
    expected = said[3], (said[0] + said[2]) / 2, said[1]
    found = softmax(recipe.teacher_of(head, table, rows)(split), axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
