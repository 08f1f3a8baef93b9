"""Checkpoints: whole or refused, whatever happens to them."""

import dataclasses
import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flax_glitch import box
from flax_glitch.box import find_model
from flax_glitch.checkpoint import (
    Calibration,
    CheckpointError,
    Description,
    RunStates,
    add_calibration,
    arrays_of,
    check_fit,
    find_checkpoint,
    load_arrays,
    load_model,
    read_card,
    read_description,
    release,
    save_model,
)
from flax_glitch.classes import CLASSES
from flax_glitch.config import ModelConfig, Preprocessing

ARRAYS = {
    "layer.kernel": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4),
    "layer.mean": np.float32(3.1415927),
}
STATE = {"weights": {"a": jnp.arange(3.0)}, "step": jnp.int32(7)}
DESCRIPTION = Description("made", ModelConfig(), Preprocessing(), {"data": "none"}, CLASSES)


@pytest.fixture
def folder(tmp_path):
    save_model(tmp_path / "run", ARRAYS, DESCRIPTION, "hash SHA256")
    return tmp_path / "run"


def load(folder, expected=ARRAYS):
    return load_arrays(folder, read_description(folder), expected)


def test_float32_arrays_come_back_bit_for_bit(folder):
    loaded = load(folder)
    assert loaded.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(loaded[name], array)


def test_a_folder_may_be_named_relative_to_where_one_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_model(Path("run"), ARRAYS, DESCRIPTION, "")
    assert load(Path("run"))["layer.mean"] == ARRAYS["layer.mean"]


def test_bfloat16_arrays_come_back_rounded_in_float32(tmp_path):
    save_model(tmp_path, ARRAYS, DESCRIPTION, "", "bfloat16")
    loaded = load(tmp_path)
    for name, array in ARRAYS.items():
        rounded = np.asarray(jnp.asarray(array).astype(jnp.bfloat16).astype(jnp.float32))
        np.testing.assert_array_equal(loaded[name], rounded)
        assert loaded[name].dtype == np.float32


def test_the_description_and_the_card_tell_the_same_hash(folder):
    described = read_description(folder)
    assert dataclasses.replace(described, arrays="", sha256="", files_sha256="") == DESCRIPTION
    assert read_card(folder).strip() == f"hash {described.sha256}"


def test_the_same_arrays_have_the_same_hash_wherever_they_are_written(folder, tmp_path):
    again = save_model(tmp_path / "again", ARRAYS, DESCRIPTION, "")
    other = save_model(tmp_path / "b", {**ARRAYS, "layer.mean": np.float32(0)}, DESCRIPTION, "")
    assert again.sha256 == read_description(folder).sha256 != other.sha256


def test_a_second_save_replaces_the_first_and_leaves_nothing_behind(folder):
    before = read_description(folder).arrays
    save_model(folder, {**ARRAYS, "layer.mean": np.float32(2)}, DESCRIPTION, "")
    assert load(folder)["layer.mean"] == 2
    assert not (folder / before).exists()
    assert sorted(path.name.split("-")[0] for path in folder.iterdir()) == [
        "MODEL_CARD.md",
        "arrays",
        "model.json",
    ]


def test_every_missing_extra_and_misshapen_array_is_named_in_one_error():
    with pytest.raises(CheckpointError) as error:
        check_fit(
            "here", {"a": np.zeros(2), "x": np.zeros(1)}, {"a": np.zeros(3), "b": np.zeros(1)}
        )
    assert str(error.value) == (
        "here: doesn't fit the model; missing: b; extra: x; misshapen: a is (2,), not (3,)"
    )


def test_a_foreign_checkpoint_is_refused(folder):
    with pytest.raises(CheckpointError, match=r"missing: other; extra: layer\.mean; misshapen"):
        load(folder, {"layer.kernel": np.zeros((4, 3)), "other": np.zeros(1)})


