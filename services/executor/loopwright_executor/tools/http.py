"""HTTP from the executor: allowed hosts, pinned addresses, bounded bodies and redirects."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import httpx2

from loopwright.errors import StepError
from loopwright.plan import ActionOutcome, Artefact
from loopwright.service.logs import Redactor
from loopwright.tools import arguments as a
from loopwright_executor.core import excerpt
from loopwright_executor.tools import files
from loopwright_executor.tools.call import Call
from loopwright_executor.tools.reach import Pinned, Reach
from loopwright_executor.tools.secrets import Secrets
from loopwright_executor.tools.within import within

MAX_REDIRECTS = 5
#: A body that is not saved has at most this many bytes; a saved one as many as a file may have.
MAX_SHOWN_BYTES = 4 * 1024 * 1024
#: Between two bytes, and to connect, in seconds; the action's own time counts besides.
QUIET_S = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    url: str
    status: int
    reason: str
    type: str
    location: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Http:
    """GET, and requests that change something."""

    secrets: Secrets
    redactor: Redactor
    private_hosts: frozenset[str] = frozenset()

    async def get(self, call: Call) -> ActionOutcome:
        """Fetch a URL; what it says is shown or saved."""
        args = call.args(a.HttpGetArgs)
        target = files.target(call.tree, args.save_to) if args.save_to else None
        most = call.limits.file_bytes if target else MAX_SHOWN_BYTES
        headers = self.secrets.headers(args.headers, call.goal)
        try:
            answer = await within(call, self._follow(call, args.url, headers, most))
        except TimeoutError as error:
            raise StepError("timeout", str(error)) from error
        except httpx2.HTTPError as error:
            raise StepError("network", f"{args.url}: {_said(error)}") from error
        if target is not None and args.save_to is not None and answer.status < 400:
            files.store(target, args.save_to, answer.body)
        return self._outcome(answer, saved=args.save_to)

    async def request(self, call: Call) -> ActionOutcome:
        """Send something. A redirect is told, not followed: what it leads to was not asked for."""
        args = call.args(a.HttpRequestArgs)
        headers = {
            **self.secrets.headers(args.headers, call.goal),
            "idempotency-key": call.idempotency_key,
        }
        body = args.body.encode()
        sending = self._send(call, args.method, args.url, headers, MAX_SHOWN_BYTES, body)
        try:
            answer = await within(call, sending)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise StepError("network", f"{args.url}: {_said(error)}") from error
        except (httpx2.HTTPError, TimeoutError) as error:
            # It was under way: whether it was received, nobody knows.
            raise StepError("outcome_unknown", f"{args.url}: {_said(error)}") from error
        return self._outcome(answer, saved=None)

    async def _follow(self, call: Call, url: str, headers: Mapping[str, str], most: int) -> Answer:
        """GET with redirects; another origin is told none of the headers."""
        origin = _origin(url)
        for _ in range(MAX_REDIRECTS + 1):
            own = headers if _origin(url) == origin else {}
            answer = await self._send(call, "GET", url, own, most)
            if not answer.location:
                return answer
            url = str(httpx2.URL(url).join(answer.location))
        raise StepError("tool_failed", f"more than {MAX_REDIRECTS} redirects, the last to {url}")

    async def _send(
        self,
        call: Call,
        method: str,
        url: str,
        headers: Mapping[str, str],
        most: int,
        body: bytes = b"",
    ) -> Answer:
        reach = Reach(call.goal.network, self.private_hosts)
        sent = {**headers, "accept-encoding": "identity"}
        async with (
            httpx2.AsyncClient(transport=Pinned(reach), timeout=QUIET_S) as client,
            client.stream(method, url, content=body or None, headers=sent) as response,
        ):
            found = bytearray()
            async for chunk in response.aiter_raw():
                found += chunk
                if len(found) > most:
                    raise StepError("tool_failed", f"{url}: the body has more than {most} bytes")
        location = response.headers.get("location", "") if response.is_redirect else ""
        kind = response.headers.get("content-type", "")
        return Answer(
            url, response.status_code, response.reason_phrase, kind, location, bytes(found)
        )

    def _outcome(self, answer: Answer, saved: str | None) -> ActionOutcome:
        good = answer.status < 400
        digest = f"sha256:{hashlib.sha256(answer.body).hexdigest()}"
        text = f"saved to {saved}" if saved and good else answer.body.decode(errors="replace")
        head = f"HTTP {answer.status} {answer.reason}\n{answer.type}\n"
        if answer.location:
            head += f"location: {answer.location}\n"
        return ActionOutcome(
            tool="http",
            status="succeeded" if good else "failed",
            failure=None if good else f"http {answer.status}",
            stdout=excerpt(self.redactor.text(f"{head}\n{text}")),
            artefacts=(
                Artefact(name=saved or answer.url[:200], digest=digest, bytes=len(answer.body)),
            ),
        )


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = httpx2.URL(url)
    return parts.scheme, parts.host, parts.port


def _said(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip()
