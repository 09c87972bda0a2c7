"""One dependency's circuit breaker as pure functions: what a call may do, what its end changes.

    closed ──failures in a row──► open ──cool-down──► half_open (one probe) ──answered──► closed
                                   ▲                        │
                                   └── failed, or no word ──┘

A probe names the attempt that makes it, and has that attempt's deadline: whoever dies with it
leaves nothing behind. Throttling (429) is a wait for everybody, never a failure. A person may
hold a breaker open; then only a person closes it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from loopwright.subjects import Role
from loopwright.wire import Wire

BreakerState = Literal["closed", "open", "half_open"]
#: How a call ended, as far as its dependency is concerned. `unknown`: nobody can tell.
Word = Literal["answered", "failed", "throttled", "unknown"]


@dataclass(frozen=True, slots=True)
class Rules:
    """When a breaker opens and for how long."""

    failures: int = 5
    """In a row, over all loops and replicas."""
    window_s: float = 60.0
    """A failure that is older than this, at the next one, is forgotten."""
    cool_down_s: float = 10.0
    """Before the first probe; doubled with each probe that fails."""
    max_cool_down_s: float = 300.0
    max_throttle_s: float = 60.0
    """The longest that one Retry-After may hold up everybody."""


RULES = Rules()
#: A breaker that a person holds open is looked at again after this, in seconds.
FORCED_LOOK_S = 60.0
#: The least that a refused caller is told to wait, in seconds.
LEAST_WAIT_S = 0.5
#: Those who wait for the same moment come back spread over this, in seconds.
SPREAD_S = 2.0


class Holder(Wire):
    """The attempt that makes a call."""

    loop: str
    role: Role
    iteration: int
    attempt: int
    deadline: datetime
    """Of its grant: a probe that has said nothing by then is over."""

    def same(self, other: Holder | None) -> bool:
        """Whether it is the same attempt."""
        return other is not None and self._key == other._key

    @property
    def _key(self) -> tuple[str, Role, int, int]:
        return self.loop, self.role, self.iteration, self.attempt

    def __str__(self) -> str:
        return f"loop {self.loop}, {self.role}, iteration {self.iteration}, attempt {self.attempt}"


class Breaker(Wire):
    """A dependency's state, as all replicas share it; each change is a record with its cause."""

    dependency: str
    """As `llm:gpt-4o-mini`, `tool:http`, `mcp:github`."""
    state: BreakerState = "closed"
    previous: BreakerState = "closed"
    """The state before this record: another one makes this record a change of state."""
    failures: int = 0
    """In a row."""
    failed_at: datetime | None = None
    """When the newest of them came."""
    opened: int = 0
    """Times it opened since it was closed last."""
    until: datetime | None = None
    """Open: when the first probe may be made; None where a person holds it open."""
    throttled_until: datetime | None = None
    """The dependency asked everybody to wait until then."""
    probe: Holder | None = None
    """Half-open: who makes the one call that is let through."""
    changed_at: datetime | None = None
    cause: str = ""
    """A sentence: what brought it into this state."""

    @property
    def changes(self) -> bool:
        """Whether this record is a change of state."""
        return self.state != self.previous


@dataclass(frozen=True, slots=True)
class Pass:
    """The call may be made."""


@dataclass(frozen=True, slots=True)
class Probe:
    """The call may be made by whoever stores this record first."""

    record: Breaker


@dataclass(frozen=True, slots=True)
class Refuse:
    """The call must not be made now."""

    until: datetime
    throttled: bool
    why: str


def ask(breaker: Breaker, holder: Holder, now: datetime) -> Pass | Probe | Refuse:
    """Whether an attempt may make a call now."""
    mine = breaker.state == "half_open" and holder.same(breaker.probe)
    down = is_down(breaker, now)
    if down is not None and not mine:
        return down
    if breaker.state == "closed" or mine:  # the taker of a probe may not have heard of it
        return Pass()
    cause = f"one call is let through: {holder}"
    return Probe(_into(breaker, "half_open", now, cause, probe=holder, until=None))


def is_down(breaker: Breaker, now: datetime) -> Refuse | None:
    """Until when no call may be made, if so; None also where a probe is due."""
    if breaker.throttled_until is not None and now < breaker.throttled_until:
        why = f"{breaker.dependency} asked everybody to wait"
        return Refuse(breaker.throttled_until, throttled=True, why=why)
    match breaker.state:
        case "closed":
            return None
        case "open":
            until = breaker.until or now + timedelta(seconds=FORCED_LOOK_S)
        case "half_open":
            until = breaker.probe.deadline if breaker.probe else now
    if now >= until:
        return None
    why = f"{breaker.dependency} is down: {breaker.cause}"
    return Refuse(until, throttled=False, why=why)


