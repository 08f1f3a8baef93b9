"""Training of the DCGAN, what it fills up, and the pictures of `flax-glitch generate`."""

import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest
from flax import nnx

from flax_glitch.checkpoint import CheckpointError, RunStates
from flax_glitch.classes import DURATIONS
from flax_glitch.cli import main
from flax_glitch.config import Config
from flax_glitch.data.pictures import load_picture, resize
from flax_glitch.data.records import Split, prepare
from flax_glitch.data.table import COLUMNS
from flax_glitch.strain.picture import png
from flax_glitch.training import gan
from flax_glitch.training.gan import (
    filled,
    imagine,
    known_windows,
    picture_of,
    read_glitches,
    train_gan,
    window_of,
)
from flax_glitch.training.gan_step import Drawn, averaged_generator, gan_step, initial_gan, make
from flax_glitch.training.run import Interrupted

CLASSES = ("Extremely_Loud", "No_Glitch", "Whistle")
BRIGHT, DARK = 0, 1
GLITCHES = 40
"""As many as of the drawn toys train, so that the step is compiled once."""


def flat(level, shape=(64, 64)):
    return picture_of(np.full((64, 64), level, np.uint8), shape)


def toy_split(glitches=GLITCHES, rare=20, durations=DURATIONS, grey=False, classes=CLASSES):
    """Glitches of which so many are dark and the others bright, in flat pictures."""
    rows, records = [], []
    for number in range(glitches):
        label, level = ("No_Glitch", 10) if number < rare else ("Extremely_Loud", 240)
        window = np.full((64, 64), level, np.uint8)
        for duration in durations:
            rows.append((f"{number}.png", "", "H1", f"toy{number}", duration, label, "train"))
            records.append({"image": png(picture_of(window, (48, 80), grey=grey))})
    table = pd.DataFrame(rows, columns=list(COLUMNS), dtype=object).astype({"duration": float})
    return Split("train", table, classes, records)


def saved(folder):
    states = RunStates(folder)
    try:
        return states.restore(initial_gan(0, 3))[0]
    finally:
        states.close()


