"""Runs: that they learn, stop early, and go on after being killed as if nothing had happened."""

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from flax import nnx

from flax_glitch import Predictor
from flax_glitch.checkpoint import (
    CheckpointError,
    arrays_of,
    load_model,
    read_card,
    read_description,
    release,
    start_from,
)
from flax_glitch.config import Config, OptimiserConfig, TrainingConfig
from flax_glitch.data.records import Split, prepare
from flax_glitch.data.table import COLUMNS
from flax_glitch.models.classifier import build
from flax_glitch.training.run import Progress, next_rate
from flax_glitch.training.start import check_folder, first_state, own_weights, train, write_settings
from flax_glitch.training.step import EpochOutputs, StepOutput

SCRIPT = Path(__file__).parents[1] / "train_flax.py"


def history(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def measured(folder):
    """The history without the pace, which no two runs share."""
    return [
        {k: v for k, v in epoch.items() if k != "pictures_per_second"} for epoch in history(folder)
    ]


def test_a_run_leaves_its_settings_metrics_curves_split_and_model(trained, small):
    names = {path.name for path in trained.iterdir()}
    assert {
        "config.json",
        "metrics.jsonl",
        "learning_curves.png",
        "tensorboard",
        "splits.csv",
        "model.json",
        "MODEL_CARD.md",
        "training",
    } <= names
    assert [epoch["epoch"] for epoch in history(trained)] == [1, 2]
    for part in ("training", "validation"):
        assert set(history(trained)[0][part]) == {
            "loss",
            "accuracy",
            "binary_accuracy",
            "precision_macro",
            "recall_macro",
            "pr_auc",
            "roc_auc",
        }
    described = read_description(trained)
    assert described.preprocessing == small.preprocessing
    assert described.provenance["data"]["layout"] == "folder"


def test_tensorboard_reads_the_events(trained):
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    values = [
        (value.tag, event.step)
        for path in (trained / "tensorboard").iterdir()
        for event in loader.EventFileLoader(str(path)).Load()
        for value in event.summary.value
    ]
    assert len(set(values)) == len(values)
    for epoch in (1, 2):
        assert ("loss/training", epoch) in values and ("accuracy/validation", epoch) in values


def run_script(folder, small, cache, *more):
    """Starts train_flax.py on the small run's settings in a process of its own."""
    config = small
    arguments = [
        sys.executable, str(SCRIPT), "--source", config.data.source, "--weights", "none",
        "--model", "cnn-a", "--size", "32", "--batch-size", "16", "--variation", "report",
        "--dropout", "0.5",
        "--batch-norm-momentum", "0.5", "--learning-rate", "1e-3", "--plateau-patience", "1",
        "--epochs", "2", "--out", str(folder.parent), "--run", folder.name, "--cache", str(cache),
        *more,
    ]  # fmt: skip
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def saved_step(folder):
    steps = [int(path.name) for path in (folder / "training").glob("*") if path.name.isdigit()]
    return max(steps, default=0)


def wait_for(process, condition):
    deadline = time.monotonic() + 300
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_run_killed_thrice_and_resumed_ends_bit_identical(trained, small, cache, tmp_path):
    folder = tmp_path / "killed"
    steps_an_epoch = history(trained)[0]["step"]
    process = run_script(folder, small, cache)
    wait_for(process, (folder / "config.json").exists)
    process.kill()
    process.communicate()
    assert saved_step(folder) == 0
    process = run_script(folder, small, cache, "--save-every", "0", "--resume")
    wait_for(process, lambda: saved_step(folder) >= 2)
    process.kill()
    process.communicate()
    process = run_script(folder, small, cache, "--resume")
    wait_for(process, lambda: saved_step(folder) >= steps_an_epoch)
    process.send_signal(signal.SIGINT)
    said = process.communicate()[0]
    assert process.returncode == 130
    assert said.strip().endswith("--resume") and "Traceback" not in said
    process = run_script(folder, small, cache, "--resume")
    assert "Done" in process.communicate()[0]

    assert measured(folder) == measured(trained)
    ours, theirs = arrays_of(load_model(folder)[0]), arrays_of(load_model(trained)[0])
    for name, array in theirs.items():
        np.testing.assert_array_equal(ours[name], array, err_msg=name)


def test_a_run_that_is_over_says_so_and_keeps_its_model(trained, small, cache):
    before = read_description(trained)
    assert train(small, trained, resume=True, cache=cache) is None
    assert read_description(trained) == before


def test_a_run_killed_before_its_calibration_gets_it_when_resumed_and_only_then(
    trained, small, cache, tmp_path, monkeypatch
):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    before = read_description(folder)
    assert before.calibration == () and "not calibrated" in read_card(folder)
    monkeypatch.setattr("flax_glitch.training.start.ENOUGH", 5)
    monkeypatch.setattr("flax_glitch.predict.calibration.ENOUGH", 5)
    assert train(small, folder, resume=True, cache=cache) is None
    after = read_description(folder)
    assert dataclasses.replace(after, calibration=()) == before
    assert [one.n for one in after.calibration] == [10] * 4
    assert "calibrated on 10 validation glitches" in read_card(folder)
    again = Predictor(folder).predict(min((Path(small.data.source) / "Chirp").iterdir()))
    assert again.calibration == after.calibration[0] and not again.unlike
    monkeypatch.setattr("flax_glitch.training.start.fit", None)
    train(small, folder, resume=True, cache=cache)
    assert read_description(folder) == after


def test_a_resumed_run_keeps_its_settings_but_may_be_longer(trained, small, tmp_path):
    longer = dataclasses.replace(small, training=dataclasses.replace(small.training, epochs=9))
    check_folder(trained, longer, resume=True)
    other = dataclasses.replace(small, data=dataclasses.replace(small.data, batch_size=8))
    with pytest.raises(CheckpointError, match=r"data.batch_size \(was 16, now 8\)"):
        check_folder(trained, other, resume=True)
    with pytest.raises(CheckpointError, match="a run is there"):
        check_folder(trained, small, resume=False)
    with pytest.raises(CheckpointError, match="no run to resume"):
        check_folder(tmp_path, small, resume=True)


def test_rare_classes_are_filled_up_in_training_alone_and_the_card_says_so(
    small, cache, tmp_path, monkeypatch
):
    def doubled(split, config, folder):
        assert folder == tmp_path / "run" / "dcgan"
        records = [split.records[number] for number in [*range(len(split))] * 2]
        table = pd.concat([split.table, split.table], ignore_index=True)
        return Split(split.name, table, split.classes, records)

    monkeypatch.setattr("flax_glitch.training.start.filled", doubled)
    config = dataclasses.replace(
        small,
        data=dataclasses.replace(small.data, augment_rare="dcgan"),
        training=dataclasses.replace(small.training, epochs=1),
    )
    described = train(config, tmp_path / "run", cache=cache)
    pictures = described.provenance["data"]["pictures"]["train"]
    assert described.provenance["generated"] == pictures
    assert history(tmp_path / "run")[0]["step"] == 2 * pictures // 16
    card = (tmp_path / "run" / "MODEL_CARD.md").read_text()
    assert f"made by a DCGAN, for rare classes | {pictures} |" in card


def test_a_run_is_not_resumed_on_other_glitches(trained, small, cache, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "splits.csv").write_text(
        (trained / "splits.csv").read_text().replace("train", "test", 1)
    )
    prepared = prepare(small.data.source, 32, cache=cache)
    with pytest.raises(CheckpointError, match="holds other glitches than when the run began"):
        write_settings(folder, small, prepared)


def test_a_run_goes_on_with_the_same_glitches_in_another_place(
    trained, small, cache, tmp_path, capsys
):
    shutil.copytree(trained, tmp_path / "run")
    shutil.copytree(small.data.source, tmp_path / "moved")
    moved = dataclasses.replace(small.data, source=str(tmp_path / "moved"))
    longer = dataclasses.replace(small.training, epochs=3)
    config = dataclasses.replace(small, data=moved, training=longer)
    train(config, tmp_path / "run", resume=True, cache=cache)
    assert [epoch["epoch"] for epoch in history(tmp_path / "run")] == [1, 2, 3]
    next((tmp_path / "moved" / "Chirp").iterdir()).unlink()
    with pytest.raises(CheckpointError, match=r"moved holds other glitches than when the run"):
        train(config, tmp_path / "run", resume=True, cache=cache)


def test_a_run_of_an_earlier_version_and_weights_that_are_not_there_say_what_they_are(
    trained, small, cache, tmp_path
):
    shutil.copytree(trained, tmp_path / "old")
    (tmp_path / "old" / "splits.csv").write_text("split,ifo,gravityspy_id,label\n")
    with pytest.raises(CheckpointError, match="began with an earlier version"):
        train(small, tmp_path / "old", resume=True, cache=cache)
    lacking = dataclasses.replace(small.model, weights="three")
    with pytest.raises(CheckpointError, match="--weights three: no checkpoint there"):
        train(dataclasses.replace(small, model=lacking), tmp_path / "new", cache=cache)
    assert not (tmp_path / "new").exists()


def test_weights_are_a_folder_or_the_name_of_a_model_in_the_box(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert (own_weights("fast") / "model.json").is_file()
    assert own_weights("somewhere/else") == Path("somewhere/else")
    assert [own_weights(name) for name in ("imagenet", "none", "a/file.h5")] == [None] * 3


def test_classes_of_a_resumed_run_may_be_written_in_another_way(tmp_path, small):
    def of(*classes):
        return dataclasses.replace(small, data=dataclasses.replace(small.data, classes=classes))

    (tmp_path / "config.json").write_text(of("koi fish", "Blip").to_json())
    check_folder(tmp_path, of("Blip", "Koi_Fish"), resume=True)
    with pytest.raises(CheckpointError, match=r"was Blip Koi_Fish, now Blip Helix"):
        check_folder(tmp_path, of("Blip", "Helix"), resume=True)


def test_a_cosine_that_hangs_on_the_epochs_isnt_resumed_with_others(tmp_path, small):
    optimiser = dataclasses.replace(small.optimiser, schedule="cosine")
    before = dataclasses.replace(small, optimiser=optimiser)
    (tmp_path / "config.json").write_text(before.to_json())
    check_folder(tmp_path, before, resume=True)
    longer = dataclasses.replace(small.training, epochs=9)
    with pytest.raises(CheckpointError, match=r"training.epochs \(was 2, now 9\)"):
        check_folder(tmp_path, dataclasses.replace(before, training=longer), resume=True)


def test_no_path_of_a_machine_is_in_what_is_handed_on(trained, small, cache, tmp_path):
    model = dataclasses.replace(small.model, weights=str(trained))
    training = dataclasses.replace(small.training, epochs=1)
    config = dataclasses.replace(small, model=model, training=training)
    train(config, tmp_path / "run", cache=cache)
    release(tmp_path / "run", tmp_path / "out")
    for folder in (tmp_path / "run", tmp_path / "out"):
        text = (folder / "model.json").read_text() + (folder / "MODEL_CARD.md").read_text()
        assert '"weights": "small"' in text
        assert str(trained.parent) not in text and str(tmp_path) not in text


@pytest.mark.parametrize("classes", [("Whistle", "Tomte"), ("Blip", "Crown", "My_own")])
def test_weights_of_a_model_with_other_classes_start_a_new_one_but_for_its_last_layer(
    trained, small, classes
):
    other = build(small.model, small.preprocessing, len(classes), rngs=nnx.Rngs(5))
    fresh = arrays_of(other)
    assert start_from(other, classes, trained)
    theirs = arrays_of(load_model(trained)[0])
    for name, array in arrays_of(other).items():
        kept = fresh if name.startswith("head.output.") else theirs
        np.testing.assert_array_equal(array, kept[name], err_msg=name)
    same = build(small.model, small.preprocessing, 10, rngs=nnx.Rngs(5))
    assert not start_from(same, read_description(trained).classes, trained)


def test_a_subset_of_the_classes_is_trained_from_weights_of_all_and_both_are_said(
    trained, small, cache, tmp_path, caplog
):
    config = dataclasses.replace(
        small,
        data=dataclasses.replace(small.data, classes=("koi fish", "Helix", "Chirp")),
        model=dataclasses.replace(small.model, weights=str(trained)),
        training=dataclasses.replace(small.training, epochs=1),
    )
    described = train(config, tmp_path / "three", cache=cache)
    assert described.classes == ("Chirp", "Helix", "Koi_Fish")
    said = caplog.text
    assert "knows other classes: the last layer starts anew" in said
    assert "pictures of other classes, left out: 168 (" in said
    predictor = Predictor(tmp_path / "three")
    verdict = predictor.predict(min((Path(small.data.source) / "Helix").iterdir()))
    assert verdict.names == predictor.classes == described.classes
    assert verdict.probabilities.shape == (3,)
    splits = pd.read_csv(tmp_path / "three" / "splits.csv")
    assert set(splits["label"]) == set(described.classes)
    assert tuple(splits.columns) == COLUMNS


def test_one_class_alone_is_refused_and_unknown_ones_are_told_with_what_they_may_mean(
    small, cache, tmp_path
):
    for classes, message in [
        (("Chirp",), "Chirp is the only class"),
        (("Chirp", "Hellix"), r"no pictures of class Hellix \(did you mean Helix\?\)"),
    ]:
        data = dataclasses.replace(small.data, classes=classes)
        with pytest.raises(ValueError, match=message):
            train(dataclasses.replace(small, data=data), tmp_path / "run", cache=cache)
    assert not (tmp_path / "run").exists()


def test_the_keys_of_weights_and_of_steps_are_two(small, cache, tmp_path, monkeypatch):
    keys = []

    def noted(config, classes, key, *more):
        keys.append(key)
        return first_state(config, classes, key, *more)

    def stopped(run, state, resume):
        keys.append(run.key)
        raise KeyboardInterrupt

    monkeypatch.setattr("flax_glitch.training.start.first_state", noted)
    monkeypatch.setattr("flax_glitch.training.start.run_epochs", stopped)
    with pytest.raises(KeyboardInterrupt):
        train(small, tmp_path / "run", cache=cache)
    weights, steps = (jax.random.key_data(key).tolist() for key in keys)
    assert weights != steps
    assert jax.random.key_data(jax.random.key(0)).tolist() not in (weights, steps)


def test_other_devices_than_the_one_that_is_used_are_told_of(
    small, cache, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(jax, "devices", lambda: [1, 2, 3])
    monkeypatch.setattr("flax_glitch.training.start.RunStates", None)
    with pytest.raises(TypeError):
        train(small, tmp_path / "run", cache=cache)
    assert "3 devices are here, and one is used to train" in caplog.messages


def test_the_progress_so_far_is_the_mean_of_the_batches_and_goes_on_where_it_was_saved():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(6, 4, 3)).astype(np.float32)
    labels = rng.integers(3, size=(6, 4)).astype(np.int32)
    outputs = EpochOutputs(6, 4, 3)
    assert outputs.running() == {}
    for number in range(6):
        outputs.add(
            number, labels[number], StepOutput(jnp.float32(number), jnp.asarray(logits[number]))
        )
        if number == 3:
            outputs.fetch()
            again = EpochOutputs(6, 4, 3)
            again.go_on(outputs.arrays, 4)
            assert again.running() == outputs.running()
    right = np.mean(logits[:5].argmax(-1) == labels[:5])
    assert outputs.running() == {"loss": "2.000", "accuracy": f"{right:.3f}"}


def test_a_folder_that_cant_be_written_is_told_at_once(small, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="can't be written"):
        check_folder(tmp_path / "file" / "run", small, resume=False)


def test_weights_that_cant_be_had_leave_no_run_behind(small, cache, tmp_path):
    lacking = dataclasses.replace(small.model, weights=str(tmp_path / "none.h5"))
    with pytest.raises(ValueError, match=r"none\.h5"):
        train(dataclasses.replace(small, model=lacking), tmp_path / "run", cache=cache)
    assert not (tmp_path / "run" / "config.json").exists()


def test_the_network_learns_a_few_pictures_by_heart(trained):
    losses = [epoch["training"]["loss"] for epoch in history(trained)]
    assert losses[1] < losses[0]


def test_what_a_teacher_says_is_learned_in_place_of_the_labels(small, cache, tmp_path):
    def teacher(split):
        scores = np.zeros((len(split), len(split.classes)))
        scores[:, 3] = 5
        return scores

    train(small, tmp_path / "run", cache=cache, teacher=teacher)
    verdicts = Predictor(tmp_path / "run").classify(sorted(Path(small.data.source).glob("*/*")))
    number = list(Predictor(tmp_path / "run").classes)[3]
    assert np.mean([verdict.label == number for verdict in verdicts]) > 0.8


def test_the_learning_rate_falls_on_a_plateau_and_training_stops_early():
    optimiser = OptimiserConfig(
        learning_rate=1e-3, plateau_factor=0.1, plateau_patience=2, min_learning_rate=5e-5
    )
    config = Config(optimiser=optimiser)
    progress, rates = Progress(), [1e-3]
    for loss in (1.0, 0.5, 0.6, 0.6, 0.6, 0.4, 0.5, 0.5):
        progress.epoch += 1
        rates.append(next_rate(progress, loss, rates[-1], config))
    np.testing.assert_allclose(rates[1:], [1e-3] * 3 + [1e-4] * 4 + [5e-5])
    assert (progress.best_epoch, progress.best_loss, progress.since_best) == (6, 0.4, 2)


def test_by_the_cosine_the_learning_rate_ends_at_the_smallest_whatever_the_loss():
    config = Config(
        optimiser=OptimiserConfig(learning_rate=1e-3, schedule="cosine", min_learning_rate=1e-5),
        training=TrainingConfig(epochs=4),
    )
    progress, rates = Progress(), []
    for loss in (1.0, 2.0, 0.5, 0.6):
        progress.epoch += 1
        rates.append(next_rate(progress, loss, 1.0, config))
    halfway = 1e-5 + 0.5 * 99e-5
    away = np.sqrt(0.5) * 0.5 * 99e-5
    np.testing.assert_allclose(rates, [halfway + away, halfway, halfway - away, 1e-5])
    assert progress.best_epoch == 3