def wait_s(refused: Refuse, loop: str, now: datetime) -> float:
    """Seconds until a loop should try again: not all of them at the same moment."""
    share = int.from_bytes(hashlib.sha256(loop.encode()).digest()[:4], "big") / 2**32
    return max(LEAST_WAIT_S, (refused.until - now).total_seconds()) + SPREAD_S * share


def report(
    breaker: Breaker,
    holder: Holder,
    word: Word,
    detail: str,
    now: datetime,
    *,
    retry_after_s: float | None = None,
    rules: Rules = RULES,
) -> Breaker:
    """The breaker after a call has ended; the same object where nothing changes."""
    if breaker.state == "half_open" and holder.same(breaker.probe):
        return _probed(breaker, word, detail, now, retry_after_s, rules)
    if breaker.state != "closed":
        return breaker  # of a call from before it opened: the probe tells, nothing else
    match word:
        case "answered":
            return breaker if not breaker.failures else _same(breaker, failures=0, failed_at=None)
        case "failed":
            return _counted(breaker, detail, now, rules)
        case "throttled":
            return _throttled(breaker, now, retry_after_s, rules)
        case "unknown":
            return breaker


def _probed(
    breaker: Breaker,
    word: Word,
    detail: str,
    now: datetime,
    retry_after_s: float | None,
    rules: Rules,
) -> Breaker:
    """The probe has ended: closed, or open again."""
    if word == "answered":
        cause = f"it answered the call of {breaker.probe}"
        return _closed(breaker, now, cause)
    again = breaker.opened + (word == "failed")
    wait = _cool_down_s(again if word == "failed" else 1, rules)
    if word == "throttled":
        wait = max(wait, min(retry_after_s or 0.0, rules.max_throttle_s))
    until = now + timedelta(seconds=wait)
    cause = f"the call that was let through {_WORDS[word]}" + (f": {detail}" if detail else "")
    return _into(breaker, "open", now, cause, probe=None, until=until, opened=again)


_WORDS: dict[Word, str] = {
    "answered": "was answered",
    "failed": "failed",
    "throttled": "was throttled",
    "unknown": "ended without a word",
}


def _counted(breaker: Breaker, detail: str, now: datetime, rules: Rules) -> Breaker:
    forgotten = (
        breaker.failed_at is not None and (now - breaker.failed_at).total_seconds() > rules.window_s
    )
    failures = 1 if forgotten else breaker.failures + 1
    if failures < rules.failures:
        return _same(breaker, failures=failures, failed_at=now)
    cause = f"{failures} calls in a row failed, the last: {detail}"
    until = now + timedelta(seconds=_cool_down_s(1, rules))
    changes = {"failures": failures, "failed_at": now, "opened": 1, "until": until}
    return _into(breaker, "open", now, cause, **changes)


def _throttled(
    breaker: Breaker, now: datetime, retry_after_s: float | None, rules: Rules
) -> Breaker:
    if not retry_after_s or retry_after_s <= 0:
        return breaker
    until = now + timedelta(seconds=min(retry_after_s, rules.max_throttle_s))
    if breaker.throttled_until is not None and until <= breaker.throttled_until:
        return breaker
    return _same(breaker, throttled_until=until)


def _cool_down_s(opened: int, rules: Rules) -> float:
    doubled: float = rules.cool_down_s * 2.0 ** min(max(0, opened - 1), 20)
    return min(rules.max_cool_down_s, doubled)


def force_open(breaker: Breaker, now: datetime, why: str = "") -> Breaker:
    """Held open by a person, until a person closes it."""
    cause = "a person opened it" + (f": {why}" if why else "")
    return _into(breaker, "open", now, cause, probe=None, until=None)


def force_closed(breaker: Breaker, now: datetime, why: str = "") -> Breaker:
    """Closed by a person: everything is let through again, what it was throttled for too."""
    return _closed(breaker, now, "a person closed it" + (f": {why}" if why else ""))


def _closed(breaker: Breaker, now: datetime, cause: str) -> Breaker:
    cleared = {"probe": None, "until": None, "throttled_until": None, "failed_at": None}
    return _into(breaker, "closed", now, cause, failures=0, opened=0, **cleared)


def _into(
    breaker: Breaker, state: BreakerState, now: datetime, cause: str, **changes: object
) -> Breaker:
    into = {"state": state, "previous": breaker.state, "changed_at": now, "cause": cause[:2000]}
    return breaker.model_copy(update={**changes, **into})


def _same(breaker: Breaker, **changes: object) -> Breaker:
    return breaker.model_copy(update={**changes, "previous": breaker.state})
