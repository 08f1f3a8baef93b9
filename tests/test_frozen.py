"""Maps of frozen layers: as good as pictures, computed once, and never those of others."""

import dataclasses
import errno
import shutil
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from test_run import history, measured

from flax_glitch.checkpoint import Description, arrays_of, load_model, save_model
from flax_glitch.config import Config, ModelConfig, OptimiserConfig, Preprocessing
from flax_glitch.data.batches import evaluation_batches
from flax_glitch.data.records import prepare
from flax_glitch.models.classifier import build, make_forward
from flax_glitch.training import frozen
from flax_glitch.training.frozen import can_keep, keep_maps
from flax_glitch.training.start import train
from flax_glitch.training.step import initial_state, make_train_step

ROUNDING = 2.0**-11
"""The greatest relative error of a number in 16 bits."""

SIZES = {"resnet50": 75, "vgg16": 47, "xception": 75}


@pytest.fixture(scope="module")
def pictures(drawn, cache):
    """The validation pictures of a folder of toys, at 32 pixels."""
    return prepare(drawn, 32, cache=cache).split("validation")


def config_of(name, size=32, **changes):
    config = Config(Preprocessing(size), model=ModelConfig(name, "weights.h5", dropout=0.3))
    return dataclasses.replace(config, **changes)


def parts(config, seed=0):
    """The graph and states of a new network, its frozen arrays first of all not all alike."""
    classifier = build(config.model, config.preprocessing, 10, rngs=nnx.Rngs(seed))
    random = np.random.default_rng(seed)
    for variable in jax.tree.leaves(
        nnx.state(classifier, nnx.BatchStat), is_leaf=lambda leaf: isinstance(leaf, nnx.BatchStat)
    ):
        variable.set_value(random.uniform(0.5, 1, variable.shape).astype(np.float32))
    return classifier, initial_state(classifier, config, train_all=False)


def kept(config, folder, states, graphdef, split):
    return keep_maps(config, graphdef, folder, states, [split])[0]


@pytest.mark.parametrize(
    "name", ["resnet50", "vgg16", pytest.param("xception", marks=pytest.mark.slow)]
)
def test_scores_and_steps_by_kept_maps_are_those_by_pictures_but_for_rounding(
    name, drawn, cache, tmp_path
):
    config = config_of(name, SIZES[name])
    split = prepare(drawn, SIZES[name], cache=cache).split("validation")
    _, (graphdef, state) = parts(config)
    by_maps = kept(config, tmp_path, state.model, graphdef, split)
    assert by_maps.maps.dtype == np.float16 and len(by_maps.maps) == len(split)
    seen, read = (next(evaluation_batches(s, s.alone, 16)) for s in (split, by_maps))
    forward = make_forward(graphdef, config.preprocessing)
    scores = np.asarray(forward(state.model, seen.views, seen.mask))
    found = np.asarray(forward(state.model, read.views, read.mask))
    spread = scores.std(axis=0).mean()
    assert spread > 0
    np.testing.assert_allclose(found, scores, atol=8 * ROUNDING * spread, rtol=8 * ROUNDING)

    step = make_train_step(graphdef, config, split.labels, 10, train_all=False)
    results = [step(jax.tree.map(jnp.array, state), one, jax.random.key(1)) for one in (seen, read)]
    (after, output), (same, again) = results
    np.testing.assert_allclose(again.loss, output.loss, rtol=1e-2)
    for before, now in zip(*map(jax.tree.leaves, (after.statistics, same.statistics)), strict=True):
        np.testing.assert_allclose(now, before, rtol=1e-2, atol=1e-3)


class Killed(BaseException):
    """As if the process ended here."""


@pytest.fixture
def computed(monkeypatch):
    """Counts the batches of pictures that trunks see, and kills the process before one of them."""
    counts = {"batches": 0, "kill": None}

    def counting(graphdef, preprocessing, make=frozen.make_trunk):
        trunk = make(graphdef, preprocessing)

        def counted(states, views):
            if isinstance(views, np.ndarray):
                if counts["batches"] == counts["kill"]:
                    raise Killed
                counts["batches"] += 1
            return trunk(states, views)

        return counted

    monkeypatch.setattr(frozen, "make_trunk", counting)
    return counts


def test_a_killed_computation_is_gone_on_with_and_what_is_there_is_read(
    pictures, tmp_path, computed
):
    config = config_of("vgg16")
    _, (graphdef, state) = parts(config)
    whole = kept(config, tmp_path / "whole", state.model, graphdef, pictures)
    assert computed["batches"] == 3
    computed["kill"] = 5
    with pytest.raises(Killed):
        kept(config, tmp_path / "killed", state.model, graphdef, pictures)
    (part,) = (tmp_path / "killed").glob("*.part")
    with part.open("ab") as file:
        file.write(b"a row that is not whole")
    computed["kill"] = None
    again = kept(config, tmp_path / "killed", state.model, graphdef, pictures)
    assert computed["batches"] == 6
    np.testing.assert_array_equal(again.maps, whole.maps)
    kept(config, tmp_path / "killed", state.model, graphdef, pictures)
    assert computed["batches"] == 6 and not part.exists()


