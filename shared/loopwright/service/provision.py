"""The provisioning job: makes streams and consumers, as administrator, and ends.

`python -m loopwright.service.provision` with LOOPWRIGHT_NATS_NKEY_FILE of `admin`. Services that
run with LOOPWRIGHT_DECLARE_STREAMS=false wait for it and need no right to do it themselves.
"""

from __future__ import annotations

import asyncio

import nats
from pydantic import Field

from loopwright.service.logs import configure
from loopwright.service.permissions import ADMIN
from loopwright.service.settings import ServiceSettings, load
from loopwright.service.streams import declare_when_up


class ProvisionSettings(ServiceSettings):
    """The shared settings, and how often each stream is kept."""

    stream_replicas: int = Field(default=1, ge=1, le=5)
    """Copies of each stream; 3 on a cluster of three."""


async def provision(settings: ServiceSettings, replicas: int = 1) -> None:
    """Make what is missing, change what differs; waits for the bus."""

    async def quiet(_: Exception) -> None:
        """Whoever waits gets the error; nats-py would print a traceback besides."""

    connection = settings.connection(ADMIN)
    nc = await nats.connect(
        connection.url,
        **connection.options(),
        name="provision",
        max_reconnect_attempts=-1,
        reconnect_time_wait=1,
        error_cb=quiet,
    )
    try:
        await declare_when_up(nc.jetstream(), settings, replicas)
    finally:
        await nc.close()


def main() -> None:
    """Provision once."""
    settings = load(ProvisionSettings)
    configure("provision", settings)
    asyncio.run(provision(settings, settings.stream_replicas))


if __name__ == "__main__":
    main()
