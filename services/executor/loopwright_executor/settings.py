"""What the executor reads from its environment beside what all services share."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from loopwright.service.settings import SandboxedSettings


class ExecutorSettings(SandboxedSettings):
    """Settings of the executor; the environment names begin with LOOPWRIGHT_."""

    secrets: dict[str, SecretStr] = Field(default_factory=dict)
    """Secrets that goals may list by name, as a JSON object."""
    programs: tuple[Path, ...] = ()
    """Folders of programs, such as MCP servers, that commands may read, as a JSON list."""
    private_hosts: frozenset[str] = frozenset()
    """Hosts that goals may allow though their addresses are not public, as a JSON list."""
