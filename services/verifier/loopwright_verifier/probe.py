"""HTTP probes: one request, outside of the sandbox, to a host that the installation allows."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx2

from loopwright.checks import HttpCheck, JsonSchemaCheck, RegexCheck
from loopwright.plan import CheckResult
from loopwright_verifier.core import EXCERPT_CHARS, result
from loopwright_verifier.inspection import CONTENT, Inspection
from loopwright_verifier.scenes import Scene

#: Of an answer, as much as is read.
MAX_BODY_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Probe:
    """Asks servers."""

    allowed: frozenset[str]
    """Hosts as `host` or `host:port`; a host alone means the scheme's own port."""
    inspection: Inspection
    transport: httpx2.AsyncBaseTransport | None = field(default=None)

    async def ask(self, check: HttpCheck, scene: Scene) -> CheckResult:
        """Judge what a server answers; every failure to get an answer is a failed check."""
        if not self.allows(check.url):
            message = (
                f"{urlsplit(check.url).netloc} is not allowed here; "
                "add it to LOOPWRIGHT_HTTP_ALLOW of the verifier"
            )
            return result(check.name, "error", message)
        try:
            status, body = await self._fetch(check)
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, OSError) as error:
            return result(check.name, "failed", f"{check.url}: {type(error).__name__}: {error}")
        wrong = await self._wrong(check, status, body, scene)
        return result(
            check.name,
            "failed" if wrong else "passed",
            wrong or f"{check.url} answered {status} as wanted",
            judged=body,
            text=body[: 4 * EXCERPT_CHARS].decode(errors="replace"),
        )

    def allows(self, url: str) -> bool:
        """Whether the installation lets goals ask this host."""
        parts = urlsplit(url)
        try:
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            return False
        host = parts.hostname or ""
        own = parts.port is None or port == (443 if parts.scheme == "https" else 80)
        return f"{host}:{port}" in self.allowed or (own and host in self.allowed)

    async def _fetch(self, check: HttpCheck) -> tuple[int, bytes]:
        content = None if check.body is None else check.body.encode()
        client = httpx2.AsyncClient(
            transport=self.transport, timeout=check.timeout, follow_redirects=False, trust_env=False
        )
        async with client, client.stream(check.method, check.url, content=content) as answer:
            body = b""
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise OSError(f"its answer has more than {MAX_BODY_BYTES} bytes")
            return answer.status_code, body

    async def _wrong(self, check: HttpCheck, status: int, body: bytes, scene: Scene) -> str:
        if status != check.status:
            return f"{check.url} answered {status}, {check.status} is wanted"
        if check.matches is not None:
            regex = RegexCheck(kind="regex", name=check.name, path=CONTENT, pattern=check.matches)
            found = await self.inspection.one(regex, body, scene)
            if found.status != "passed":
                return f"its answer: {found.message}"
        if check.json_schema is not None:
            schema = JsonSchemaCheck.model_validate(
                {"kind": "json_schema", "name": check.name, "path": CONTENT}
                | {"schema": check.json_schema}
            )
            found = await self.inspection.one(schema, body, scene)
            if found.status != "passed":
                return f"its answer: {found.message}"
        return ""