def test_a_calibration_comes_back_and_leaves_the_arrays_alone(folder):
    before = read_description(folder)
    scores = tuple(np.random.default_rng(0).random(101).cumsum() / 101)
    known = tuple(Calibration(1 / 3 + n, -1 / 7, scores, 50 + n) for n in range(4))
    described = add_calibration(folder, known, "calibrated SHA256")
    assert described == read_description(folder) == dataclasses.replace(before, calibration=known)
    assert read_card(folder).strip() == f"calibrated {before.sha256}"
    assert load(folder).keys() == ARRAYS.keys()


def test_a_model_of_before_there_was_calibration_has_none(folder):
    path = folder / "model.json"
    values = json.loads(path.read_text())
    del values["calibration"]
    path.write_text(json.dumps(values))
    assert read_description(folder).calibration == ()


def test_a_calibration_that_cant_be_written_leaves_the_model_as_it_was(folder, monkeypatch):
    before = read_description(folder)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(CheckpointError, match="can't be written"):
        add_calibration(folder, (), "")
    assert read_description(folder) == before


def spoilt(**values):
    scores = np.linspace(0, 1, 101).tolist()
    return {"temperature": 1.0, "unlike": 0.0, "scores": scores, "n": 9} | values


def biggest_file(folder):
    return max(folder.glob("arrays-*/**/*"), key=lambda path: path.is_file() * path.stat().st_size)


@pytest.mark.parametrize("damage", ["truncated", "altered", "removed"])
def test_damaged_arrays_are_refused(folder, damage):
    path = biggest_file(folder)
    data = path.read_bytes()
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(data[: len(data) // 2] if damage == "truncated" else data[::-1])
    with pytest.raises(CheckpointError, match=r"damaged: its sha256 isn't model.json's"):
        load(folder)


def change(folder, **values):
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "model.json").unlink(), "no checkpoint: it has no model.json"),
        (lambda folder: (folder / "model.json").write_text("{"), "not a flax_glitch checkpoint"),
        (lambda folder: (folder / "model.json").write_text("[]"), "not a flax_glitch checkpoint"),
        (lambda folder: change(folder, surplus=1), "missing or unknown: surplus"),
        (lambda folder: change(folder, arrays=3), "setting arrays can't be 3"),
        (lambda folder: change(folder, provenance=None), "setting provenance can't be None"),
        (lambda folder: change(folder, format=2), "of format 2, this version reads 1"),
        (lambda folder: change(folder, classes=["Cat"]), "its classes aren't two or more"),
        (lambda folder: change(folder, classes=["Cat", "Outlier"]), "aren't two or more"),
        (lambda folder: change(folder, classes=["Blip", "Blip"]), "aren't two or more different"),
        (lambda folder: change(folder, classes=["Blip", ".."]), "aren't two or more different"),
        (
            lambda folder: change(folder, calibration=[spoilt()]),
            "calibration of 1 numbers of windows",
        ),
        (lambda folder: change(folder, calibration=[{}] * 4), "settings missing"),
        (
            lambda folder: change(folder, calibration=[spoilt(scores=[0.0])] * 4),
            "aren't 101 rising",
        ),
        (lambda folder: change(folder, calibration=[spoilt(temperature=0.0)] * 4), "above 0"),
        (lambda folder: change(folder, calibration=[spoilt(unlike="x")] * 4), "unlike can't be"),
        (lambda folder: change(folder, calibration=3), "not a flax_glitch checkpoint"),
        (lambda folder: change(folder, arrays="arrays-none"), "its arrays are missing"),
        (lambda folder: change(folder, arrays="../arrays-none"), "its arrays are missing"),
    ],
)
def test_a_spoilt_folder_gets_one_clear_line(folder, spoil, message):
    spoil(folder)
    with pytest.raises(CheckpointError, match=message) as error:
        load(folder)
    assert "\n" not in str(error.value)


def test_a_folder_that_cant_be_written_gets_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="can't be written"):
        save_model(tmp_path / "file", ARRAYS, DESCRIPTION, "")


