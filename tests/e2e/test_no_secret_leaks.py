"""Twenty secrets in a real installation whose plans, servers and provider try to spread them."""

from __future__ import annotations

import json
import stat
import sys
import urllib.request
from pathlib import Path
from typing import Any

from canaries import HOMES, Places, echo, hits
from installation import Installation, installation
from llm import plan_text, scripted_model, write_file
from servers import free_port

#: Nothing secret: it must be found, or looking would prove nothing.
MARKER = "marker-7d1f0c52aa"
KEY = "sk-canary-3f8e21b7c09d64a5"
SECRETS = {
    "HEADER": "hdr-canary-a1b2c3d4e5f60718",
    "SAVED": "sav-canary-0f1e2d3c4b5a6978",
    "SERVER": "srv-canary-99aa88bb77cc66dd",
    "REFUSED": "ref-canary-1234abcd5678ef90",
    "UNLISTED": "unl-canary-fedc0123ba987654",
}
PERSON = {
    "AWS_SECRET_ACCESS_KEY": "aws-canary-55e4d3c2b1a09f8e",
    "GITHUB_TOKEN": "ghp_canary6b7a8c9d0e1f2a3b",
    "OTEL_EXPORTER_OTLP_HEADERS": "authorization=otl-canary-c0ffee00c0ffee00",
}
NOTIFY = "whsec_" + "Y2FuYXJ5LW9mLXdlYmhvb2tzLTEyMzQ="
LEAKY = """\
import os, sys
from mcp.server import MCPServer
server = MCPServer("leaky")
@server.tool()
def tell() -> str:
    print(os.environ["TOKEN"], file=sys.stderr)
    return "the token is " + os.environ["TOKEN"]
server.run("stdio")
"""


def plans(data: Path, home: Path, port: int, closed: int) -> tuple[str, ...]:
    """What a hostile model plans: to show the secrets, to save them, to make errors of them."""

    def get(port: int, secret: str, save_to: str | None = None) -> dict[str, Any]:
        headers = [f"Authorization: Bearer ${{secret:{secret}}}"]
        url = f"http://127.0.0.1:{port}/{MARKER}"
        args = {"url": url, "headers": headers, "save_to": save_to}
        return {"tool": "http.get", "args": args, "allow_failure": True}

    spied = (data / "runtime.json", data / "keys/*", home / ".netrc", "/proc/[0-9]*/environ")
    spy = f"echo {MARKER}; (env; cat {' '.join(map(str, spied))}) 2>&1 | tee env.txt; true"
    called = {"server": "leaky", "tool": "tell", "arguments": "{}"}
    shell: dict[str, Any] = {"tool": "shell", "args": {"run": spy}}
    server = {"tool": "mcp.call", "args": called, "allow_failure": True}
    return (
        plan_text(f"Look around. {MARKER}", shell),
        plan_text("Have them told.", get(port, "HEADER"), server, write_file("told.txt", "x")),
        plan_text("Save one.", get(port, "SAVED", "saved.txt")),
        plan_text("Fail with them.", get(closed, "REFUSED"), get(port, "UNLISTED")),
        plan_text("Done.", write_file("done.txt", MARKER)),
    )


def goal(port: int, closed: int) -> dict[str, Any]:
    server = {
        "name": "leaky",
        "command": [sys.executable, "leaky.py"],
        "env": {"TOKEN": "${secret:SERVER}"},
        "tools": ["tell"],
    }
    return {
        "name": "canaries",
        "objective": f"A file done.txt. {MARKER}",
        "workspace": {"files": {"leaky.py": LEAKY}},
        "planner": {"backend": "openai", "model": "gpt-4o-mini", "adaptive": False},
        "tools": ["shell", "file", "http", "mcp"],
        "network": {"allow": [f"127.0.0.1:{port}", f"127.0.0.1:{closed}"]},
        "mcp": [server],
        "secrets": ["HEADER", "SAVED", "SERVER", "REFUSED"],
        "notify": [{"webhook": f"http://127.0.0.1:{port}/hook"}],
        "verify": {
            "checks": [
                {"name": "done", "kind": "file", "path": "done.txt"},
                {"name": "env", "kind": "command", "run": "env; cat env.txt", "required": False},
            ]
        },
        "budget": {"iterations": 9, "usd": "1"},
        "stuck": {"patience": 20},
    }