def test_a_split_without_pictures_is_no_trouble(pictures, tmp_path):
    config = config_of("vgg16")
    _, (graphdef, state) = parts(config)
    none = dataclasses.replace(pictures, table=pictures.table[:0])
    assert not len(kept(config, tmp_path, state.model, graphdef, none))


def test_of_two_at_once_one_computes_and_the_other_waits(pictures, tmp_path, computed):
    config = config_of("vgg16")
    _, (graphdef, state) = parts(config)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(
            lambda _: kept(config, tmp_path, state.model, graphdef, pictures), range(2)
        )
    assert computed["batches"] == 3
    np.testing.assert_array_equal(one.maps, other.maps)


def test_other_weights_pictures_or_treatment_get_maps_of_their_own(pictures, tmp_path, computed):
    config = config_of("vgg16")
    _, (graphdef, state) = parts(config)
    frozen_array = state.frozen["backbone"]["block1"]["conv1"]["bias"]
    trained_array = state.trainable["backbone"]["block5"]["conv1"]["bias"]
    unit = Preprocessing(32, normalise="unit")
    rows = {
        "table": pictures.table[::-1],
        "records": [pictures.records[n] for n in range(40)][::-1],
    }

    def news(config=config, split=pictures):
        before = computed["batches"]
        kept(config, tmp_path, state.model, graphdef, split)
        return computed["batches"] > before

    assert news() and not news()
    trained_array.set_value(trained_array[...] + 1)
    assert not news()
    frozen_array.set_value(frozen_array[...] + 1)
    assert news()
    assert news(config_of("vgg16", preprocessing=unit))
    assert news(config_of("vgg16", model=dataclasses.replace(config.model, precision="bfloat16")))
    assert news(split=dataclasses.replace(pictures, **rows))
    assert not news()


@pytest.mark.parametrize("when", ["before", "while"])
def test_without_room_on_the_disk_pictures_are_used_and_it_is_said(
    pictures, tmp_path, monkeypatch, caplog, when
):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    if when == "before":
        usage = namedtuple("Usage", "free")(10**9)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    else:
        monkeypatch.setattr("os.fsync", full)
    config = config_of("vgg16")
    _, (graphdef, state) = parts(config)
    assert kept(config, tmp_path, state.model, graphdef, pictures) is pictures
    said = caplog.messages[-1]
    assert "can't be kept, 0.2 MB" in said and "free some space" in said
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".lock"]


@pytest.mark.parametrize(
    ("name", "data", "training", "expected"),
    [
        ("resnet50", {}, {}, True),
        ("xception", {}, {"imbalance": "over-sampling"}, True),
        ("vgg16", {"variation": "drift"}, {}, False),
        ("vgg16", {}, {"imbalance": "randomised"}, False),
        ("cnn-a", {}, {}, False),
    ],
)
def test_maps_are_kept_where_layers_are_frozen_and_pictures_stay_the_same(
    name, data, training, expected
):
    config = config_of(name)
    config = dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, **data),
        training=dataclasses.replace(config.training, **training),
    )
    assert can_keep(config) is expected
    from_scratch = dataclasses.replace(config.model, weights="none")
    assert not can_keep(dataclasses.replace(config, model=from_scratch))


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A checkpoint to start from."""
    folder = tmp_path_factory.mktemp("start")
    config = config_of("vgg16")
    classifier, _ = parts(config)
    said = Description("start", config.model, config.preprocessing, {}, tuple("abcdefghij"))
    save_model(folder, arrays_of(classifier), said, "card")
    return folder


def test_a_run_by_maps_learns_as_one_by_pictures_and_resumed_ends_bit_identical(
    start, small, cache, tmp_path, computed, monkeypatch, caplog
):
    config = dataclasses.replace(
        small,
        model=ModelConfig("vgg16", str(start), batch_norm_momentum=0.5),
        data=dataclasses.replace(small.data, variation="none"),
        # Its first steps are by signs, also of rounding: small ones, so that both go the same way.
        optimiser=OptimiserConfig(1e-7, min_learning_rate=1e-7),
    )
    short = dataclasses.replace(config, training=dataclasses.replace(config.training, epochs=1))
    monkeypatch.setattr("flax_glitch.training.start.ENOUGH", 5)
    train(config, tmp_path / "whole", cache=cache)
    assert computed["batches"] == 13
    assert "what frozen layers make of the pictures is computed once, 0.8 MB" in caplog.text
    train(short, tmp_path / "resumed", cache=cache)
    train(config, tmp_path / "resumed", resume=True, cache=cache)
    assert measured(tmp_path / "resumed") == measured(tmp_path / "whole")
    one, other = (arrays_of(load_model(tmp_path / run)[0]) for run in ("whole", "resumed"))
    for name, array in one.items():
        np.testing.assert_array_equal(other[name], array, err_msg=name)

    monkeypatch.setattr(frozen, "can_keep", lambda config: False)
    train(short, tmp_path / "pictures", cache=cache)
    maps, pictures = (history(tmp_path / run)[0] for run in ("whole", "pictures"))
    for part in ("training", "validation"):
        assert maps[part]["loss"] == pytest.approx(pictures[part]["loss"], rel=2e-3)
