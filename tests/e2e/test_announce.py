"""The combined goal: a loop below a loop, an MCP server and a judge, with an executor killed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from installation import ROOT, installation, wait_until
from judging import ballot
from llm import plan_text, scripted_model, write_file
from servers import free_port

EXAMPLE = ROOT / "examples/announce"
NOTES = """\
- Durations may have fractions of a second.
- Weeks and days are not mixed any more.
- With --json you get one document.
- An option that does not exist is named.
"""
TEXT = "Four changes, see notes.md"


def mcp_call(server: str, tool: str, **arguments: Any) -> dict[str, Any]:
    return {
        "tool": "mcp.call",
        "args": {"server": server, "tool": tool, "arguments": json.dumps(arguments)},
    }


#: The loop below writes the notes; its parent announces them, is told that nobody knows whether
#: that happened, looks, and says what it saw. Then the judge.
SCRIPT = (
    plan_text("Write the notes.", write_file("notes.md", NOTES)),
    plan_text(
        "Announce them.",
        mcp_call("channel", "announce", text=TEXT),
        write_file("announced.txt", TEXT),
    ),
    plan_text(
        "Look whether they were announced.",
        mcp_call("channel-log", "announced"),
        write_file("announced.txt", TEXT),
    ),
    ballot(True, ("notes.md", "Durations may have fractions of a second.")),
)


@contextmanager
def channel(folder: Path, port: int) -> Iterator[Path]:
    """The example's server; it holds back its answers until the file `answer` is there."""
    posts = folder / "posts.ndjson"
    argv = [sys.executable, str(EXAMPLE / "channel.py"), str(port), str(posts)]
    with (folder / "channel.log").open("wb") as log:
        server = subprocess.Popen([*argv, "--hold", str(folder / "answer")], stdout=log, stderr=log)
    try:
        yield posts
    finally:
        server.kill()
        server.wait()


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def test_the_combined_goal_announces_once_though_its_executor_is_killed(tmp_path: Path) -> None:
    port = free_port()
    goal = tmp_path / "goal.yaml"
    goal.write_text((EXAMPLE / "goal.yaml").read_text().replace("8765", str(port)))
    (tmp_path / "workspace").symlink_to(EXAMPLE / "workspace")
    with scripted_model(SCRIPT) as model, channel(tmp_path, port) as posts:
        env = {
            "OPENAI_BASE_URL": model.base_url,
            "OPENAI_API_KEY": "sk-test",
            "LOOPWRIGHT_PRIVATE_HOSTS": '["127.0.0.1"]',
            "LOOPWRIGHT_HTTP_ALLOW": f"127.0.0.1:{port}",
        }
        with installation(tmp_path / "data", **env) as here:
            loop = here.json("run", str(goal), "--detach")["loop"]
            wait_until(lambda: lines(posts), 150)
            here.kill("executor")
            (tmp_path / "answer").touch()
            ended = here.json("watch", loop)
            assert (ended["outcome"], ended["reason"]) == ("achieved", "verified"), ended
            assert len(lines(posts)) == 1
            view = here.json("show", loop)
            assert [child["outcome"] for child in view["children"]] == ["achieved"]
            assert here.json("verify-log", "--all")["violations"] == 0
            out = tmp_path / "out"
            here.json("result", loop, "--to", str(out))
            assert (out / "notes.md").read_text() == NOTES
            told = json.dumps([request["body"] for request in model.requests()])
            assert "outcome_unknown" in told
            assert "worker_lost" in json.dumps(here.events(loop))
            assert len(model.requests()) == len(SCRIPT)
