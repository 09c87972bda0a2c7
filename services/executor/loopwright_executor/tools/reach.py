"""Where a connection may go: hosts that the goal allows, at addresses that are public.

The address that was checked is the one that is connected to, whatever DNS says a moment later.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass

import httpx2

from loopwright.errors import StepError
from loopwright.outside import Network


@dataclass(frozen=True, slots=True)
class Reach:
    """A goal's network, as far as this installation lets it."""

    network: Network
    private_hosts: frozenset[str] = frozenset()

    async def address(self, host: str, port: int) -> str:
        """The address to connect to; StepError where the goal or the installation says no."""
        name = host.lower().strip("[]").rstrip(".")
        if not self.network.allows(name, port):
            raise StepError(
                "permission_denied", f"{name}:{port} is not in the goal's network.allow"
            )
        found = ipaddress.ip_address(await _resolved(name, port))
        if not _public(found) and name not in self.private_hosts:
            raise StepError(
                "permission_denied",
                f"{name} is {found}, which is not public; the installation can allow it with "
                "LOOPWRIGHT_PRIVATE_HOSTS",
            )
        return str(found)


class Pinned(httpx2.AsyncBaseTransport):
    """Connects to where `reach` says, for each request anew, redirects included."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        # A connection is never shared: one by address could be another host's.
        limits = httpx2.Limits(max_keepalive_connections=0)
        self._inner = httpx2.AsyncHTTPTransport(trust_env=False, limits=limits)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request to the pinned address under its own name."""
        url = request.url
        port = url.port or (443 if url.scheme == "https" else 80)
        address = await self._reach.address(url.host, port)
        request.url = url.copy_with(host=address)
        request.extensions = {**request.extensions, "sni_hostname": url.host}
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Close what is open."""
        await self._inner.aclose()


def _public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Global, and no IPv6 form of an IPv4 address, which can lead to a private one."""
    if isinstance(address, ipaddress.IPv6Address):
        hidden = address.ipv4_mapped or address.sixtofour or address.teredo
        if hidden is not None or address in ipaddress.ip_network("64:ff9b::/96"):
            return False
    return address.is_global and not address.is_multicast


async def _resolved(host: str, port: int) -> str:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )
    except OSError as error:
        raise StepError("network", f"{host} has no address: {error}") from error
    return str(found[0][4][0])
