"""Looking for secrets in everything that an installation writes, says and sends."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

#: Where secrets stand because they are used from there: for the owner's eyes only.
HOMES = ("keys", "runtime.json", "nats/nats.conf")
#: Fewer characters of a value in base64 are no find.
_LEAST_BASE64 = 8


def forms(value: str) -> set[bytes]:
    """What a secret looks like as it is, in JSON, and within base64 at each of three offsets."""
    raw = value.encode()
    found = {raw, json.dumps(value)[1:-1].encode()}
    for offset in range(3):
        text = base64.b64encode(b"\0" * offset + raw)
        inner = text[4 if offset else 0 : len(text) - 4]
        if len(inner) >= _LEAST_BASE64:
            found.add(inner)
    return found


@dataclass
class Places:
    """Contents by where they were found."""

    contents: dict[str, bytes] = field(default_factory=dict)

    def add(self, name: str, content: str | bytes) -> None:
        """One more text to look through."""
        self.contents[name] = content.encode() if isinstance(content, str) else content

    def add_files(self, data: Path) -> None:
        """Every file of a data folder: logs, traces, streams, the store, caches."""
        for path in sorted(data.rglob("*")):
            name = str(path.relative_to(data))
            if path.is_file() and not path.is_symlink() and not name.startswith(HOMES):
                self.add(name, path.read_bytes())

    def add_revisions(self, cache: Path) -> None:
        """Every object of every repository, unpacked: files, links, names, messages."""
        for repository in sorted(cache.rglob("repositories/*")):
            for arguments in (
                ("cat-file", "--batch-all-objects", "--batch"),
                ("log", "--all", "--name-only"),
            ):
                read = subprocess.run(
                    ["git", "--git-dir", repository, *arguments], capture_output=True, check=False
                )
                self.add(f"{repository.parent.parent.name}:{arguments[0]}", read.stdout)

    def holding(self, value: str) -> list[str]:
        """Where a value stands, in any of its forms."""
        wanted = forms(value)
        return [
            name for name, content in self.contents.items() if any(f in content for f in wanted)
        ]


def hits(places: Places, canaries: Mapping[str, str]) -> list[str]:
    """A sentence for each canary in each place."""
    return [
        f"{name} in {where}" for name, value in canaries.items() for where in places.holding(value)
    ]


class _Echo(BaseHTTPRequestHandler):
    """Says what it was sent, which is the worst that a server can do with a secret."""

    def do_GET(self) -> None:
        body = str(self.headers).encode()
        self.send_response(200)
        self.send_header("X-Echo", self.headers.get("Authorization", ""))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def echo() -> Iterator[int]:
    """A server's port on 127.0.0.1; it takes webhooks too."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
