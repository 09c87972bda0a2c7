"""Cassettes of a run: the planner of the runtime that it starts records, or plays back."""

from __future__ import annotations

import os
from pathlib import Path

from loopwright.errors import LoopwrightError
from loopwright_cli.runtime.places import Place, find


def insert(place: Place, record: Path | None, cassette: Path | None) -> None:
    """Have the planner that is about to be started use a cassette, if one is named.

    Raises LoopwrightError where that cannot be: a planner reads its settings when it starts.
    """
    path = record or cassette
    if path is None:
        return
    if record is not None and cassette is not None:
        raise LoopwrightError("give --record or --cassette, not both")
    if os.environ.get("LOOPWRIGHT_NATS_URL"):
        raise LoopwrightError(
            "the planner of another installation cannot be given a cassette; set "
            "LOOPWRIGHT_CASSETTE and LOOPWRIGHT_CASSETTE_MODE where it is started"
        )
    if find(place) is not None:
        raise LoopwrightError(
            f"the local runtime on {place.root} is up, and its planner was started without this "
            "cassette; stop it first with: loopwright down"
        )
    if cassette is not None and not cassette.is_file():
        raise LoopwrightError(f"there is no cassette {cassette}; make one with: run --record FILE")
    os.environ["LOOPWRIGHT_CASSETTE"] = str(path.absolute())
    os.environ["LOOPWRIGHT_CASSETTE_MODE"] = "record" if record is not None else "play"
