"""The code loop against a scripted model: wrong, `os._exit(0)`, half right, right."""

from __future__ import annotations

from pathlib import Path

from installation import ROOT, installation
from llm import WRITE_CODE_SCRIPT, scripted_model

GOAL = ROOT / "examples/write-code/goal.yaml"
#: A secret that must not be found anywhere afterwards.
CANARY = "sk-canary-4b1d7f90a2c35e68"


def test_only_the_right_module_is_achieved(tmp_path: Path) -> None:
    with scripted_model(WRITE_CODE_SCRIPT) as model:
        env = {"OPENAI_BASE_URL": model.base_url, "OPENAI_API_KEY": CANARY}
        with installation(tmp_path / "data", **env) as here:
            ended = here.json("run", str(GOAL))
            assert (ended["outcome"], ended["iterations"]) == ("achieved", 4)
            assert ended["tokens"] > 0
            shown = here.json("show", ended["loop"])
            scores = [item["score"] for item in shown["history"]]
            assert scores == sorted(scores)
            assert scores[1] < scores[2] < scores[3] == 1
            assert here.json("verify-log", ended["loop"])["violations"] == 0
            out = tmp_path / "out"
            here.json("result", ended["loop"], "--to", str(out))
            assert (out / "durations.py").is_file()
            feedback = model.requests()[-1]["body"]["messages"][-1]["content"]
            assert "test_durations.py" in feedback
            assert len(model.requests()) == 4
    assert not [path for path in files(tmp_path) if CANARY.encode() in path.read_bytes()]


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


def test_a_planner_without_a_key_blocks_the_loop_and_says_so(tmp_path: Path) -> None:
    with installation(tmp_path / "data") as here:
        held = here.json("run", str(GOAL), code=3)
        assert (held["outcome"], held["state"]) == (None, "blocked")
        assert "OPENAI_API_KEY" in held["detail"]
        assert f"loopwright retry {held['loop']}" in held["detail"]