def assert_same(tree, other):
    for one, two in zip(jax.tree.leaves(tree), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.fixture(scope="module", autouse=True)
def narrow():
    """Networks and batches that take milliseconds a step, and fewer steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flax_glitch.training.gan_step.WIDTH", 2)
        patch.setattr("flax_glitch.training.gan_step.BATCH", 8)
        patch.setattr("flax_glitch.training.gan_step.ADAM", optax.adam(4e-3, b1=0.5))
        yield


@pytest.fixture(scope="module")
def toys(cache):
    split = toy_split()
    return split, read_glitches(split, known_windows(split))


@pytest.fixture(scope="module")
def four_steps(toys, tmp_path_factory):
    """The folder of a GAN that was trained in one go."""
    folder = tmp_path_factory.mktemp("gan") / "whole"
    train_gan(toys[0], folder, seed=3, epochs=2)
    return folder


def test_training_stopped_by_a_signal_goes_on_to_the_very_same_state(
    toys, four_steps, tmp_path, monkeypatch
):
    def interrupted(state, glitches):
        state, output = gan_step(state, glitches)
        if state.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return state, output

    monkeypatch.setattr(gan, "gan_step", interrupted)
    with pytest.raises(Interrupted):
        train_gan(toys[0], tmp_path, seed=3, epochs=2)
    assert saved(tmp_path).step == 2
    monkeypatch.undo()
    train_gan(toys[0], tmp_path, seed=99, epochs=2)  # the seed is that of the first call
    assert saved(tmp_path).step == 4
    assert_same(saved(tmp_path), saved(four_steps))


def test_a_trained_gan_is_used_as_it_is_and_only_for_the_same_glitches(
    toys, four_steps, monkeypatch
):
    monkeypatch.setattr(gan, "gan_step", None)
    first = train_gan(toys[0], four_steps, epochs=1)
    assert_same(nnx.state(first), nnx.state(averaged_generator(saved(four_steps), 3)))
    for other in (toy_split(rare=19), toy_split(classes=(*CLASSES, "Zebra"))):
        with pytest.raises(CheckpointError, match=r"its GAN learnt other glitches.*\Z"):
            train_gan(other, four_steps, epochs=1)


def test_the_average_trails_the_generator_which_every_step_changes(four_steps):
    state = saved(four_steps)
    begun = initial_gan(3, 3)
    for now, mean, start in zip(
        *map(jax.tree.leaves, (state.generator.network, state.average, begun.average)), strict=True
    ):
        assert np.abs(now - start).max() > 0
        assert np.abs(now - mean).max() > 0


@pytest.mark.slow  # adversaries dance: threads decide the last bits, and so what 150 steps give
def test_made_glitches_follow_their_class(toys):
    state = initial_gan(0, 3)
    for _ in range(150):
        state, _ = gan_step(state, toys[1])
    network = averaged_generator(state, 3)
    bright, dark = (np.mean(list(imagine(network, label, 8, 0))) for label in (BRIGHT, DARK))
    assert bright > 150 > 100 > dark


def test_a_loss_that_is_not_finite_stops_training(toys, tmp_path, monkeypatch):
    def broken(state, glitches):
        state, output = gan_step(state, glitches)
        return state, type(output)(jnp.float32(jnp.nan), *jax.tree.leaves(output)[1:])

    monkeypatch.setattr(gan, "gan_step", broken)
    with pytest.raises(FloatingPointError, match="step 1 of the GAN"):
        train_gan(toys[0], tmp_path, epochs=1)


@pytest.mark.parametrize("grey", [False, True])
def test_a_window_comes_back_from_its_picture(grey):
    window = resize(np.random.default_rng(1).integers(0, 256, (4, 4, 3), np.uint8), 64)[..., 0]
    back = window_of(picture_of(window, (478, 568), grey=grey)).astype(int)
    assert np.abs(back - window).max() <= 5
    assert np.abs(back - window).mean() < 1


def test_every_class_is_drawn_as_often_and_missing_windows_stay_dark():
    split = toy_split(glitches=9, rare=3, durations=(0.5, 2.0))
    glitches = read_glitches(split, known_windows(split))
    assert glitches.mask.tolist() == [[True, False, True, False]] * 9
    np.testing.assert_allclose(glitches.chances, [1 / 6] * 3 + [1 / 12] * 6, rtol=1e-6)
    dark, _, bright, _ = glitches.windows[[0, 0, 8, 8]].mean((1, 2)).diagonal()
    np.testing.assert_allclose([dark, bright], [10, 240], atol=1)
    mask = jnp.asarray(glitches.mask)[:, None, None]
    drawn = Drawn(jnp.zeros((9, 64, 64, 4)), mask, jnp.asarray(glitches.classes))
    made, _ = jax.jit(make)(initial_gan(0, 3).average, drawn, jax.random.key(0))
    assert (made[..., [1, 3]] == -1).all() and (made[..., [0, 2]] > -1).all()


def test_pictures_of_unknown_windows_are_left_out():
    split = toy_split(glitches=2, durations=(None, 1.0))
    assert known_windows(split).tolist() == [[-1, 1, -1, -1], [-1, 3, -1, -1]]
    with pytest.raises(ValueError, match=r"no training pictures of 0\.5, 1, 2 or 4 s"):
        known_windows(toy_split(glitches=2, durations=(None,)))
    with pytest.raises(ValueError, match=r"no training pictures"):
        known_windows(toy_split(glitches=0))


@pytest.mark.parametrize("grey", [False, True])
def test_rare_classes_are_filled_up_to_the_mean(grey, tmp_path, monkeypatch):
    untrained = averaged_generator(initial_gan(0, 3), 3)
    monkeypatch.setattr(gan, "train_gan", lambda split, folder, seed: untrained)
    split = toy_split(glitches=11, rare=2, durations=(0.5, 1.0, 4.0), grey=grey)
    whole = filled(split, Config(), tmp_path)
    counts = np.bincount(whole.labels)
    assert (counts[BRIGHT], counts[DARK], len(whole)) == (27, 16, 43)  # the mean is 33 / 2
    pd.testing.assert_frame_equal(whole.table[:33], split.table)
    made = whole.table[33:]
    assert {*zip(made.path, made.ifo, made.label, made.split, strict=True)} == {
        ("", "XG", "No_Glitch", "train")
    }
    assert made.duration.tolist() == [0.5, 1.0, 4.0] * 3 + [0.5]
    assert made.id.nunique() == 4
    assert made.id.str.startswith("generated-").all()
    np.testing.assert_array_equal(whole[7], split[7])
    again = filled(split, Config(), tmp_path)
    for number in range(33, 43):
        picture = whole[number]
        assert picture.shape == (48, 80, 3)
        assert (picture == picture[..., :1]).all() == grey
        np.testing.assert_array_equal(picture, again[number])
    assert (whole[33] != whole[36]).any()
    assert whole.together.shape == (11 + 4, 4)


def run(*arguments):
    """Runs a command; returns its exit code, 0 if it just ends."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        return end.code
    return 0


def test_generate_draws_a_folder_that_is_a_source(drawn, cache, tmp_path, capsys):
    out = tmp_path / "made"
    arguments = ["generate", "--source", drawn, "--out", out, "--gan", tmp_path / "gan"]
    arguments += ["--epochs", "1", "--cache", cache, "--classes", "Blip", "koi fish"]
    assert run(*arguments, "--per-class", "1") == 0
    first = {path: path.read_bytes() for path in out.glob("*/*.png")}
    assert run(*arguments, "--per-class", "2") == 0
    assert "2 generated glitches of 2 classes, seed 0" in capsys.readouterr().out
    assert len(first) == 8 and all(path.read_bytes() == was for path, was in first.items())
    assert {load_picture(path).geometry for path in first} == {"kaggle"}
    table = prepare(out, 32, cache=cache).table
    assert sorted(zip(table.label, table.ifo, table.id, table.duration, strict=True)) == [
        (label, "XG", f"generated-0-{label}-000{number}", duration)
        for label in ("Blip", "Koi_Fish")
        for number in (0, 1)
        for duration in DURATIONS
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--classes", "Blop"], 1, "no training glitch of Blop to learn from; it has Blip, Chirp"),
        (["--per-class", "0"], 2, "--per-class 0: give at least 1"),
        (["--epochs", "0"], 2, "--epochs 0: give at least 1"),
        (["--seed", "-1"], 2, "--seed -1: give 0 to "),
        (["--source", "nowhere"], 1, "nowhere: no such file or folder"),
        (["--classes", "Whistle"], 1, "no training glitch of Whistle to learn from"),
        (["--out", "full"], 2, "full: holds other things"),
        (["--source", "full"], 1, "no pictures in class folders"),
    ],
)
def test_bad_arguments_are_one_line_and_train_nothing(
    arguments, code, message, drawn, cache, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "diary.txt").touch()
    given = {"--source": drawn, "--out": "made", "--per-class": 1, "--cache": cache}
    given |= {arguments[0]: arguments[1]}
    ended = run("generate", *[word for pair in given.items() for word in pair])
    said = capsys.readouterr().err if code == 2 else str(ended)
    assert ended == 2 if code == 2 else said.startswith("error: ")
    assert message in said and said.strip().count("\n") == 0
    assert not (tmp_path / "made").exists() and not (tmp_path / "checkpoints").exists()
