"""A bus with every identity's account and every stream, as an installation has it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import nats
from nats.aio.client import Client as Nats

from loopwright.connection import Connection
from loopwright.service.permissions import ADMIN
from loopwright.service.provision import provision
from loopwright.service.settings import ServiceSettings
from loopwright_cli.credentials import Credentials
from servers import Server, nats_server


@dataclass
class Installed:
    """A running bus and the folder of its credentials."""

    server: Server
    keys: Credentials
    _open: list[Nats] = field(default_factory=list)

    def connection(self, identity: str) -> Connection:
        """How an identity reaches the bus."""
        key = self.keys.seed_file(identity)
        return Connection(self.server.url, identity, nkey_file=key)

    async def connect(self, identity: str) -> tuple[Nats, list[str]]:
        """A connection, and the list that what the bus refuses is added to."""
        refused: list[str] = []

        async def said(error: Exception) -> None:
            refused.append(str(error))

        connection = self.connection(identity)
        nc = await nats.connect(connection.url, **connection.options(), error_cb=said)
        self._open.append(nc)
        return nc, refused

    async def close(self) -> None:
        """Close every connection."""
        await asyncio.gather(*(nc.close() for nc in self._open))


@asynccontextmanager
async def installed(folder: Path, tenants: Sequence[str] = ()) -> AsyncIterator[Installed]:
    """Credentials made, the bus up, the streams made by the administrator."""
    keys = Credentials(folder / "keys")
    keys.init(tenants)
    with nats_server(folder / "nats", more=keys.accounts_file.read_text()) as server:
        here = Installed(server, keys)
        admin = here.connection(ADMIN)
        await provision(
            ServiceSettings(nats_url=admin.url, nats_user=ADMIN, nats_nkey_file=admin.nkey_file)
        )
        try:
            yield here
        finally:
            await here.close()
