"""Batches: decided by seed and epoch, from any batch on, and padded with rows that don't count."""

import dataclasses
import gc
import io
import itertools
import threading
import time

import jax
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from flax_glitch.classes import CLASSES
from flax_glitch.data.batches import batches_an_epoch, evaluation_batches, training_batches
from flax_glitch.data.records import Split
from flax_glitch.data.table import COLUMNS

SIZE = 4


class Records:
    """Pictures of one colour: their record's number."""

    def __init__(self, count):
        self.count = count
        self.read = []

    def __getitem__(self, number):
        self.read.append(number)
        file = io.BytesIO()
        Image.new("RGB", (SIZE, SIZE), (number, number, number)).save(file, "PNG")
        return {"image": file.getvalue()}


def make_split(count):
    rows = [(f"{n}.png", "", "H1", f"id{n}", 0.5, CLASSES[n % 22], "train") for n in range(count)]
    return split_of(rows)


def split_of(rows):
    return Split("train", pd.DataFrame(rows, columns=COLUMNS), CLASSES, Records(len(rows)))


def numbers(batches):
    return [batch.views[:, 0, 0, 0, 0].tolist() for batch in batches]


def epoch_of(split, seed=0, epoch=0, start=0, batch_size=8):
    return list(
        training_batches(split, split.alone, batch_size, seed=seed, epoch=epoch, start=start)
    )


def test_an_epoch_from_batch_k_is_the_rest_of_the_whole_epoch():
    split = make_split(50)
    whole = epoch_of(split, seed=3, epoch=2)
    for start in range(len(whole) + 1):
        rest = epoch_of(split, seed=3, epoch=2, start=start)
        assert len(rest) == len(whole) - start
        for one, other in zip(rest, whole[start:], strict=True):
            for mine, its in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
                np.testing.assert_array_equal(mine, its)


def test_batches_before_the_first_are_not_read():
    split = make_split(50)
    before = itertools.chain(*numbers(epoch_of(make_split(50))[:4]))
    epoch_of(split, start=4)
    assert not set(split.records.read) & set(before)


def test_every_picture_comes_at_most_once_and_only_the_ragged_rest_is_dropped():
    split = make_split(50)
    seen = list(itertools.chain(*numbers(epoch_of(split))))
    assert len(seen) == len(set(seen)) == 48
    assert batches_an_epoch(split.alone, 8) == len(epoch_of(split)) == 6


def test_another_epoch_and_another_seed_have_another_order_and_the_same_the_same():
    split = make_split(50)
    orders = {(s, e): numbers(epoch_of(split, seed=s, epoch=e)) for s in (0, 1) for e in (0, 1)}
    for one, other in itertools.combinations(orders.values(), 2):
        assert one != other
    assert numbers(epoch_of(split, seed=1, epoch=1)) == orders[1, 1]


def test_what_one_epoch_drops_others_show():
    split = make_split(50)
    orders = [numbers(epoch_of(split, epoch=epoch)) for epoch in range(5)]
    assert set(itertools.chain(*itertools.chain(*orders))) == set(range(50))


def test_a_batch_carries_views_mask_labels_and_weights_of_its_pictures():
    split = make_split(50)
    batch = epoch_of(split)[0]
    assert (batch.views.shape, batch.views.dtype) == ((8, 1, SIZE, SIZE, 3), np.uint8)
    assert batch.mask.shape == (8, 1)
    assert batch.mask.all()
    np.testing.assert_array_equal(batch.labels, batch.views[:, 0, 0, 0, 0] % 22)
    np.testing.assert_array_equal(batch.weights, np.ones(8, np.float32))


def test_a_batch_goes_through_jit_whole():
    batch = epoch_of(make_split(8))[0]
    doubled = jax.jit(lambda batch: jax.tree.map(lambda leaf: leaf, batch))(batch)
    assert type(doubled) is type(batch)
    np.testing.assert_array_equal(doubled.views, batch.views)


def test_fewer_pictures_than_a_batch_are_one_batch():
    split = make_split(5)
    (batch,) = numbers(epoch_of(split, batch_size=32))
    assert sorted(batch) == [0, 1, 2, 3, 4]
    assert batches_an_epoch(split.alone, 32) == 1


