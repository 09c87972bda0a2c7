"""Ports on loopback: the usual one if it is free, else any."""

from __future__ import annotations

import socket

HOST = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether nobody listens on a loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def choose(wanted: list[int]) -> list[int]:
    """One port for each wanted one: itself if it is free, else another that is; all different."""
    taken: set[int] = set()
    chosen = []
    for port in wanted:
        pick = port if port and port not in taken and is_free(port) else _any(taken)
        taken.add(pick)
        chosen.append(pick)
    return chosen


def _any(taken: set[int]) -> int:
    while True:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port
