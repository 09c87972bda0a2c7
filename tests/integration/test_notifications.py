"""Notifications over a real bus to a real receiver: told until taken, signed, in nobody's way."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from loopwright import subjects
from loopwright.events import (
    BudgetWarning,
    EventData,
    LoopAdmitted,
    LoopControlled,
    LoopHeld,
    Wanted,
)
from loopwright.letters import Letters
from loopwright.loop import Loop
from loopwright.notify import NOTICE_KINDS
from loopwright.objects import Objects
from loopwright.service.bus import Bus
from loopwright.service.metrics import Metrics
from loopwright.testing import LOOP_ID, playbook_goal
from loopwright_coordinator.exits import Exit, end
from loopwright_coordinator.log import Log
from loopwright_state.notices import Target
from loopwright_state.notifier import Notifier
from loopwright_state.webhooks import Deliveries
from waiting import until

SECRET = "whsec_" + "c2VjcmV0LW9mLXRoZS10ZXN0cw=="
NOW = datetime.now(UTC)
REVISION = "1" * 40


@dataclass
class Receiver:
    """A webhook: answers what it is told to, and keeps what it gets."""

    answers: list[int] = field(default_factory=list)
    got: list[tuple[dict[str, str], str]] = field(default_factory=list)
    hangs: threading.Event | None = None
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?a=b"

    def kinds(self) -> list[str]:
        return [json.loads(body)["kind"] for _, body in self.got]


@contextmanager
def receiver(*answers: int) -> Iterator[Receiver]:
    here = Receiver(list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            if here.hangs is not None:
                here.hangs.wait(30)
            here.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(here.answers.pop(0) if here.answers else 204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield here
    finally:
        if here.hangs is not None:
            here.hangs.set()
        server.shutdown()
        thread.join()
        server.server_close()


LOCAL = Deliveries(secret=SECRET, hosts=frozenset({"127.0.0.1"}))


@asynccontextmanager
async def notifier(
    bus: Bus, objects: Objects, deliveries: Deliveries = LOCAL, everyone: tuple[Target, ...] = ()
) -> Any:
    stop = asyncio.Event()
    it = Notifier(bus, objects, Metrics(), deliveries, everyone, NOTICE_KINDS, retry_s=0.05)
    task = asyncio.create_task(it.run(stop))
    yield it
    stop.set()
    await task


async def admit(log: Log, loop_id: str = LOOP_ID, *hooks: str, on: Any = None) -> Loop:
    wishes = [{"webhook": hook, **({"on": on} if on else {})} for hook in hooks]
    goal = playbook_goal(notify=wishes)
    data = LoopAdmitted(
        tenant="default",
        goal=goal,
        goal_digest=goal.digest(),
        deadline=NOW + timedelta(seconds=600),
    )
    return await log.append(None, loop_id, data, now=NOW, token=None, traceparent=None)


async def then(log: Log, loop: Loop, data: EventData) -> Loop:
    return await log.append(loop, loop.id, data, now=NOW, token=None, traceparent=None)


def cancelled(loop: Loop) -> EventData:
    return end(loop, NOW, Exit("cancelled", "requested", "cancelled on request"))


@pytest.fixture
def log(bus: Bus, objects: Objects) -> Log:
    return Log(bus, objects, "/coordinator/test")


async def test_an_end_is_told_with_a_signature_until_it_is_taken(
    bus: Bus, objects: Objects, log: Log
) -> None:
    with receiver(500, 503, 200) as hook:
        async with notifier(bus, objects):
            loop = await admit(log, LOOP_ID, hook.url)
            await then(log, loop, cancelled(loop))
            await until(lambda: true(len(hook.got) == 3))
            await until(lambda: _stored(bus, 0))
        assert len({headers["webhook-id"] for headers, _ in hook.got}) == 1
        headers, body = hook.got[-1]
        told = Webhook(SECRET).verify(body, headers)
        assert (told["kind"], told["outcome"], told["loop"]) == ("end", "cancelled", LOOP_ID)
        assert headers["host"] == f"127.0.0.1:{hook.port}"


async def true(value: Any) -> Any:
    return value


async def _stored(bus: Bus, count: int) -> bool:
    info = await bus.js.stream_info(subjects.NOTIFY)
    return bool(info.state.messages == count)


async def test_holds_and_warnings_are_told_to_who_wants_them(
    bus: Bus, objects: Objects, log: Log
) -> None:
    with receiver() as all_of_it, receiver() as ends_only:
        everyone = (Target(webhook=all_of_it.url, trusted=True),)
        async with notifier(bus, objects, everyone=everyone):
            loop = await admit(log, LOOP_ID, ends_only.url, on=["end"])
            warning = BudgetWarning(budget="tokens", percent=80, used=81, cap=100)
            loop = await then(log, loop, LoopControlled(warnings=(warning,)))
            loop = await then(log, loop, LoopControlled())
            paused = LoopHeld(hold="paused", until=NOW, detail="paused for lunch")
            loop = await then(log, loop, paused)
            await then(log, loop, cancelled(loop))
            await until(lambda: true(len(all_of_it.got) == 3 and len(ends_only.got) == 1))
        assert sorted(all_of_it.kinds()) == ["end", "hold", "warning"]
        assert ends_only.kinds() == ["end"]
        assert any("tokens 81 of 100" in body for _, body in all_of_it.got)
        assert any("paused for lunch" in body for _, body in all_of_it.got)


async def test_an_approval_that_is_waited_for_is_told_with_what_to_approve(
    bus: Bus, objects: Objects, log: Log
) -> None:
    with receiver() as people, receiver() as holds_only:
        everyone = (Target(webhook=people.url, trusted=True),)
        async with notifier(bus, objects, everyone=everyone):
            loop = await admit(log, LOOP_ID, holds_only.url, on=["hold"])
            loop = await then(log, loop, LoopHeld(hold="paused", until=NOW, detail="paused"))
            asks = LoopHeld(
                hold="awaiting_approval",
                until=NOW,
                detail="may this be published?",
                wanted=Wanted(kind="result", of=REVISION),
            )
            await then(log, loop, asks)
            await until(lambda: true(len(people.got) == 2 and holds_only.got))
        told = [Webhook(SECRET).verify(body, headers) for headers, body in people.got]
        approval = next(item for item in told if item["kind"] == "approval")
        assert (approval["wanted"], approval["detail"]) == (REVISION, "may this be published?")
        assert holds_only.kinds() == ["hold"]


async def test_what_was_not_delivered_is_delivered_by_another_replica(
    bus: Bus, objects: Objects, log: Log
) -> None:
    with receiver(*[500] * 2) as hook:
        loop = await admit(log, LOOP_ID, hook.url)
        async with notifier(bus, objects):
            await then(log, loop, cancelled(loop))
            await until(lambda: true(hook.got))
        async with notifier(bus, objects):
            await until(lambda: _stored(bus, 0))
        assert len(hook.got) >= 3


async def test_a_receiver_that_hangs_does_not_hold_up_another_loops_news(
    bus: Bus, objects: Objects, log: Log
) -> None:
    with receiver() as slow, receiver() as quick:
        slow.hangs = threading.Event()
        async with notifier(bus, objects):
            for number in range(40):
                loop = await admit(log, f"01JQZZZZZZZZZZZZZZZZZZZZ{number:02}", slow.url)
                await then(log, loop, cancelled(loop))
            loop = await admit(log, LOOP_ID, quick.url)
            await then(log, loop, cancelled(loop))
            await until(lambda: true(quick.got), 5)
            assert not slow.got
            slow.hangs.set()


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/x", "http://localhost:9/x", "http://169.254.169.254/latest"]
)
async def test_a_goal_cannot_reach_a_private_address(
    url: str, bus: Bus, objects: Objects, log: Log
) -> None:
    async with notifier(bus, objects, Deliveries(secret=SECRET)):
        loop = await admit(log, LOOP_ID, url)
        await then(log, loop, cancelled(loop))
        letters = await until(Letters(bus.nc).ls)
    assert letters[0].stream == subjects.NOTIFY
    assert "not public" in letters[0].reason


async def test_a_receiver_that_is_gone_is_asked_once(bus: Bus, objects: Objects, log: Log) -> None:
    with receiver(410) as hook:
        async with notifier(bus, objects):
            loop = await admit(log, LOOP_ID, hook.url)
            await then(log, loop, cancelled(loop))
            letters = await until(Letters(bus.nc).ls)
        assert "410" in letters[0].reason
        assert len(hook.got) == 1


async def test_a_command_gets_the_notification_on_standard_input(
    bus: Bus, objects: Objects, log: Log, tmp_path: Path
) -> None:
    told = tmp_path / "told.json"
    program = tmp_path / "tell.py"
    program.write_text(f"import sys; open({str(told)!r}, 'w').write(sys.stdin.read())")
    deliveries = Deliveries(command=f"{sys.executable} {program}")
    async with notifier(bus, objects, deliveries, (Target(trusted=True),)):
        loop = await admit(log)
        await then(log, loop, cancelled(loop))
        text = await until(lambda: true(told.exists() and told.read_text()))
    assert json.loads(text)["outcome"] == "cancelled"


def test_the_documented_example_verifies_what_is_sent() -> None:
    page = (Path(__file__).parents[2] / "docs/notifications.md").read_text()
    example: dict[str, Any] = {}
    exec(page.split("```python\n")[1].split("```")[0], example)
    body = json.dumps({"name": "nightly", "kind": "end", "detail": "done"})
    headers = Deliveries(secret=SECRET).headers("id-1", body)
    assert example["loop_told"](SECRET, headers, body) == "nightly end: done"
    with pytest.raises(WebhookVerificationError):
        example["loop_told"](SECRET, headers, body.replace("done", "paid"))
