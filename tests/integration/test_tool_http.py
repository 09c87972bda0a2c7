"""HTTP from the executor: allowed hosts, pinned addresses, bounded bodies, keys for effects."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from loopwright.goal import Goal
from loopwright.plan import ActionOutcome
from loopwright.testing import playbook_goal
from loopwright.tools import TOOL_GROUPS
from tooling import call_of, toolbox
from web import Web, web

LOCAL = frozenset({"127.0.0.1"})


@pytest.fixture
async def site() -> AsyncIterator[Web]:
    async with web() as running:
        yield running


def allowing(*endpoints: str, **goal: Any) -> Goal:
    return playbook_goal(network={"allow": list(endpoints)}, tools=["shell", "http"], **goal)


async def act(
    tool: str,
    goal: Goal,
    tree: Path = Path("/"),
    private: frozenset[str] = LOCAL,
    secrets: dict[str, str] | None = None,
    **args: Any,
) -> ActionOutcome:
    box = toolbox(secrets=secrets, private_hosts=private)
    return await box.run(call_of(tree, tool, goal, **args), TOOL_GROUPS)


async def test_an_allowed_host_is_read(site: Web) -> None:
    outcome = await act("http.get", allowing(site.host), url=site.url("/hello"))
    assert (outcome.status, outcome.effect) == ("succeeded", "read")
    assert outcome.stdout.startswith("HTTP 200 OK")
    assert outcome.stdout.endswith("GET /hello")
    digest = hashlib.sha256(b"GET /hello").hexdigest()
    assert [(a.digest, a.bytes) for a in outcome.artefacts] == [(f"sha256:{digest}", 10)]


async def test_a_host_that_is_not_allowed_is_not_asked(site: Web) -> None:
    for goal in (allowing("example.org:443"), allowing(f"127.0.0.1:{site.port ^ 1}")):
        outcome = await act("http.get", goal, url=site.url("/hello"))
        assert (outcome.status, outcome.failure) == ("failed", "permission_denied")
    assert site.asked == []


async def test_a_private_address_is_the_installations_to_allow(site: Web) -> None:
    goal = allowing(site.host)
    outcome = await act("http.get", goal, private=frozenset(), url=site.url("/hello"))
    assert outcome.failure == "permission_denied"
    assert "LOOPWRIGHT_PRIVATE_HOSTS" in outcome.stderr
    assert site.asked == []


async def test_a_redirect_is_followed_to_allowed_hosts_only(site: Web) -> None:
    goal = allowing(site.host)
    assert "GET /there" in (await act("http.get", goal, url=site.url("/to//there"))).stdout
    async with web() as other:
        outcome = await act("http.get", goal, url=site.url(f"/to/{other.url('/secret')}"))
        assert (outcome.failure, other.asked) == ("permission_denied", [])
        both = allowing(site.host, other.host)
        header = ["X-Api-Key: mine"]
        away = site.url(f"/to/{other.url('/x')}")
        assert (await act("http.get", both, url=away, headers=header)).status == "succeeded"
        assert "x-api-key" not in other.asked[0][1]
        assert site.asked[-1][1]["x-api-key"] == "mine"


async def test_redirects_are_counted(site: Web) -> None:
    path = "/to/" * 8 + "end"
    outcome = await act("http.get", allowing(site.host), url=site.url(path))
    assert outcome.failure == "tool_failed"
    assert "more than 5 redirects" in outcome.stderr


async def test_a_body_that_is_too_large_is_left(site: Web) -> None:
    outcome = await act("http.get", allowing(site.host), url=site.url("/bytes/5000000"))
    assert (outcome.failure, "more than" in outcome.stderr) == ("tool_failed", True)


async def test_a_body_is_saved_in_the_workspace_and_nowhere_else(site: Web, tmp_path: Path) -> None:
    goal = allowing(site.host)
    saved = await act("http.get", goal, tmp_path, url=site.url("/a"), save_to="data/a.txt")
    assert saved.status == "succeeded"
    assert (tmp_path / "data/a.txt").read_text() == "GET /a"
    out = await act("http.get", goal, tmp_path, url=site.url("/a"), save_to="../a.txt")
    assert out.failure == "permission_denied"


async def test_a_request_carries_its_key_and_follows_no_redirect(site: Web) -> None:
    goal = allowing(site.host)
    first = call_of(
        Path("/"), "http.request", goal, method="POST", url=site.url("/to//x"), body="1"
    )
    outcome = await toolbox(private_hosts=LOCAL).run(first, TOOL_GROUPS)
    assert (outcome.status, outcome.effect) == ("succeeded", "external_once")
    assert [line for line, _ in site.asked] == ["POST /to//x"]
    assert site.asked[0][1]["idempotency-key"] == first.idempotency_key


async def test_a_request_that_was_cut_off_has_an_unknown_outcome(site: Web) -> None:
    args: dict[str, Any] = {"method": "POST", "url": site.url("/cut")}
    outcome = await act("http.request", allowing(site.host), **args)
    assert (outcome.status, outcome.failure) == ("failed", "outcome_unknown")
    assert len(site.asked) == 1


async def test_a_request_that_was_never_sent_is_no_unknown_outcome(site: Web) -> None:
    async with web() as gone:
        url, goal = gone.url("/x"), allowing(gone.host)
    outcome = await act("http.request", goal, method="POST", url=url)
    assert outcome.failure == "network"


async def test_a_status_of_failure_is_a_failure(site: Web) -> None:
    outcome = await act("http.get", allowing(site.host), url=site.url("/status/503"))
    assert (outcome.status, outcome.failure) == ("failed", "http 503")


async def test_a_secret_is_put_in_where_the_goal_lists_it_and_shown_nowhere(site: Web) -> None:
    known = {"TOKEN": "s3cret-value"}
    header: dict[str, Any] = {
        "headers": ["Authorization: Bearer ${secret:TOKEN}"],
        "url": site.url("/a"),
    }
    unlisted = await act("http.get", allowing(site.host), secrets=known, **header)
    assert (unlisted.failure, site.asked) == ("permission_denied", [])
    goal = allowing(site.host, secrets=["TOKEN"])
    await act("http.get", goal, secrets=known, **header)
    assert site.asked[0][1]["authorization"] == "bearer s3cret-value"
    echoed = await act("http.get", goal, secrets=known, url=site.url("/s3cret-value"))
    assert "s3cret-value" not in echoed.stdout
