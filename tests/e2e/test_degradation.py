"""A data loop that a model leads, until its server dies: the playbook brings it to its end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from installation import ROOT, Installation, installation, prepare_penguins, wait_until
from llm import plan_text, scripted_model

EXAMPLE = ROOT / "examples/clean-data"
#: For a whole loop, a busy machine included.
RUN_S = 540.0


def load(name: str) -> Any:
    return yaml.safe_load((EXAMPLE / name).read_text())


def patient(folder: Path) -> Path:
    """The example in a folder that has its tables, with time for a busy machine."""
    goal = load("goal.model.yaml")
    goal["budget"]["time"] = f"{RUN_S:.0f}s"
    for name in ("input", "held-out"):
        (folder / name).symlink_to(EXAMPLE / name)
    path = folder / "goal.yaml"
    path.write_text(yaml.safe_dump(goal))
    return path


def test_the_example_that_a_model_leads_has_the_checks_and_the_rules_of_the_one_without() -> None:
    led, ruled = load("goal.model.yaml"), load("goal.yaml")
    assert led["planner"]["playbook"] == ruled["planner"]["rules"]
    assert (led["verify"], led["workspace"]) == (ruled["verify"], ruled["workspace"])


def test_a_loop_whose_model_dies_in_the_middle_is_achieved_by_its_playbook(tmp_path: Path) -> None:
    prepare_penguins()
    rules = load("goal.yaml")["planner"]["rules"]
    script = [plan_text("Copy the table.", *rules[0]["do"]), plan_text("Name it.", *rules[1]["do"])]
    with ExitStack() as server, ThreadPoolExecutor(1) as pool:
        model = server.enter_context(scripted_model(script))
        env = {"OPENAI_BASE_URL": model.base_url, "OPENAI_API_KEY": "sk-none-at-all"}
        with installation(tmp_path / "data", **env) as here:
            words = ("run", str(patient(tmp_path)), "--json")
            running = pool.submit(here.run, *words, timeout=RUN_S)
            # Two iterations are to be seen, checked and done, before the third plan is asked for.
            wait_until(lambda: len(model.requests()) >= len(script), RUN_S)
            server.close()
            done = running.result()
            assert done.returncode == 0, done.stdout + done.stderr
            ended = yaml.safe_load(done.stdout)
            assert ended["outcome"] == "achieved"
            assert ended["tokens"] > 0
            degraded(here, ended["loop"])


def degraded(here: Installation, loop: str) -> None:
    """The log says who planned, and why it was no longer the model."""
    log = [event["data"] for event in here.events(loop)]
    rules = [data["plan"].get("rule") for data in log if data["kind"] == "execution_requested"]
    assert rules[:2] == [None, None]
    assert rules[-3:] == ["shorten-species", "tidy-sex", "date-to-year"]
    assert here.json("show", loop)["approach"]["kind"] == "playbook"
    changes = [
        change
        for data in log
        for change in (data.get("approach") or {}).get("changes", ())
        if change["setting"] == "rung"
    ]
    assert changes[0]["now"] == "the playbook"
    assert "network" in changes[0]["cause"]
    assert here.json("verify-log", loop)["violations"] == 0
