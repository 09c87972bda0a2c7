"""The servers of a run: a bus of one node or a cluster, of which one leads the log, and a store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import nats
import nats.errors
import nats.js.errors

from loopwright import subjects
from servers import Server, nats_cluster, valkey_server


async def leader(nodes: list[Server]) -> Server:
    """The node that leads the log; one alone does."""
    if len(nodes) == 1:
        return nodes[0]
    nc = await nats.connect(
        [node.url for node in nodes], max_reconnect_attempts=-1, error_cb=_quiet
    )
    try:
        while True:
            with suppress(nats.errors.Error, nats.js.errors.Error, TimeoutError):
                cluster = (await nc.jetstream().stream_info(subjects.LOOPS)).cluster
                if cluster is not None and cluster.leader:
                    return nodes[int(cluster.leader.removeprefix("n"))]
            await asyncio.sleep(0.1)
    finally:
        await nc.close()


async def _quiet(_: Exception) -> None:
    """An election is no news."""


@contextmanager
def servers(folder: Path, nodes: int) -> Iterator[tuple[list[Server], Server]]:
    """The nodes of a bus, and a store, in a folder."""
    with ExitStack() as stack:
        bus = stack.enter_context(nats_cluster(folder / "nats", nodes))
        store = stack.enter_context(valkey_server(folder / "valkey"))
        yield bus, store