def generated(data: Path) -> dict[str, str]:
    """The secrets that the installation made for itself."""
    runtime = json.loads((data / "runtime.json").read_text())
    found = {f"key of {file.stem}": file.read_text().strip() for file in data.glob("keys/*.nk")}
    found["password of people"] = runtime["nats_password"]
    found["password of the store"] = (data / "keys/store.password").read_text().strip()
    return found


def said(here: Installation, loop: str) -> str:
    """What the commands tell of the loop, to people and to programs."""
    shown = [
        here.run(*words, *more)
        for words in (("show", loop), ("log", loop), ("replay", loop))
        for more in ((), ("--json",))
    ]
    return "\n".join(done.stdout + done.stderr for done in [*shown, here.run("doctor")])


def pages(here: Installation) -> str:
    """Metrics and probes of every service."""
    found = []
    for url in here.runtime()["probes"].values():
        with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:
            found.append(answer.read().decode())
    return "\n".join(found)


def test_no_secret_is_in_any_log_event_trace_object_prompt_or_page(tmp_path: Path) -> None:
    home, data, closed = tmp_path / "home", tmp_path / "data", free_port()
    home.mkdir()
    (home / ".netrc").write_text("machine x login y password net-canary-0a9b8c7d6e5f4a3b\n")
    places = Places()
    with scripted_model() as model, echo() as port:
        model.queue({"type": "fail", "status": 500, "message": f"your key {KEY} is odd"})
        model.queue(*plans(data, home, port, closed))
        env = {
            "OPENAI_BASE_URL": model.base_url,
            "OPENAI_API_KEY": KEY,
            "LOOPWRIGHT_SECRETS": json.dumps(SECRETS),
            "LOOPWRIGHT_NOTIFY_SECRET": NOTIFY,
            "LOOPWRIGHT_PRIVATE_HOSTS": '["127.0.0.1"]',
            "HOME": str(home),
            **PERSON,
        }
        with installation(data, **env) as here:
            path = tmp_path / "goal.json"
            path.write_text(json.dumps(goal(port, closed)))
            ended = here.json("run", str(path))
            loop = ended["loop"]
            assert ended["outcome"] == "achieved", ended
            canaries = {"provider's key": KEY, **SECRETS, **PERSON, **generated(data)}
            canaries |= {"webhooks": NOTIFY, "netrc": "net-canary-0a9b8c7d6e5f4a3b"}
            events = json.dumps(here.events(loop))
            for happened in ("holds the secret SAVED", "do not list UNLISTED", "[redacted]"):
                assert happened in events
            places.add("commands", json.dumps(ended) + said(here, loop))
            places.add("pages", pages(here))
        places.add("prompts", json.dumps([request["body"] for request in model.requests()]))
    places.add_files(data)
    places.add_revisions(data / "cache")
    assert len(canaries) >= 20
    assert hits(places, canaries) == []
    marked = " ".join(places.holding(MARKER))
    for where in ("commands", "prompts", "nats/", "valkey/", "executor:cat-file"):
        assert where in marked
    logged = [name for name in places.contents if name.startswith(("logs/", "traces/"))]
    assert {"logs/executor.log", "traces/executor.ndjson"} <= {*logged}
    for path in (data / name for name in HOMES if (data / name).exists()):
        assert not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO), path


def test_a_value_is_found_in_each_of_its_forms() -> None:
    places = Places()
    places.add("json", json.dumps({"a": 'tok"en-0123456789'}))
    places.add("base64", "eHh0b2tlbi0wMTIzNDU2Nzg5")  # two letters before it
    assert places.holding('tok"en-0123456789') == ["json"]
    assert places.holding("token-0123456789") == ["base64"]
