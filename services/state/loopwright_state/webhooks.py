"""Delivering one notification: a signed POST to an address that may be told, or a command."""

from __future__ import annotations

import asyncio
import ipaddress
import shlex
import socket
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx2
from standardwebhooks import Webhook

from loopwright.errors import LoopwrightError
from loopwright.notify import Notification
from loopwright_state.notices import Target

#: How long a receiver may take to answer, in seconds.
ANSWER_S = 10.0
#: How long a command may run, in seconds.
COMMAND_S = 30.0


class UndeliverableError(LoopwrightError):
    """It can never be delivered: it is not allowed, or the receiver is gone for good."""


class NotDeliveredError(LoopwrightError):
    """It could not be delivered now."""


@dataclass(frozen=True, slots=True)
class Deliveries:
    """How this installation tells people."""

    secret: str | None = None
    hosts: frozenset[str] = frozenset()
    """Hosts that goals may name though their address is not public."""
    command: str | None = None
    http: httpx2.AsyncClient = field(
        default_factory=lambda: httpx2.AsyncClient(timeout=ANSWER_S, follow_redirects=False)
    )

    async def deliver(self, to: Target, what: Notification) -> None:
        """Deliver once; NotDeliveredError where a later try may work."""
        body = what.model_dump_json(exclude_none=True)
        if to.webhook is not None:
            await self._post(to, to.webhook, what.id, body)
        elif self.command is not None:
            await _run(self.command, body)
        else:
            raise UndeliverableError("this installation has no notify_command any more")

    async def _post(self, to: Target, url: str, id_: str, body: str) -> None:
        parts = urlsplit(url)
        host = parts.hostname or ""
        trusted = to.trusted or host in self.hosts
        address = await _resolved(host, parts.port or (443 if parts.scheme == "https" else 80))
        if not trusted and not ipaddress.ip_address(address).is_global:
            raise UndeliverableError(
                f"{host} is {address}, which is not public; the installation can allow it with "
                "LOOPWRIGHT_NOTIFY_HOSTS"
            )
        # The address that was checked is the one that is used, whatever DNS says a moment later.
        pinned = httpx2.URL(url).copy_with(host=address)
        try:
            answer = await self.http.post(
                pinned,
                content=body,
                headers={**self.headers(id_, body), "host": parts.netloc.rsplit("@")[-1]},
                extensions={"sni_hostname": host},
            )
        except httpx2.HTTPError as error:
            raise NotDeliveredError(f"{host}: {type(error).__name__} {error}") from error
        if answer.status_code == httpx2.codes.GONE:
            raise UndeliverableError(f"{host} answered 410: nobody wants it any more")
        if not answer.is_success:
            raise NotDeliveredError(f"{host} answered {answer.status_code}")

    def headers(self, id_: str, body: str) -> dict[str, str]:
        """As standardwebhooks.com has them, so that any of its libraries verifies them."""
        now = datetime.now(UTC)
        headers = {
            "content-type": "application/json",
            "webhook-id": id_,
            "webhook-timestamp": str(int(now.timestamp())),
        }
        if self.secret is not None:
            headers["webhook-signature"] = Webhook(self.secret).sign(id_, now, body)
        return headers


async def _resolved(host: str, port: int) -> str:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )
    except OSError as error:
        raise NotDeliveredError(f"{host} has no address: {error}") from error
    return str(found[0][4][0])


async def _run(command: str, body: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *shlex.split(command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, complaint = await asyncio.wait_for(process.communicate(body.encode()), COMMAND_S)
    except TimeoutError as error:
        process.kill()
        await process.wait()
        raise NotDeliveredError(f"{command}: not done within {COMMAND_S:g} s") from error
    if process.returncode:
        said = complaint.decode(errors="replace")[-500:]
        raise NotDeliveredError(f"{command}: exit code {process.returncode}: {said}")
