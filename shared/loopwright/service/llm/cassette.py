"""Exchanges with a model, recorded to a file and played back: the seam is the HTTP transport.

A line of the file is one exchange as JSON: what was asked, what came back. Headers are not kept, so
no key is; secrets in bodies are redacted by value before anything is written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from loopwright.errors import SettingsError
from loopwright.service.logs import Redactor

#: Headers of an answer that the planner looks at.
KEPT = ("content-type", "retry-after")
#: Shown of two texts from where they differ, in characters.
SHOWN_CHARS = 60


@dataclass(slots=True)
class Exchange:
    """One request and its answer."""

    path: str
    request: Any
    status: int
    headers: dict[str, str]
    response: str
    played: bool = False

    def line(self) -> str:
        """As it stands in the file."""
        kept = {"path": self.path, "request": self.request, "status": self.status}
        return json.dumps(kept | {"headers": self.headers, "response": self.response}) + "\n"


def load(path: Path) -> list[Exchange]:
    """The exchanges of a file; SettingsError in a sentence where it is none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return [Exchange(**json.loads(line)) for line in lines if line]
    except OSError as error:
        raise SettingsError(f"the cassette {path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise SettingsError(f"{path} is no cassette: {error}") from error


class Recorder(httpx2.AsyncBaseTransport):
    """Passes requests on, and writes each exchange to the end of a file."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, path: Path, redactor: Redactor) -> None:
        self._inner, self._path, self._redactor = inner, path, redactor

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The real answer, once it is in the file."""
        asked = _body(await request.aread())
        answer = await self._inner.handle_async_request(request)
        content = await answer.aread()
        headers = {name: answer.headers[name] for name in KEPT if name in answer.headers}
        exchange = Exchange(
            path=request.url.path,
            request=self._redactor.value(asked),
            status=answer.status_code,
            headers=headers,
            response=self._redactor.text(content.decode(errors="replace")),
        )
        with self._path.open("a", encoding="utf-8") as file:
            file.write(exchange.line())
        return httpx2.Response(answer.status_code, headers=headers, content=content)

    async def aclose(self) -> None:
        """Close what requests are passed on to."""
        await self._inner.aclose()


class Player(httpx2.AsyncBaseTransport):
    """Answers from a cassette; what is not in it is refused as an unknown model is, with why.

    A request that comes again, as after a crash, gets the same answer again.
    """

    def __init__(self, path: Path, redactor: Redactor | None = None) -> None:
        self._path, self._exchanges = path, load(path)
        self._redactor = redactor or Redactor([])

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The recorded answer, or a refusal with the first difference."""
        asked = self._redactor.value(_body(await request.aread()))
        same = [e for e in self._exchanges if _matches(e, request.url.path, asked)]
        if not same:
            error = {"error": {"message": self._miss(request.url.path, asked)}}
            return httpx2.Response(404, json=error)
        found = next((e for e in same if not e.played), same[-1])
        found.played = True
        return httpx2.Response(found.status, headers=found.headers, content=found.response.encode())

    def _miss(self, path: str, asked: Any) -> str:
        number = next((n for n, e in enumerate(self._exchanges, 1) if not e.played), None)
        if number is None:
            count = len(self._exchanges)
            return f"cassette {self._path.name}: all {count} exchanges are played; record anew"
        expected = self._exchanges[number - 1]
        where = first_difference(expected.request, asked) or f"the path is {path}"
        return f"cassette {self._path.name}, exchange {number}: {where}; record anew"


def _matches(exchange: Exchange, path: str, asked: Any) -> bool:
    """The end of the path only: the endpoint's address may be another."""
    return exchange.request == asked and exchange.path.split("/")[-1] == path.split("/")[-1]


def _body(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content.decode(errors="replace")


def first_difference(recorded: Any, asked: Any) -> str:
    """Where two JSON values differ first, in a sentence; empty where they do not."""
    return next(_differences(recorded, asked, ""), "")


def _differences(recorded: Any, asked: Any, at: str) -> Iterator[str]:
    if isinstance(recorded, dict) and isinstance(asked, dict):
        for key in dict.fromkeys((*recorded, *asked)):
            yield from _differences(recorded.get(key), asked.get(key), f"{at}.{key}".lstrip("."))
    elif isinstance(recorded, list) and isinstance(asked, list):
        for index, (one, other) in enumerate(zip(recorded, asked, strict=False)):
            yield from _differences(one, other, f"{at}[{index}]")
        if len(recorded) != len(asked):
            yield f"{at or 'the request'} has {len(asked)} items, {len(recorded)} were recorded"
    elif recorded != asked:
        yield f"{at or 'the request'} was {_shown(recorded, asked)}, now {_shown(asked, recorded)}"


def _shown(value: Any, other: Any) -> str:
    """A value from where it differs from another."""
    if not isinstance(value, str) or not isinstance(other, str):
        return repr(value)[:SHOWN_CHARS]
    pairs = zip(value, other, strict=False)
    start = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(value), len(other)))
    return f"{value[start : start + SHOWN_CHARS]!r} (from character {start})"
