"""What the verifier reads from its environment, besides what every service reads."""

from __future__ import annotations

from loopwright.service.llm.settings import LlmSettings
from loopwright.service.settings import SandboxedSettings


class VerifierSettings(SandboxedSettings, LlmSettings):
    """The sandbox of its checks, the endpoint of its judges, the servers that it may ask."""

    http_allow: str = ""
    """Hosts that `http` checks may ask, as `example.com status.internal:8080`, by spaces."""

    @property
    def http_hosts(self) -> frozenset[str]:
        """The hosts of `http_allow`."""
        return frozenset(self.http_allow.split())