def test_evaluation_takes_all_in_order_and_fills_the_last_batch_with_weight_zero():
    split = make_split(19)
    batches = list(evaluation_batches(split, split.alone, 8))
    assert [batch.views.shape[0] for batch in batches] == [8, 8, 8]
    weights = np.concatenate([batch.weights for batch in batches])
    np.testing.assert_array_equal(weights, [1] * 19 + [0] * 5)
    seen = np.concatenate(numbers(batches))
    np.testing.assert_array_equal(seen[weights > 0], np.arange(19))
    np.testing.assert_array_equal(seen[weights == 0], 18)
    labels = np.concatenate([batch.labels for batch in batches])
    np.testing.assert_array_equal(labels[weights > 0], split.labels)


def test_nothing_to_evaluate_is_no_batch():
    empty = make_split(0)
    assert list(evaluation_batches(empty, empty.alone, 8)) == []


def test_nothing_to_train_on_is_an_error():
    empty = make_split(0)
    with pytest.raises(ValueError, match="no training pictures"):
        training_batches(empty, empty.alone, 8, seed=0, epoch=0)


def test_a_batch_of_no_pictures_is_an_error():
    split = make_split(5)
    with pytest.raises(ValueError, match="batch size 0"):
        evaluation_batches(split, split.alone, 0)
    with pytest.raises(ValueError, match="batch size 0"):
        batches_an_epoch(split.alone, 0)


def test_a_failed_read_is_raised_where_the_batch_is_asked_for():
    split = make_split(5)
    split.records.__class__ = type("Broken", (Records,), {"__getitem__": lambda *_: 1 / 0})
    with pytest.raises(ZeroDivisionError):
        list(evaluation_batches(split, split.alone, 2))


def test_batches_left_unread_leave_no_threads_behind():
    before = threading.active_count()
    for epoch in range(5):
        split = make_split(50)
        next(training_batches(split, split.alone, 8, seed=0, epoch=epoch))
    patience = time.monotonic() + 20
    while threading.active_count() > before and time.monotonic() < patience:
        gc.collect()
        time.sleep(0.05)
    assert threading.active_count() <= before


def windows(*named):
    """A split of pictures, each of a glitch and a window; the class is that of the glitch."""
    return split_of(
        [
            (f"{n}.png", "", "H1", f"id{glitch}", duration or np.nan, CLASSES[glitch], "train")
            for n, (glitch, duration) in enumerate(named)
        ]
    )


def test_windows_of_a_glitch_come_in_their_places_unknown_ones_where_room_is_then_repeated():
    split = windows((0, 4.0), (1, 1.0), (0, 0.5), (2, None), (1, None))
    np.testing.assert_array_equal(split.together, [[2, -1, -1, 0], [4, 1, -1, -1], [3, -1, -1, -1]])
    (batch,) = evaluation_batches(split, split.together, 3)
    np.testing.assert_array_equal(batch.mask, split.together >= 0)
    np.testing.assert_array_equal(
        batch.views[..., 0, 0, 0], [[2, 0, 0, 0], [4, 1, 1, 1], [3, 3, 3, 3]]
    )
    np.testing.assert_array_equal(batch.labels, [0, 1, 2])


def test_a_picture_apart_lies_in_the_place_of_its_window():
    split = windows((0, 4.0), (1, 1.0), (0, None))
    np.testing.assert_array_equal(split.apart, [[-1, -1, -1, 0], [-1, 1, -1, -1], [2, -1, -1, -1]])


def test_balanced_batches_show_each_class_as_often_and_all_of_its_pictures():
    split = windows(
        *((0, None) for _ in range(40)), *((1, None) for _ in range(6)), (2, None), (2, None)
    )
    batches = list(training_batches(split, split.alone, 8, seed=0, epoch=0, balanced=True))
    np.testing.assert_array_equal(np.bincount(np.concatenate([b.labels for b in batches])), 16)
    seen = set(itertools.chain(*numbers(batches)))
    assert set(range(40, 48)) <= seen
    again = training_batches(split, split.alone, 8, seed=0, epoch=0, start=2, balanced=True)
    assert numbers(again) == numbers(batches)[2:]


def test_what_a_teacher_says_of_a_picture_goes_with_it():
    split = make_split(10)
    scores = np.arange(10.0)[:, None] + np.zeros(22)
    split = dataclasses.replace(split, taught=scores)
    for batch in epoch_of(split, batch_size=4):
        np.testing.assert_array_equal(batch.taught[..., 7], batch.views[..., 0, 0, 0])
    units = np.array([[2, -1, 5, 0]])
    (batch,) = evaluation_batches(split, units, 2)
    np.testing.assert_array_equal(batch.taught[..., 7], batch.views[..., 0, 0, 0])
    assert epoch_of(make_split(8))[0].taught is None
