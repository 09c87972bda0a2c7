"""What the coordinator reads from its environment."""

from __future__ import annotations

from decimal import Decimal

from pydantic import Field

from loopwright.budget import Price
from loopwright.service.settings import ServiceSettings


class CoordinatorSettings(ServiceSettings):
    """The shared settings, and the operator's policy."""

    max_usd: Decimal | None = Field(default=None, ge=0)
    """No goal may have a larger dollar budget."""
    declare_streams: bool = True
    """Make the streams at the start; where credentials forbid it, `loopwright.service.provision`
    has made them, and they are waited for."""
    prices: dict[str, Price] = Field(default_factory=dict)
    """Prices of models that genai-prices does not know, as JSON: `{"my-model":
    {"input_usd_per_million": 1, "output_usd_per_million": 2}}`."""
    stream_replicas: int = Field(default=1, ge=1, le=5)
    """Copies of each stream; 3 on a cluster of three."""
    watch_s: float = Field(default=30.0, gt=0)
    """Between two looks of the watchdog at streams and consumers, in seconds."""
    sweep_s: float = Field(default=300.0, gt=0)
    """Between two sweeps of all open loops for lost timers, in seconds."""
