"""Triggers to scans and pictures: in order, bounded, and the same as one by one."""

import threading
import time

import numpy as np
import pytest
from gwosc_server import RATE, write_strain

from flax_glitch.data.pictures import load_picture
from flax_glitch.data.table import open_source
from flax_glitch.events.find import list_strain, read_around
from flax_glitch.events.scans import (
    AHEAD,
    PATIENCE,
    ahead,
    labelled_paths,
    picture_paths,
    scan_triggers,
    write_scans,
)
from flax_glitch.events.triggers import Trigger, TriggerError
from flax_glitch.strain.files import Strain, StrainError
from flax_glitch.strain.picture import Scan, scan
from flax_glitch.strain.remote import OfflineError

TRIGGERS = [
    Trigger("H1", 1004.0, "early", "Blip"),
    Trigger("H1", 3000.0, "absent", "Blip"),
    Trigger("H1", 1005.5, "late", "Koi fish"),
]


@pytest.fixture(scope="module")
def read(tmp_path_factory, cache):
    """Reads from a folder with 9 s of noise and a burst."""
    path = tmp_path_factory.mktemp("strain") / "H-H1_MADE_4KHZ_R1-1000-9.hdf5"
    times = np.arange(9 * RATE) / RATE
    noise = np.random.default_rng(3).standard_normal(len(times))
    burst = 20 * np.exp(-(((times - 5.5) / 0.02) ** 2)) * np.sin(2 * np.pi * 150 * times)
    files, _ = list_strain(write_strain(path, 1e-23 * (noise + burst), 1000).parent)
    return lambda detector, gps: read_around(files, detector, gps)


@pytest.fixture(scope="module")
def outcomes(read):
    return list(scan_triggers(TRIGGERS, read))


def test_scans_are_those_of_each_trigger_alone_and_a_reason_takes_the_place_of_one(outcomes, read):
    assert [trigger for trigger, _ in outcomes] == TRIGGERS
    first, failed, last = (outcome for _, outcome in outcomes)
    assert isinstance(failed, StrainError) and "no strain of H1 at GPS 3000" in str(failed)
    for scanned, gps in ((first, 1004.0), (last, 1005.5)):
        alone = scan(read("H1", gps), gps)
        assert (scanned.detector, scanned.gps, scanned.q) == ("H1", gps, alone.q)
        np.testing.assert_array_equal(scanned.energies, alone.energies)
    assert last.energies[0].max() > 30 > first.energies[0].max()


def test_drawn_pictures_are_a_source_and_load_as_the_very_pixels_of_the_scan(outcomes, tmp_path):
    passed_on = list(write_scans(outcomes, lambda one: labelled_paths(one, tmp_path)))
    assert passed_on == outcomes
    source = open_source(tmp_path)
    assert set(zip(*(source.table[name] for name in ("id", "ifo", "label")), strict=True)) == {
        ("early", "H1", "Blip"),
        ("late", "H1", "Koi_Fish"),
    }
    assert len(source.table) == 8
    scans = {trigger.id: outcome for trigger, outcome in outcomes if isinstance(outcome, Scan)}
    for row in source.table.itertuples():
        loaded = load_picture(source.root / row.path)
        assert loaded.geometry == "full"
        np.testing.assert_array_equal(loaded.pixels, scans[row.id].views[row.duration])


def test_names_are_gravity_spys_and_folders_the_classes(tmp_path):
    trigger = Trigger("L1", 1e9, "abc", "Repeated Blips")
    assert [path.name for path in picture_paths(trigger, tmp_path)] == [
        f"L1_abc_spectrogram_{duration}.png" for duration in ("0.5", "1.0", "2.0", "4.0")
    ]
    assert {path.parent.name for path in labelled_paths(trigger, tmp_path)} == {"Repeating_Blips"}
    unlabelled = Trigger("L1", 1e9, "abc")
    assert labelled_paths(unlabelled, tmp_path) == picture_paths(unlabelled, tmp_path)
    for label, name in (("Fast scattering", "Fast_Scattering"), ("Koi Fihs 2", "Koi Fihs 2")):
        paths = labelled_paths(Trigger("L1", 1e9, "abc", label), tmp_path)
        assert {path.parent for path in paths} == {tmp_path / name}


