"""A scripted model behind a real HTTP server that nobody here wrote, and an example's script."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servers import Server, free_port

#: A text that the model says, or one of the server's behaviours (`fail`, `delay`, `reply` …).
Reply = str | Mapping[str, Any]


@dataclass(frozen=True)
class ScriptedModel:
    """The server: it says the queued replies in order and remembers what it was asked."""

    url: str

    @property
    def base_url(self) -> str:
        """What OPENAI_BASE_URL must be."""
        return f"{self.url}/v1"

    def queue(self, *replies: Reply) -> None:
        """Say these next. A queued `fail` comes before queued replies, wherever it stands."""
        behaviors = [
            {"type": "reply", "text": reply} if isinstance(reply, str) else reply
            for reply in replies
        ]
        self._call("POST", "/_llmock/scenario", {"behaviors": behaviors})

    def requests(self) -> list[dict[str, Any]]:
        """Every request so far: status, body, the SDK's own count of retries."""
        return list(self._call("GET", "/_llmock/requests")["requests"])

    def reset(self) -> None:
        """Forget the script and every request."""
        self._call("POST", "/_llmock/reset")

    def verdict(self) -> dict[str, Any]:
        """How the server judges its client: retries, waits, cut answers taken for whole."""
        return dict(self._call("GET", "/_llmock/verdict"))

    def _call(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())


@contextlib.contextmanager
def scripted_model(replies: Sequence[Reply] = ()) -> Iterator[ScriptedModel]:
    """A model server on a free loopback port that says `replies` in order."""
    port = free_port()
    model = ScriptedModel(f"http://127.0.0.1:{port}")

    def is_up() -> bool:
        try:
            with urllib.request.urlopen(f"{model.url}/health", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    binary = str(Path(sys.prefix, "bin", "llmock"))
    argv = [binary, "serve", "--host", "127.0.0.1", "--port", str(port), "--tool-mode", "off"]
    with tempfile.TemporaryDirectory() as folder:
        server = Server(argv, port, model.url, is_up, Path(folder, "llmock.log"))
        try:
            server.start()
            if replies:
                model.queue(*replies)
            yield model
        finally:
            server.stop()


def plan_text(summary: str, *actions: Mapping[str, Any]) -> str:
    """A model's answer that proposes these actions, as strict mode words it."""
    whole = [{"timeout": None, "allow_failure": False, **action} for action in actions]
    return json.dumps({"summary": summary, "actions": whole})


def write_file(path: str, content: str) -> dict[str, Any]:
    """The action that writes a file."""
    return {"tool": "file.write", "args": {"path": path, "content": content}}


#: An answer with a plan of one action.
GOOD = plan_text("Write it.", write_file("a", "1"))


def completion(text: str | None = GOOD, usage: Any = "own", **choice: Any) -> dict[str, Any]:
    """A body as the endpoint sends it; `usage` None leaves that out."""
    body: dict[str, Any] = {
        "choices": [
            {"message": {"role": "assistant", "content": text}, "finish_reason": "stop", **choice}
        ]
    }
    if usage == "own":
        usage = {"prompt_tokens": 40, "completion_tokens": 10, "total_tokens": 50}
    return body if usage is None else {**body, "usage": usage}


_WRONG = """\
from datetime import timedelta


def parse_duration(text):
    return timedelta()


def format_duration(delta):
    return str(delta)
"""

_EXITS = """\
import os

os._exit(0)
"""

_HALF_RIGHT = """\
import re
from datetime import timedelta

_PATTERN = re.compile(
    r"([+-])?P(?:([\\d.,]+)W)?(?:([\\d.,]+)D)?(?:T(?:([\\d.,]+)H)?(?:([\\d.,]+)M)?(?:([\\d.,]+)S)?)?"
)


def parse_duration(text):
    sign, *parts = _PATTERN.fullmatch(text).groups()
    numbers = [float((part or "0").replace(",", ".")) for part in parts]
    delta = timedelta(**dict(zip(("weeks", "days", "hours", "minutes", "seconds"), numbers)))
    return -delta if sign == "-" else delta


def format_duration(delta):
    return f"PT{delta.total_seconds():g}S"
"""

_RIGHT = '''\
"""ISO 8601 durations of fixed length."""

import re
from datetime import timedelta

_NUMBER = r"(\\d+(?:[.,]\\d+)?)"
_PATTERN = re.compile(
    rf"([+-])?P(?:{_NUMBER}W|(?:{_NUMBER}D)?"
    rf"(T(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?)"
)
_CALENDAR = re.compile(r"[+-]?P[\\d.,]+[YM]")
_MICROSECONDS = {
    "W": 604_800_000_000,
    "D": 86_400_000_000,
    "H": 3_600_000_000,
    "M": 60_000_000,
    "S": 1_000_000,
}


def parse_duration(text):
    """The timedelta of an ISO 8601 duration; ValueError if it is none."""
    if _CALENDAR.match(text):
        raise ValueError(f"{text!r}: a duration in years and months has no fixed length")
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no ISO 8601 duration")
    sign, weeks, days, time, *clock = match.groups()
    given = [(unit, part) for unit, part in zip("WDHMS", (weeks, days, *clock)) if part]
    if not given or time == "T":
        raise ValueError(f"{text!r} is a duration without a number")
    if any(not part.isdigit() for _, part in given[:-1]):
        raise ValueError(f"{text!r}: only the last number of a duration may have a fraction")
    delta = timedelta(microseconds=sum(_microseconds(part, unit) for unit, part in given))
    return -delta if sign == "-" else delta


def _microseconds(number, unit):
    whole, _, fraction = number.replace(",", ".").partition(".")
    digits = int(whole + fraction) * _MICROSECONDS[unit]
    return digits / 10 ** len(fraction) if fraction else digits


def format_duration(delta):
    """The shortest ISO 8601 duration of a timedelta."""
    sign = "-" if delta < timedelta() else ""
    delta = abs(delta)
    minutes, seconds = divmod(delta.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    second = f"{seconds}.{delta.microseconds:06d}".rstrip("0").rstrip(".")
    parts = [(hours, "H"), (minutes, "M"), (second if second != "0" else 0, "S")]
    time = "".join(f"{number}{unit}" for number, unit in parts if number)
    date = f"{delta.days}D" if delta.days else ""
    if not date and not time:
        return "PT0S"
    return f"{sign}P{date}" + (f"T{time}" if time else "")
'''

#: Four answers for examples/write-code: wrong, one that ends the process with 0, half right, right.
#: Only the last may be achieved.
WRITE_CODE_SCRIPT: tuple[str, ...] = (
    plan_text("A first version.", write_file("durations.py", _WRONG)),
    plan_text("All tests pass now.", write_file("durations.py", _EXITS)),
    plan_text("Parse with a pattern.", write_file("durations.py", _HALF_RIGHT)),
    plan_text("Refuse what is none, format exactly.", write_file("durations.py", _RIGHT)),
)
