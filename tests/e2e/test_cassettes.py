"""A run is recorded against a model's server, and played back without one."""

from __future__ import annotations

import json
from pathlib import Path

from installation import installation
from llm import scripted_model

CANARY = "sk-canary-7d02ab93fe514c68"
PLAN = {
    "summary": "greet",
    "actions": [{"tool": "file.write", "args": {"path": "hello.txt", "content": "hello\n"}}],
}
GOAL = {
    "name": "greet",
    "objective": "hello.txt says hello.",
    "tools": ["file"],
    "planner": {"backend": "openai", "model": "gpt-4o-mini"},
    "verify": {
        "checks": [{"name": "says", "kind": "regex", "path": "hello.txt", "pattern": "^hello$"}]
    },
    "budget": {"iterations": 2, "tokens": 200_000, "time": "5m"},
}


def test_a_recorded_run_is_played_back_without_a_server_or_a_key(tmp_path: Path) -> None:
    goal, cassette = tmp_path / "goal.json", tmp_path / "cassette.ndjson"
    goal.write_text(json.dumps(GOAL))
    with scripted_model([json.dumps(PLAN)]) as model:
        env = {"OPENAI_BASE_URL": model.base_url, "OPENAI_API_KEY": CANARY}
        with installation(tmp_path / "recorded", **env) as here:
            first = here.json("run", str(goal), "--record", str(cassette))
            assert first["outcome"] == "achieved"
            again = here.run("run", str(goal), "--cassette", str(cassette))
            assert again.returncode == 1
            assert "loopwright down" in again.stderr
    assert CANARY not in cassette.read_text()
    with installation(tmp_path / "played") as here:
        missing = here.run("run", str(goal), "--cassette", str(tmp_path / "none"))
        assert "there is no cassette" in missing.stderr
        played = here.json("run", str(goal), "--cassette", str(cassette))
        same = ("outcome", "iterations", "tokens", "score")
        assert {key: played[key] for key in same} == {key: first[key] for key in same}
        goal.write_text(json.dumps({**GOAL, "objective": "hello.txt says hello, loudly."}))
        other = here.json("run", str(goal), code=3)
        assert other["state"] == "blocked"
        assert "exchanges are played; record anew" in other["detail"]
