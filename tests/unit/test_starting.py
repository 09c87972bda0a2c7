"""Starting the local runtime in the background: one supervisor, whoever else wants it waits."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import NoReturn

from loopwright_cli.runtime.places import Place, Runtime, in_use, process_start, save
from loopwright_cli.runtime.supervisor import locked
from loopwright_cli.session import UP_LOG, start_detached


def runtime(*, ready: bool) -> Runtime:
    started = process_start(os.getpid())
    assert started is not None
    return Runtime(os.getpid(), started, "nats://x", "u", "p", "redis://x", {}, ready)


def test_who_finds_a_runtime_that_is_starting_waits_for_it_and_leaves_its_log(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path)
    place.make()
    log = place.logs / UP_LOG
    log.write_text("what the first one says\n")
    looks = 0

    def first_goes_on(_: float) -> None:
        """The one that is starting has its ports first, and is up at last."""
        nonlocal looks
        looks += 1
        save(place, runtime(ready=looks == 3))

    with locked(place):
        assert start_detached(place, begin=refused, pause=first_goes_on).ready
    assert looks == 3
    assert log.read_text() == "what the first one says\n"


def refused(_place: Place, _executors: int) -> NoReturn:
    raise AssertionError("a second supervisor was started")


def test_a_folder_is_in_use_as_long_as_its_supervisor_lives(tmp_path: Path) -> None:
    place = Place(tmp_path)
    assert not in_use(place)
    with locked(place):
        assert in_use(place)
    assert not in_use(place)


def test_somebody_who_just_looks_at_the_lock_keeps_no_supervisor_from_it(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with ThreadPoolExecutor(1) as pool:
        stop = Event()

        def look() -> None:
            while not stop.is_set():
                in_use(place)
                stop.wait(0.01)

        looking = pool.submit(look)
        try:
            for _ in range(20):
                with locked(place):
                    pass
        finally:
            stop.set()
        looking.result(30)