@pytest.mark.parametrize("label", ["../up", ".hidden", "a/b", "x" * 100, "a\nb"])
def test_a_label_that_can_be_no_folders_name_is_refused(tmp_path, label):
    with pytest.raises(TriggerError, match=r"label '.*' can't be a folder's name; use 1 to 99"):
        labelled_paths(Trigger("L1", 1e9, "abc", label), tmp_path)


def test_a_host_out_of_reach_is_given_up_and_a_short_outage_is_not(monkeypatch):
    monkeypatch.setattr("flax_glitch.events.scans.block", lambda strain, gps: (strain.values, gps))
    energies = np.zeros((4, 478, 568), np.float32)
    monkeypatch.setattr("flax_glitch.strain.picture.q_scan", lambda *_: (energies, 5.66))
    triggers = [Trigger("H1", float(number), str(number)) for number in range(1, 21)]

    def read(detector, gps):
        if gps in away:
            raise OfflineError(f"GPS {gps}: can't be reached")
        return Strain(np.zeros(8), gps, float(RATE), detector)

    away = {*range(3, 2 + PATIENCE), 20}
    outcomes = [outcome for _, outcome in scan_triggers(triggers, read)]
    assert sum(isinstance(outcome, OfflineError) for outcome in outcomes) == PATIENCE
    assert len(outcomes) == 20
    away = {*range(3, 3 + PATIENCE)}
    with pytest.raises(OfflineError, match=rf"GPS {2 + PATIENCE}\.0"):
        list(scan_triggers(triggers, read))


def test_ahead_keeps_the_order_and_takes_a_bounded_number_of_items():
    taken = []

    def items():
        for number in range(30):
            taken.append(number)
            yield number

    results = ahead(lambda number: time.sleep(0.002 * (number % 3)) or number, items(), 3)
    for expected in range(30):
        assert next(results) == expected
        assert len(taken) <= expected + AHEAD
    assert next(results, None) is None


@pytest.mark.parametrize("finish", [False, True])
def test_what_is_finished_is_handed_on_before_more_is_taken(finish):
    taken = []

    def items():
        for number in range(20):
            taken.append(number)
            yield number
            time.sleep(0.02)  # as a transform takes

    for expected, result in enumerate(ahead(lambda number: number, items(), 2, finish=finish)):
        assert result == expected
        assert len(taken) <= expected + 3


def test_verdicts_on_drawn_events_come_while_later_ones_are_transformed(tmp_path):
    scanned = []

    def outcomes():
        for number in range(12):
            scanned.append(number)
            yield Trigger("H1", 1000.0 + number, f"id{number}"), StrainError("none")
            time.sleep(0.02)

    next(write_scans(outcomes(), lambda one: picture_paths(one, tmp_path)))
    assert len(scanned) <= 3


def test_work_goes_on_at_the_same_time():
    barrier = threading.Barrier(3, timeout=10)
    assert list(ahead(lambda _: barrier.wait() >= 0, range(3), 3)) == [True] * 3


def test_a_fault_is_raised_in_its_turn():
    results = ahead(lambda number: 1 / number, [2, 1, 0, 1], 2)
    assert [next(results), next(results)] == [0.5, 1.0]
    with pytest.raises(ZeroDivisionError):
        next(results)


@pytest.mark.parametrize(("finish", "expected"), [(False, []), (True, [0, 1, 2])])
def test_stopped_early_it_finishes_and_hands_on_what_it_took_or_waits_for_nothing(finish, expected):
    done, got, started, gate = [], [], threading.Event(), threading.Event()

    def slow(number):
        started.set()
        gate.wait(0.5)
        done.append(number)
        return number

    def items():
        yield from range(3)
        started.wait(10)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        for result in ahead(slow, items(), 1, finish=finish):
            got.append(result)
    assert done == got == expected
    gate.set()


def test_threads_end_with_the_work():
    before = threading.active_count()
    list(ahead(str, range(20), 4))
    for _ in range(200):
        if threading.active_count() <= before:
            break
        time.sleep(0.01)
    assert threading.active_count() <= before
