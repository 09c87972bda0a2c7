"""What the state service reads from its environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from loopwright.notify import NOTICE_KINDS, NoticeKind
from loopwright.service.settings import ServiceSettings


class StateSettings(ServiceSettings):
    """The shared settings, and where the projections are kept."""

    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    redis_password_file: Path | None = None
    """A file with the store's password, where the address holds none."""
    notify_webhook: str | None = Field(default=None, pattern=r"^https?://")
    """Told of every loop, besides what goals name."""
    notify_command: str | None = None
    """Run for every loop, as a shell would split it, with the notification on standard input."""
    notify_on: tuple[NoticeKind, ...] = NOTICE_KINDS
    """What the two above are told of."""
    notify_secret: SecretStr | None = None
    """Signs what is sent to webhooks: `whsec_` and base64, as Standard Webhooks has it."""
    notify_hosts: tuple[str, ...] = ()
    """Hosts that goals may name though their address is not public."""
    memory_days: float | None = Field(default=365.0, gt=0)
    """How long what a loop has learned is told to others; nothing: for ever."""
