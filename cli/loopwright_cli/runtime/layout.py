"""What the local runtime consists of: every child as data, with its environment."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from loopwright.connection import DEFAULT_NAME
from loopwright_cli.runtime import ports, servers
from loopwright_cli.runtime.children import Spec
from loopwright_cli.runtime.keys import STORE_USER, fresh_keys, notify_secret
from loopwright_cli.runtime.places import Place
from loopwright_cli.runtime.ports import HOST

SERVICES = ("coordinator", "planner", "executor", "verifier", "state")
USUAL_NATS, USUAL_MONITOR, USUAL_VALKEY = 4222, 8222, 6379
#: What a child may see of our environment; secrets of other programs are not among it.
PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
PASSED_PREFIXES = ("LOOPWRIGHT_", "OTEL_")
#: Who talks to models: the planner, and the verifier's judges.
ASKS_MODELS, MODEL_SETTINGS = ("planner", "verifier"), ("OPENAI_",)
#: Secrets that one service alone is told.
OWN_SECRETS = {"LOOPWRIGHT_SECRETS": "executor", "LOOPWRIGHT_NOTIFY_SECRET": "state"}


@dataclass(frozen=True, slots=True)
class Layout:
    """Every child, and how others reach the two servers."""

    servers: tuple[Spec, ...]
    services: tuple[Spec, ...]
    nats_url: str
    nats_user: str
    nats_password: str
    redis_url: str
    probes: dict[str, str]
    provision: Callable[[], Awaitable[None]]
    """Makes the streams, once the servers are up."""


def plan(place: Place, executors: int) -> Layout:
    """Choose ports, generate credentials, write the servers' configuration."""
    nats_program, valkey_program = servers.nats_program(), servers.valkey_program()
    names = _replicas(executors)
    wanted = [USUAL_NATS, USUAL_MONITOR, USUAL_VALKEY, *(0 for _ in names)]
    nats_port, monitor, valkey_port, *probe_ports = ports.choose(wanted)
    keys, name = fresh_keys(place), f"loopwright-{secrets.token_hex(4)}"
    nats_conf = servers.write_nats_config(
        place.root / "nats", nats_port, monitor, name, keys.accounts
    )
    valkey_conf = servers.write_valkey_config(place.root / "valkey", valkey_port, keys.store_users)
    nats_url = f"nats://{HOST}:{nats_port}"
    redis_url = f"redis://{STORE_USER}:{keys.store_password}@{HOST}:{valkey_port}/0"
    probes = {name: f"http://{HOST}:{port}" for name, port in zip(names, probe_ports, strict=True)}
    base = _passed() | {
        "LOOPWRIGHT_NATS_URL": nats_url,
        "LOOPWRIGHT_DECLARE_STREAMS": "false",
        "LOOPWRIGHT_CACHE_DIR": str(place.cache),
        "LOOPWRIGHT_HTTP_HOST": HOST,
    }
    return Layout(
        servers=(
            _server("nats", (str(nats_program), "-c", str(nats_conf)), _nats_up(monitor, name)),
            _server(
                "valkey",
                (str(valkey_program), str(valkey_conf)),
                _valkey_up(valkey_port, keys.store_password),
            ),
        ),
        services=tuple(
            _service(place, name, port, base | keys.environment(name), redis_url)
            for name, port in zip(names, probe_ports, strict=True)
        ),
        nats_url=nats_url,
        nats_user=DEFAULT_NAME,
        nats_password=keys.password,
        redis_url=redis_url,
        probes=probes,
        provision=keys.provisioning(nats_url),
    )


def _replicas(executors: int) -> list[str]:
    names = [name for name in SERVICES if name != "executor"]
    more = [f"executor-{number}" for number in range(1, executors + 1)]
    return [*names, *(["executor"] if executors == 1 else more)]


def _passed() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name in PASSED or name.startswith(PASSED_PREFIXES)
    }


def _server(name: str, argv: tuple[str, ...], is_up: Callable[[], Awaitable[bool]]) -> Spec:
    return Spec(name, argv, {"PATH": os.environ.get("PATH", os.defpath)}, is_up)


def _service(place: Place, name: str, port: int, base: dict[str, str], redis_url: str) -> Spec:
    kind = name.split("-", maxsplit=1)[0]
    env = base | {
        "LOOPWRIGHT_HTTP_PORT": str(port),
        "LOOPWRIGHT_REPLICA": name,
        "LOOPWRIGHT_TRACE_FILE": str(place.traces / f"{name}.ndjson"),
    }
    env = service_environment(kind, env, os.environ)
    if kind == "state":
        env["LOOPWRIGHT_REDIS_URL"] = redis_url
        env.setdefault("LOOPWRIGHT_NOTIFY_HOSTS", '["127.0.0.1", "localhost"]')
        if not env.get("LOOPWRIGHT_NOTIFY_SECRET"):
            env["LOOPWRIGHT_NOTIFY_SECRET"] = notify_secret(place)
    return Spec(
        name,
        (sys.executable, "-m", f"loopwright_{kind}"),
        env,
        _http_up(f"http://{HOST}:{port}/readyz"),
        stop_s=20.0,
    )


def service_environment(
    kind: str, env: Mapping[str, str], ours: Mapping[str, str]
) -> dict[str, str]:
    """Of `env` what a service of this kind may know, and what it needs of our own environment."""
    told = {name: value for name, value in env.items() if OWN_SECRETS.get(name, kind) == kind}
    if kind in ASKS_MODELS:
        told |= {name: value for name, value in ours.items() if name.startswith(MODEL_SETTINGS)}
    return told


def _http_up(url: str) -> Callable[[], Awaitable[bool]]:
    async def up() -> bool:
        return await asyncio.to_thread(answers, url)

    return up


def _nats_up(monitor: int, name: str) -> Callable[[], Awaitable[bool]]:
    """Healthy, and ours: another server may have taken the port before us."""
    at = f"http://{HOST}:{monitor}"

    async def up() -> bool:
        if not await asyncio.to_thread(answers, f"{at}/healthz"):
            return False
        return f'"server_name": "{name}"' in (await asyncio.to_thread(_body, f"{at}/varz") or "")

    return up


def answers(url: str) -> bool:
    """Whether a loopback URL answers with success."""
    return _body(url) is not None


def _body(url: str) -> str | None:
    try:
        with urllib.request.urlopen(url, timeout=1.0) as answer:  # noqa: S310 - http, loopback
            body: bytes = answer.read()
            return body.decode(errors="replace") if answer.status == 200 else None
    except (OSError, urllib.error.URLError, ValueError):
        return None


def _valkey_up(port: int, password: str) -> Callable[[], Awaitable[bool]]:
    """Takes our password, so it is ours."""

    async def up() -> bool:
        try:
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(f"AUTH {STORE_USER} {password}\r\n".encode())
            said = await asyncio.wait_for(reader.readline(), 1.0)
        except (OSError, TimeoutError):
            return False
        writer.close()
        return said.startswith(b"+OK")

    return up


def log_path(place: Place, name: str) -> Path:
    """Where a child's output goes."""
    return place.logs / f"{name}.log"