def test_a_full_disk_is_told_before_anything_is_written(folder, monkeypatch):
    states = RunStates(folder)
    states.save(1, STATE, {})
    usage = shutil.disk_usage(folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10))
    with pytest.raises(CheckpointError, match="only 0 MB free on the disk: make room"):
        states.save(2, STATE, {})
    with pytest.raises(CheckpointError, match="make room"):
        save_model(folder, {**ARRAYS, "more": np.zeros(9)}, DESCRIPTION, "")
    assert states.newest == 1
    states.close()
    assert load(folder).keys() == ARRAYS.keys()


def test_a_checkpoint_is_found_by_folder_or_name_else_it_is_the_one_in_the_box(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)  # wherever one works
    for name in ("run", "fast"):
        save_model(tmp_path / name, ARRAYS, DESCRIPTION, "")
    with pytest.raises(CheckpointError, match=r"named: no such .*, or default or fast$"):
        find_checkpoint(tmp_path / "named", tmp_path)
    assert find_checkpoint("run", tmp_path / "other") == Path("run")
    assert find_checkpoint(Path("run"), tmp_path) == Path("run")
    (tmp_path / "run").rename(tmp_path / "older")
    assert find_checkpoint("fast") == Path("fast")  # one's own goes before
    (tmp_path / "fast").rename(tmp_path / "own")
    found = [find_checkpoint(name) for name in (None, "default", "fast")]
    assert [read_description(folder).name for folder in found] == ["default", "default", "fast"]
    assert found[2] == find_model("fast")
    monkeypatch.setattr(box, "MODELS", ())
    with pytest.raises(CheckpointError, match="no model came with flax_glitch"):
        find_checkpoint()


def test_a_run_state_comes_back_with_its_progress(tmp_path):
    states = RunStates(tmp_path)
    states.save(7, STATE, {"epoch": 1, "history": [{"loss": 0.1}]})
    states.close()
    again = RunStates(tmp_path)
    state, progress = again.restore(jax.tree.map(jnp.zeros_like, STATE))
    again.close()
    jax.tree.map(np.testing.assert_array_equal, state, STATE)
    assert progress == {"epoch": 1, "history": [{"loss": 0.1}]}


def test_only_the_newest_run_state_is_kept(tmp_path):
    states = RunStates(tmp_path)
    for step in (1, 2, 3):
        states.save(step, STATE, {})
    assert states.newest == 3
    assert [path.name for path in (tmp_path / "training").iterdir() if path.name.isdigit()] == ["3"]
    states.close()


def test_a_run_state_that_doesnt_fit_is_refused(tmp_path):
    states = RunStates(tmp_path)
    with pytest.raises(CheckpointError, match="nothing to resume"):
        states.restore(STATE)
    states.save(1, STATE, {})
    with pytest.raises(CheckpointError, match=r"weights.a is \(3,\), not \(4,\)"):
        states.restore({**STATE, "weights": {"a": jnp.zeros(4)}})
    states.close()


def test_a_damaged_run_state_gets_one_clear_line(tmp_path):
    states = RunStates(tmp_path)
    states.save(1, STATE, {})
    (tmp_path / "training" / "1" / "progress" / "metadata").unlink()
    with pytest.raises(CheckpointError, match="the state is damaged") as error:
        states.restore(STATE)
    assert "\n" not in str(error.value)
    states.close()


def test_a_released_model_is_the_runs_rounded_to_bfloat16(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run", ignore=shutil.ignore_patterns("training"))
    trained = tmp_path / "run"
    known = (Calibration(2.0, 0.0, tuple(np.linspace(0, 1, 101).tolist()), 20),) * 4
    add_calibration(trained, known, read_card(trained))
    released = release(trained, tmp_path / "out")
    with pytest.raises(CheckpointError, match="a model is there"):
        release(trained, tmp_path / "out")
    before, _ = load_model(trained)
    after, described = load_model(tmp_path / "out")
    assert described == released and described.calibration == known
    assert released.sha256 in read_card(tmp_path / "out")
    assert not (tmp_path / "out" / "training").exists()
    for name, array in arrays_of(before).items():
        rounded = array.astype(jnp.bfloat16).astype(jnp.float32)
        np.testing.assert_array_equal(arrays_of(after)[name], rounded)
