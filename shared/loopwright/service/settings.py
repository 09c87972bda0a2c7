"""What every service reads from its environment; nothing else reads it."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from loopwright.connection import Connection
from loopwright.errors import SettingsError


class ServiceSettings(BaseSettings):
    """Settings that all services share; the environment names begin with LOOPWRIGHT_."""

    model_config = SettingsConfigDict(env_prefix="LOOPWRIGHT_", extra="ignore", frozen=True)

    nats_url: str = "nats://127.0.0.1:4222"
    nats_user: str | None = None
    nats_password: SecretStr | None = None
    nats_nkey_file: Path | None = None
    """A file with the seed of this service's nkey; goes before a password."""
    nats_ca_file: Path | None = None
    """The authority that signed the bus server's certificate; with it the bus must speak TLS."""
    nats_cert_file: Path | None = None
    """This service's own certificate, where the bus wants one."""
    nats_key_file: Path | None = None
    ping_interval_s: float = Field(default=5.0, gt=0)
    """A server that leaves two pings unanswered is given up at the third, in seconds between."""
    reconnect_wait_s: float = Field(default=1.0, gt=0)
    """Between two tries to reconnect, which go on for ever, in seconds."""
    replica: str = Field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}")
    """Name of this process in results and logs."""
    http_host: str = "127.0.0.1"
    http_port: int = Field(default=0, ge=0, le=65535)
    """Port of /livez, /readyz and /metrics; 0 takes a free one."""
    cache_dir: Path = Path("/tmp/loopwright")  # noqa: S108 - a cache, made 0711 and owned by the service
    """Where workspaces are cached; may be deleted at any time."""
    cache_mb: int = Field(default=4096, ge=1)
    """Least recently used workspaces leave the cache beyond this, for each service, in MiB."""
    log_format: Literal["json", "console"] = "json"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    ack_wait_s: float = Field(default=10.0, gt=0.2)
    """A worker that is silent this long is taken for lost, in seconds."""
    trace_file: Path | None = None
    """Where spans are written as JSON lines, for a machine without a collector."""
    otlp_endpoint: str | None = Field(default=None, validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")
    """Where spans are sent, as `http://collector:4318`."""
    slots: int = Field(default=1, ge=1, le=64)
    """Steps that this process works on at once."""
    grace_s: float = Field(default=15.0, ge=0)
    """How long running steps may go on after SIGTERM, in seconds."""

    @property
    def cache_bytes(self) -> int:
        """`cache_mb` in bytes."""
        return self.cache_mb * 1024 * 1024

    def connection(self, name: str) -> Connection:
        """How the bus is reached by the service of this name."""
        password = self.nats_password
        return Connection(
            url=self.nats_url,
            name=self.nats_user or name,
            password=password.get_secret_value() if password and self.nats_user else None,
            nkey_file=self.nats_nkey_file,
            ca_file=self.nats_ca_file,
            cert_file=self.nats_cert_file,
            key_file=self.nats_key_file,
        )


class SandboxedSettings(ServiceSettings):
    """Settings of the services that run untrusted commands."""

    sandbox_allow_none: bool = False
    """Run commands without isolation where none can be had. They can then do what this process
    can; for a machine that holds nothing worth protecting."""


SettingsT = TypeVar("SettingsT", bound=ServiceSettings)


def load(kind: type[SettingsT], **given: Any) -> SettingsT:
    """The settings, with what is given before what the environment says.

    SettingsError names each variable that is wrong.
    """
    try:
        return kind(**given)
    except ValidationError as error:
        wrong = "; ".join(
            f"LOOPWRIGHT_{'_'.join(map(str, item['loc'])).upper()}: {item['msg']}"
            for item in error.errors(include_url=False, include_input=False)
        )
        raise SettingsError(f"the environment is wrong: {wrong}") from error
