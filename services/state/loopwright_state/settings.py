"""What the state service reads from its environment."""

from __future__ import annotations

from pydantic import SecretStr

from loopwright.service.settings import ServiceSettings


class StateSettings(ServiceSettings):
    """The shared settings, and where the projections are kept."""

    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
