"""Least privilege on a real server: what each identity may do is all that it can do.

ALLOWED is written by hand, on purpose: it is what a person has agreed to. Everything else of
`universe` must be refused.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import nats.js.errors
import pytest
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig

from installed import Installed, installed
from loopwright import subjects
from loopwright.client import Client
from loopwright.direct import read_batch
from loopwright.objects import NatsObjects
from loopwright.service.bus import Bus
from loopwright.service.claims import claim
from loopwright.service.permissions import ADMIN, inbox
from loopwright.service.settings import ServiceSettings
from loopwright.service.streams import declarations

TENANTS = ("acme", "other")
#: Nobody may say this.
LAST = "the.last.word"
STREAM_CALLS = [
    "STREAM.CREATE",
    "STREAM.UPDATE",
    "STREAM.DELETE",
    "STREAM.PURGE",
    "STREAM.INFO",
    "STREAM.MSG.GET",
    "STREAM.MSG.DELETE",
    "STREAM.SNAPSHOT",
    "STREAM.RESTORE",
    "STREAM.LEADER.STEPDOWN",
    "DIRECT.GET",
    "CONSUMER.CREATE",
    "CONSUMER.LIST",
    "CONSUMER.NAMES",
]
CONSUMER_CALLS = [
    "CONSUMER.CREATE",
    "CONSUMER.DURABLE.CREATE",
    "CONSUMER.DELETE",
    "CONSUMER.INFO",
    "CONSUMER.MSG.NEXT",
    "CONSUMER.PAUSE",
    "CONSUMER.RESET",
    "CONSUMER.LEADER.STEPDOWN",
]
KINDS = [
    "loop_admitted",
    "plan_requested",
    "execution_requested",
    "verification_requested",
    "loop_ended",
]

OBJECTS = (
    "$O.LOOPWRIGHT.C.a $O.LOOPWRIGHT.M.a $JS.API.STREAM.INFO.OBJ_LOOPWRIGHT "
    "$JS.API.STREAM.MSG.GET.OBJ_LOOPWRIGHT $JS.API.DIRECT.GET.OBJ_LOOPWRIGHT"
)


def _pulls(stream: str, durable: str) -> str:
    return (
        f"$JS.API.CONSUMER.INFO.{stream}.{durable} $JS.API.CONSUMER.MSG.NEXT.{stream}.{durable} "
        f"$JS.ACK.{stream}.{durable}.1.1.1.1.0"
    )


def _worker(role: str, *calls: str) -> str:
    limits = "limit.x $JS.API.STREAM.MSG.GET.LIMITS " if "llm" in calls else ""
    return limits + (
        f"{' '.join(f'breaker.{kind}.x' for kind in calls)} $JS.API.STREAM.MSG.GET.BREAKERS "
        f"{OBJECTS} {_pulls('LOOPS', role)} result.{role}.x claim.{role}.x.1.1 dead.loops "
        "$JS.API.STREAM.MSG.GET.CLAIMS $JS.API.DIRECT.GET.LOOPS.loop.x.loop_admitted"
    )


def _person(tenants: str) -> str:
    names = tenants.split()
    memory = [f"query.{what}.{name}" for what in ("recall", "memory", "forget") for name in names]
    return (
        f"{' '.join(memory)} "
        f"{OBJECTS} {' '.join(f'goal.submitted.{name}' for name in names)} control.x "
        "query.loop query.loops query.heads $JS.API.STREAM.INFO.LOOPS "
        "$JS.API.STREAM.MSG.GET.LOOPS $JS.API.DIRECT.GET.LOOPS"
    )


ALLOWED: dict[str, str] = {
    "coordinator": (
        f"{OBJECTS} {' '.join(f'loop.x.{kind}' for kind in KINDS)} claim.planner.x.1.1 "
        "claim.executor.x.1.1 claim.verifier.x.1.1 claim.sweep.1 timer.at.x.y stop.x "
        "dead.goals dead.control dead.results dead.timers dead.breakers dead.loops "
        "breaker.llm.x breaker.tool.x breaker.mcp.x $JS.API.STREAM.MSG.GET.BREAKERS "
        f"$JS.API.STREAM.INFO.BREAKERS {_pulls('BREAKERS', 'coordinator')} "
        f"{_pulls('LOOPS', 'family')} {_pulls('LOOPS', 'tenants')} tenant.x "
        "$JS.API.STREAM.MSG.GET.TENANTS "
        "_INBOX_operator.x _INBOX_tenant-acme.x _INBOX_tenant-other.x "
        "$JS.API.STREAM.MSG.GET.LOOPS $JS.API.DIRECT.GET.LOOPS $JS.API.STREAM.MSG.GET.CLAIMS "
        "$JS.API.STREAM.INFO.LOOPS $JS.API.STREAM.INFO.GOALS $JS.API.STREAM.INFO.CONTROL "
        "$JS.API.STREAM.INFO.RESULTS $JS.API.STREAM.INFO.TIMERS $JS.API.STREAM.INFO.DEAD "
        "$JS.API.CONSUMER.INFO.LOOPS.planner $JS.API.CONSUMER.INFO.LOOPS.executor "
        "$JS.API.CONSUMER.INFO.LOOPS.verifier $JS.API.CONSUMER.INFO.LOOPS.notifier "
        "$JS.API.CONSUMER.INFO.LOOPS.learner $JS.API.CONSUMER.INFO.NOTIFY.notifier "
        f"$JS.API.STREAM.INFO.NOTIFY {_pulls('GOALS', 'coordinator')} "
        f"{_pulls('CONTROL', 'coordinator')} {_pulls('RESULTS', 'coordinator')} "
        f"{_pulls('TIMERS', 'coordinator')}"
    ),
    "planner": (
        f"{_worker('planner', 'llm')} query.recall.acme query.recall.other query.recall.default "
        "progress.x"
    ),
    "executor": f"{_worker('executor', 'tool', 'mcp')} effect.x.1.1 $JS.API.STREAM.MSG.GET.EFFECTS",
    "verifier": _worker("verifier", "llm"),
    "state": (
        f"{_pulls('LOOPS', 'learner')} memory.x.y $JS.API.STREAM.MSG.GET.MEMORY "
        "$JS.API.DIRECT.GET.MEMORY $JS.API.STREAM.INFO.MEMORY "
        f"{OBJECTS} {_pulls('LOOPS', 'notifier')} {_pulls('NOTIFY', 'notifier')} notify.x.y "
        "dead.loops dead.notify $JS.API.STREAM.INFO.LOOPS $JS.API.STREAM.MSG.GET.LOOPS "
        "$JS.API.DIRECT.GET.LOOPS"
    ),
    "tenant-acme": _person("acme"),
    "operator": (
        f"{_person('acme other default')} $JS.API.STREAM.INFO.DEAD $JS.API.STREAM.MSG.GET.DEAD "
        "$JS.API.STREAM.MSG.DELETE.DEAD breaker.llm.x breaker.tool.x breaker.mcp.x "
        "$JS.API.STREAM.MSG.GET.BREAKERS $JS.API.STREAM.INFO.BREAKERS tenant.x "
        "$JS.API.STREAM.MSG.GET.TENANTS $JS.API.STREAM.INFO.TENANTS"
    ),
}
HEARD: dict[str, str] = {
    "coordinator": "",
    "planner": "stop.*",
    "executor": "stop.*",
    "verifier": "stop.*",
    "state": "query.loop query.loops query.heads query.recall.* query.memory.* query.forget.*",
    "tenant-acme": "loop.> progress.* _INBOX.>",
    "operator": "loop.> progress.* _INBOX.>",
}


def _calls() -> set[str]:
    found = {"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST"}
    streams = {str(item.stream.name): item for item in declarations(ServiceSettings())}
    for stream in (*streams, "OBJ_LOOPWRIGHT"):
        found |= {f"$JS.API.{call}.{stream}" for call in STREAM_CALLS}
        consumers = streams[stream].consumers if stream in streams else ()
        for name in [*(str(item.durable_name) for item in consumers), "another"]:
            found |= {f"$JS.API.{call}.{stream}.{name}" for call in CONSUMER_CALLS}
            found.add(f"$JS.ACK.{stream}.{name}.1.1.1.1.0")
        found.add(f"dead.{stream.lower()}")
    return found


def universe() -> set[str]:
    """Every subject that anything is done by, one of each kind."""
    found = _calls()
    for kind in KINDS:
        found |= {f"loop.x.{kind}", f"$JS.API.DIRECT.GET.LOOPS.loop.x.{kind}"}
    for role in subjects.ROLES:
        found |= {f"result.{role}.x", f"claim.{role}.x.1.1"}
        found.add(f"$JS.API.DIRECT.GET.CLAIMS.claim.{role}.x.1.1")
    for tenant in (*TENANTS, "default"):
        found.add(f"goal.submitted.{tenant}")
        found |= {f"query.{what}.{tenant}" for what in ("recall", "memory", "forget")}
    found |= {f"breaker.{kind}.x" for kind in ("llm", "tool", "mcp")}
    found |= {f"{inbox(name)}.x" for name in (*ALLOWED, ADMIN, "tenant-other")}
    return found | {
        "control.x",
        "claim.sweep.1",
        "timer.at.x.y",
        "timer.fired.x",
        "notify.x.y",
        "stop.x",
        "query.loop",
        "query.loops",
        "query.heads",
        "$O.LOOPWRIGHT.C.a",
        "$O.LOOPWRIGHT.M.a",
        "$SYS.REQ.SERVER.PING",
        "$SYS.REQ.ACCOUNT.CORE.CONNZ",
        "another",
        "effect.x.1.1",
        "memory.x.y",
        "tenant.x",
        "limit.x",
        "progress.x",
    }


def _named(refused: list[str], what: str) -> set[str]:
    """The subjects that the bus named in its refusals; the client gives them in lower case."""
    return {name for error in refused for name in re.findall(rf'{what} to "(.+)"', error)}


async def _all_said(nc: Nats, refused: list[str]) -> None:
    """Wait until the bus has said everything: it refuses in order, and this is the last."""
    await nc.publish(LAST, b"")
    async with asyncio.timeout(60):
        while not any(LAST in error for error in refused):
            await asyncio.sleep(0.02)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Installed]:
    async with installed(tmp_path, TENANTS) as found:
        yield found


@pytest.mark.parametrize("identity", ALLOWED)
async def test_an_identity_may_publish_what_is_agreed_and_nothing_else(
    here: Installed, identity: str
) -> None:
    nc, refused = await here.connect(identity)
    tried = universe()
    for subject in tried:
        await nc.publish(subject, b"")
    await _all_said(nc, refused)
    denied = {subject.replace("$js.core.api", "$js.api") for subject in _named(refused, "publish")}
    done = {subject for subject in tried if subject.lower() not in denied}
    assert done == set(ALLOWED[identity].split())


@pytest.mark.parametrize("identity", HEARD)
async def test_an_identity_may_hear_what_is_agreed_and_nothing_else(
    here: Installed, identity: str
) -> None:
    nc, refused = await here.connect(identity)
    tried = {
        "loop.>",
        "stop.*",
        "progress.*",
        "query.loop",
        "query.loops",
        "query.heads",
        "_INBOX.>",
        ">",
    }
    tried |= {"query.recall.*", "query.memory.*", "query.forget.*", "breaker.>", "memory.>"}
    tried |= {"goal.>", "control.>", "result.>", "claim.>", "timer.>", "$JS.>", "$O.>", "$SYS.>"}
    tried |= {f"{inbox(name)}.>" for name in ALLOWED}
    for subject in tried:
        await nc.subscribe(subject)
    await _all_said(nc, refused)
    denied = _named(refused, "subscription")
    assert {subject for subject in tried if subject.lower() not in denied} == {
        *HEARD[identity].split(),
        f"{inbox(identity)}.>",
    }


async def test_an_answer_cannot_be_sent_where_its_asker_may_not_write(here: Installed) -> None:
    """The reply subject of a request is checked against no permission: accounts stop it."""
    admin, _ = await here.connect(ADMIN)
    js = admin.jetstream()
    await js.publish("loop.x.execution_requested", b"a grant")
    nc, _ = await here.connect("executor")
    await nc.jetstream().publish("$O.LOOPWRIGHT.C.a", b"a forged event")
    body = json.dumps({"last_by_subj": "$O.LOOPWRIGHT.C.a"}).encode()
    for target in ("loop.victim.loop_ended", "result.verifier.victim", "goal.submitted.acme"):
        await nc.publish("$JS.API.DIRECT.GET.OBJ_LOOPWRIGHT", body, reply=target)
        await nc.publish("$JS.API.STREAM.MSG.GET.OBJ_LOOPWRIGHT", body, reply=target)
        await nc.publish("$JS.API.CONSUMER.MSG.NEXT.LOOPS.executor", b"1", reply=target)
        await nc.publish("result.executor.x", b"", reply=target)
    await nc.flush()
    asked = await read_batch(nc, "OBJ_LOOPWRIGHT", "$O.LOOPWRIGHT.C.a", 1)  # all are answered now
    assert [stored.body for stored in asked] == [b"a forged event"]
    held = {
        name: dict((await js.stream_info(name, subjects_filter=">")).state.subjects or {})
        for name in ("LOOPS", "RESULTS", "GOALS")
    }
    assert held == {
        "LOOPS": {"loop.x.execution_requested": 1},
        "RESULTS": {"result.executor.x": 3},
        "GOALS": {},
    }


async def test_a_worker_does_its_work_within_its_rights(here: Installed) -> None:
    admin, _ = await here.connect(ADMIN)
    await admin.jetstream().publish("loop.x.loop_admitted", b"the goal")
    await admin.jetstream().publish("loop.x.execution_requested", b"the grant")
    nc, refused = await here.connect("executor")
    bus, heard = Bus(nc), await nc.subscribe(subjects.stop("*"))
    await nc.flush()
    pull = await bus.js.pull_subscribe_bind("executor", "LOOPS")
    (message,) = await pull.fetch(1, timeout=10)
    goal = await bus.look("LOOPS", "loop.x.loop_admitted")
    assert (message.data, goal and goal.body) == (b"the grant", b"the goal")
    await message.in_progress()
    await message.ack_sync()
    assert (await claim(bus, "claim.executor.x.1.1", "me")).ours
    assert not (await claim(bus, "claim.executor.x.1.1", "you")).ours
    objects = NatsObjects(await bus.js.object_store(subjects.OBJECTS))
    content = bytes(range(256)) * 2048
    await objects.put("work", content)
    assert await objects.get("work") == content
    await bus.publish("result.executor.x", b"done", stream="RESULTS")
    await admin.publish(subjects.stop("x"), b"")
    assert (await heard.next_msg(timeout=10)).subject == "stop.x"
    assert refused == []


async def test_a_tenants_user_is_answered_on_its_own_inbox_only(here: Installed) -> None:
    coordinator, refused = await here.connect("coordinator")
    user, _ = await here.connect("tenant-acme")
    neighbour, _ = await here.connect("tenant-other")
    answer = await user.subscribe(f"{inbox('tenant-acme')}.1")
    overheard = await neighbour.subscribe(f"{inbox('tenant-other')}.>")
    await user.flush()
    await neighbour.flush()
    await coordinator.publish(f"{inbox('tenant-acme')}.1", b"to acme")
    await coordinator.publish(f"{inbox('tenant-other')}.1", b"to other")
    assert (await answer.next_msg(timeout=10)).data == b"to acme"
    assert (await overheard.next_msg(timeout=10)).data == b"to other"
    assert overheard.pending_msgs == 0
    assert refused == []


async def test_queries_are_answered_across_accounts(here: Installed) -> None:
    state, _ = await here.connect("state")

    async def answer(message: Msg) -> None:
        await message.respond(b'{"loops": []}')

    await state.subscribe(subjects.QUERY_LOOPS, queue="state", cb=answer)
    await state.flush()
    async with Client(connection=here.connection("tenant-acme")) as client:
        assert await client.loops() == []


@pytest.mark.parametrize("said", ["{}", '{"user": "operator", "pass": "guess"}'])
async def test_nobody_without_a_key_is_let_in(here: Installed, said: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", here.server.port)
    await reader.readline()  # what the server says of itself
    writer.write(f"CONNECT {said}\r\nPING\r\n".encode())
    answer = await asyncio.wait_for(reader.readline(), 30)
    writer.close()
    await writer.wait_closed()
    assert b"Authorization Violation" in answer


async def test_even_the_administrator_cannot_delete_an_event(here: Installed) -> None:
    admin, _ = await here.connect(ADMIN)
    js = admin.jetstream()
    await js.publish("loop.x.loop_admitted", b"{}")
    with pytest.raises(nats.js.errors.APIError):
        await js.delete_msg("LOOPS", 1)
    await js.add_consumer("LOOPS", ConsumerConfig(durable_name="mine"))
