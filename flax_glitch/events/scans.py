"""From triggers to scans and pictures; reading, transforming and writing go on at the same time.

Threads read blocks of strain ahead, the caller's thread transforms them, threads write pictures.
Each hands on a bounded number, so that memory is bounded too.
"""

import os
import queue
import re
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from flax_glitch.arrays import Samples
from flax_glitch.classes import DURATIONS, class_name
from flax_glitch.events.find import ReadStrain
from flax_glitch.events.triggers import Trigger, TriggerError
from flax_glitch.files import write_whole
from flax_glitch.strain.files import Strain, StrainError, block
from flax_glitch.strain.picture import Scan, full_picture, png, scan_block
from flax_glitch.strain.remote import OfflineError

Outcome = tuple[Trigger, Scan | StrainError]
"""A trigger with its scan, or with the reason why there is none."""

Outcomes = Generator[Outcome, None, None]

READERS = 2
"""Threads that read strain: few, because it may come from a public server."""

WRITERS = os.cpu_count() or 1
"""Threads that write pictures."""

AHEAD = 8
"""Glitches that are read, or wait to be written, at once: 4 MB of strain, 4 MB of scan each."""

PATIENCE = 5
"""Triggers in a row after which a host that can't be reached is given up."""

GRACE = 0.25
"""Seconds that threads get to leave libraries which don't like it when Python ends under them."""

_LABEL = re.compile(r"\w[\w +-]{0,98}")

_drawing = threading.Lock()  # Matplotlib, which draws the axes, isn't made for threads

Item = TypeVar("Item")
Result = TypeVar("Result")


def scan_triggers(triggers: Iterable[Trigger], read: ReadStrain) -> Outcomes:
    """Yields each trigger in turn with its scan, or with the reason why there is none.

    Raises:
        OfflineError: if the strain of `PATIENCE` triggers in a row is nowhere to be reached.
    """

    def prepare(trigger: Trigger) -> tuple[Trigger, tuple[Strain, Samples, float] | StrainError]:
        try:
            strain = read(trigger.detector, trigger.gps)
            return trigger, (strain, *block(strain, trigger.gps))
        except StrainError as error:
            return trigger, error

    lost = 0
    for trigger, ready in ahead(prepare, triggers, READERS):
        lost = lost + 1 if isinstance(ready, OfflineError) else 0
        if isinstance(ready, OfflineError) and lost == PATIENCE:
            raise ready
        if isinstance(ready, StrainError):
            yield trigger, ready
        else:
            strain, samples, event = ready
            yield trigger, scan_block(strain, trigger.gps, samples, event)


def write_scans(outcomes: Iterable[Outcome], paths: Callable[[Trigger], list[Path]]) -> Outcomes:
    """Writes the four pictures of each scan, as Gravity Spy draws them, and passes all on.

    `paths` returns the files of a trigger's pictures, in the order of their windows.
    """

    def write(outcome: Outcome) -> Outcome:
        trigger, scan = outcome
        if isinstance(scan, Scan):
            windows = zip(paths(trigger), scan.energies, DURATIONS, strict=True)
            for path, energies, duration in windows:
                path.parent.mkdir(parents=True, exist_ok=True)
                with _drawing:
                    said = trigger.detector, scan.channel or ""
                    picture = full_picture(energies, duration, *said)
                write_whole(path, png(picture))
        return outcome

    yield from ahead(write, outcomes, WRITERS, finish=True)


def picture_paths(trigger: Trigger, folder: Path) -> list[Path]:
    """Returns the files of a trigger's four pictures, named as Gravity Spy does."""
    stem = f"{trigger.detector}_{trigger.id}_spectrogram"
    return [folder / f"{stem}_{duration}.png" for duration in DURATIONS]


def labelled_paths(trigger: Trigger, folder: Path) -> list[Path]:
    """Returns the files of a trigger's four pictures, in the folder of its class if it has one.

    Raises:
        TriggerError: if its label can't be the name of a folder.
    """
    if trigger.label is None:
        return picture_paths(trigger, folder)
    label = class_name(trigger.label) or trigger.label
    if not _LABEL.fullmatch(label):
        raise TriggerError(
            f"label {trigger.label!r} can't be a folder's name; use 1 to 99 letters, digits, "
            "spaces, - or _, or leave it empty"
        )
    return picture_paths(trigger, folder / label)


def ahead(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int, *, finish: bool = False
) -> Iterator[Result]:
    """Yields `work(item)` of each item in turn, done by threads, `AHEAD` items at most at a time.

    Daemon threads, not an executor's, which Python waits for at its end however slow a server is.
    A result that is there is handed on before the next item is taken, in the caller's thread; an
    exception of the work is raised in its turn. When the items end by an exception (Ctrl-C),
    `finish` does and hands on first what was taken from them. Otherwise threads get `GRACE` alone:
    a slow server isn't waited for.
    """
    tasks: queue.SimpleQueue[tuple[Future[Result], Item] | None] = queue.SimpleQueue()
    workers = [
        threading.Thread(target=_serve, args=(work, tasks), daemon=True) for _ in range(threads)
    ]
    for worker in workers:
        worker.start()
    waiting: deque[Future[Result]] = deque()
    stopped: list[BaseException] = []
    try:
        for item in _until_stopped(items, stopped):
            waiting.append(Future())
            tasks.put((waiting[-1], item))
            while waiting and (waiting[0].done() or len(waiting) == AHEAD):
                yield waiting.popleft().result()
        while waiting and (finish or not stopped):
            yield waiting.popleft().result()
        if stopped:
            raise stopped[0]
    finally:
        for future in () if finish else waiting:
            future.cancel()
        tasks.put(None)
        for worker in workers:
            worker.join(None if finish else GRACE)


def _until_stopped(items: Iterable[Item], stopped: list[BaseException]) -> Iterator[Item]:
    """Yields the items, and keeps the exception that ends them."""
    try:
        yield from items
    except BaseException as error:
        stopped.append(error)


def _serve(
    work: Callable[[Item], Result], tasks: "queue.SimpleQueue[tuple[Future[Result], Item] | None]"
) -> None:
    while task := tasks.get():
        future, item = task
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(work(item))
            except BaseException as error:
                future.set_exception(error)
    tasks.put(None)  # for the next thread
