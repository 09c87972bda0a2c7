"""The local runtime: nothing half-started, nothing left behind, a dead child comes back."""

from __future__ import annotations

import os
import signal
import socket
import stat
from pathlib import Path

import pytest

from installation import Installation, alive, descendants, installation, wait_until


@pytest.fixture
def here(tmp_path: Path) -> Installation:
    return Installation(tmp_path / "data")


def test_up_down_and_everything_between(tmp_path: Path) -> None:
    with socket.socket() as taken, installation(tmp_path / "data") as here:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 4222))
            taken.listen()
        except OSError:
            pass  # somebody else has it, which is the same to the runtime
        up = here.json("up", "--detach", "--executors", "2")
        assert not up["nats_url"].endswith(":4222")
        state = here.data / "runtime.json"
        assert stat.S_IMODE(state.stat().st_mode) == 0o600
        children = here.children()
        assert {"coordinator", "planner", "verifier", "state", "nats", "valkey"} <= set(children)
        assert len(descendants(here.runtime()["pid"])) == 8
        password = here.runtime()["nats_password"]
        for pid in children.values():
            assert password.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()

        found = {item["what"]: item["good"] for item in here.json("doctor")}
        assert found["bus"]
        assert found["store"]
        assert found["executor-2"]
        second = here.run("up")
        assert second.returncode == 1
        assert "in use by process" in second.stderr

        os.kill(children["planner"], signal.SIGKILL)
        again = wait_until(
            lambda: here.children().get("planner") not in (None, children["planner"])
        )
        assert again

        pids = descendants(here.runtime()["pid"])
        assert here.json("down")["stopped"]
        assert not [pid for pid in pids if alive(pid)]
        assert not state.exists()
        assert not here.json("down")["stopped"]


def test_no_child_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    with installation(tmp_path / "data") as here:
        here.json("up", "--detach")
        pid = here.runtime()["pid"]
        pids = descendants(pid)
        assert len(pids) == 7
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not [child for child in pids if alive(child)], 10)
        assert "no local runtime is up" in here.run("ls").stderr
        assert here.json("up", "--detach")["pid"] != pid


def test_another_user_of_the_machine_gets_nothing(tmp_path: Path) -> None:
    with installation(tmp_path / "data") as here:
        url = here.json("up", "--detach")["nats_url"]
        stranger = Installation(tmp_path / "other", {"LOOPWRIGHT_NATS_URL": url})
        refused = stranger.run("ls")
        assert refused.returncode == 1
        for path in here.data.rglob("*.conf"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_folder_that_cannot_be_used_is_a_sentence(here: Installation) -> None:
    here.data.parent.mkdir(exist_ok=True)
    here.data.write_text("a file")
    refused = here.run("up")
    assert refused.returncode == 1
    assert str(here.data) in refused.stderr
    assert "Traceback" not in refused.stderr


def test_without_git_nothing_is_started(tmp_path: Path) -> None:
    here = Installation(tmp_path / "data", {"PATH": "/nowhere"})
    refused = here.run("up")
    assert refused.returncode == 1
    assert "git is not installed" in refused.stderr
    assert not (here.data / "runtime.json").exists()


def test_a_child_that_does_not_come_up_is_named_and_the_rest_is_stopped(tmp_path: Path) -> None:
    here = Installation(tmp_path / "data", {"LOOPWRIGHT_ACK_WAIT_S": "soon"})
    refused = here.run("up", "--detach")
    assert refused.returncode == 1
    assert "LOOPWRIGHT_ACK_WAIT_S" in refused.stderr
    assert not (here.data / "runtime.json").exists()


def test_no_server_says_what_was_tried_and_what_starts_one(tmp_path: Path) -> None:
    here = Installation(tmp_path / "data", {"LOOPWRIGHT_NATS_URL": "nats://127.0.0.1:1"})
    refused = here.run("ls")
    assert refused.returncode == 1
    assert "nats://127.0.0.1:1" in refused.stderr
    assert "loopwright up" in refused.stderr
