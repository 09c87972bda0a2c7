"""What `doctor` finds out about the bus and the store: by asking them, not by believing a file."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from loopwright_cli.__main__ import app
from loopwright_cli.runtime.looks import store_fault
from loopwright_cli.runtime.places import Place, Runtime, process_start, save

NOBODY = "127.0.0.1:1"


def findings(code: int, *words: str) -> dict[str, tuple[bool, str]]:
    done = CliRunner().invoke(app, ["doctor", "--json", *words])
    assert done.exit_code == code, done.output
    return {item["what"]: (item["good"], item["detail"]) for item in json.loads(done.stdout)}


@pytest.fixture(autouse=True)
def no_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOOPWRIGHT_NATS_URL", "LOOPWRIGHT_REDIS_URL", "LOOPWRIGHT_REDIS_PASSWORD_FILE"):
        monkeypatch.delenv(name, raising=False)


def test_a_bus_and_a_store_that_do_not_answer_are_not_well(tmp_path: Path) -> None:
    started = process_start(os.getpid())
    assert started is not None
    bus, store = f"nats://{NOBODY}", f"redis://state:hidden@{NOBODY}/0"
    save(Place(tmp_path), Runtime(os.getpid(), started, bus, "u", "p", store, {}, ready=True))
    found = findings(1, "--data", str(tmp_path))
    assert not found["bus"][0]
    assert not found["store"][0]
    assert NOBODY in found["store"][1]
    assert "hidden" not in str(found)


def test_what_the_environment_names_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOPWRIGHT_NATS_URL", f"nats://{NOBODY}")
    monkeypatch.setenv("LOOPWRIGHT_REDIS_URL", f"redis://{NOBODY}/0")
    found = findings(1, "--data", str(tmp_path))
    assert NOBODY in found["bus"][1]
    assert (found["bus"][0], found["store"][0]) == (False, False)


@pytest.mark.parametrize(
    ("answer", "fault"), [("+PONG", None), ("-NOAUTH Authentication required.", "NOAUTH")]
)
async def test_a_store_is_well_if_it_lets_us_in(answer: str, fault: str | None) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"PING\r\n")
        writer.write(f"{answer}\r\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        found = await store_fault(f"redis://127.0.0.1:{port}/0")
    assert found is None if fault is None else fault in str(found)
