"""What one tenant may spend and run, as pure functions: leases before loops, returned at their end.

A loop's whole budget is leased when it is admitted and given back when it ends, less what it spent.
So spent + leased never passes a cap, whatever crashes in between: a lease is named by its loop, and
taking or returning it twice is doing it once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from pydantic import Field

from loopwright.budget import NOTHING, Amount, microusd
from loopwright.wire import Wire

#: Loops at once of a tenant with any quota; each is an entry of the tenant's one record.
MAX_LEASES = 1000
#: A goal that must wait is looked at again after this, in seconds.
WAIT_S = 2.0


class Quota(Wire):
    """A tenant's limits; None is without limit. Days and months are UTC."""

    usd_day: Decimal | None = Field(default=None, ge=0)
    usd_month: Decimal | None = Field(default=None, ge=0)
    usd_total: Decimal | None = Field(default=None, ge=0)
    tokens_day: int | None = Field(default=None, ge=0)
    tokens_month: int | None = Field(default=None, ge=0)
    tokens_total: int | None = Field(default=None, ge=0)
    loops: int | None = Field(default=None, ge=0, le=MAX_LEASES)
    """At once."""
    per_minute: int | None = Field(default=None, ge=1, le=1000)
    """Goals admitted a minute."""

    @property
    def dollars(self) -> bool:
        """Whether dollars are limited."""
        return any(cap is not None for cap in (self.usd_day, self.usd_month, self.usd_total))

    @property
    def tokens(self) -> bool:
        """Whether tokens are limited."""
        return any(
            cap is not None for cap in (self.tokens_day, self.tokens_month, self.tokens_total)
        )


class Period(Wire):
    """What was spent in a day (`2026-11-30`) or a month (`2026-11`)."""

    name: str = ""
    spent: Amount = NOTHING

    def at(self, name: str) -> Period:
        """The period of that name: this one, or a new one with nothing spent."""
        return self if self.name == name else Period(name=name)


class Tenant(Wire):
    """A tenant's one record."""

    tenant: str
    quota: Quota = Quota()
    day: Period = Period()
    month: Period = Period()
    total: Amount = NOTHING
    leases: dict[str, Amount] = Field(default_factory=dict)
    """Loop → what it may still spend at most."""
    admitted: tuple[datetime, ...] = ()
    """When the goals of the last minute were admitted."""

    @property
    def leased(self) -> Amount:
        """All leases together."""
        return sum(self.leases.values(), NOTHING)


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now; later it may fit."""

    why: str
    after_s: float = WAIT_S


@dataclass(frozen=True, slots=True)
class Refused:
    """It can never fit: what must change, and where."""

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a goal asks for; None where it sets no limit to something that it may spend."""

    tokens: int | None
    cost_microusd: int | None


def admit(tenant: Tenant, loop: str, wanted: Wanted, now: datetime) -> Tenant | Wait | Refused:
    """Lease a loop's budget."""
    if loop in tenant.leases:
        return tenant
    amount = _amount(tenant, wanted)
    if isinstance(amount, Refused):
        return amount
    late = _too_many(tenant, now) or _over(tenant, amount, now)
    if late is not None:
        return late
    recent = (*_recent(tenant, now), now) if tenant.quota.per_minute else ()
    return tenant.model_copy(update={"leases": {**tenant.leases, loop: amount}, "admitted": recent})


def extend(tenant: Tenant, loop: str, wanted: Wanted, now: datetime) -> Tenant | Refused:
    """Lease more for a loop that is amended."""
    held = tenant.leases.get(loop)
    if held is None:
        return tenant  # admitted before the tenant had a quota
    amount = _amount(tenant, wanted)
    if isinstance(amount, Refused):
        return amount
    grown = Amount(
        tokens=max(held.tokens, amount.tokens),
        cost_microusd=max(held.cost_microusd, amount.cost_microusd),
    )
    without = {name: lease for name, lease in tenant.leases.items() if name != loop}
    over = _over(tenant.model_copy(update={"leases": without}), grown, now)
    if over is not None:
        return Refused("budget", over.why)
    return tenant.model_copy(update={"leases": {**without, loop: grown}})


def release(tenant: Tenant, loop: str, spent: Amount, now: datetime) -> Tenant:
    """Give back what an ended loop did not spend; the same object where it has no lease."""
    if loop not in tenant.leases:
        return tenant
    leases = {name: lease for name, lease in tenant.leases.items() if name != loop}
    day, month = _periods(tenant, now)
    return tenant.model_copy(
        update={
            "leases": leases,
            "day": Period(name=day.name, spent=day.spent + spent),
            "month": Period(name=month.name, spent=month.spent + spent),
            "total": tenant.total + spent,
        }
    )


def _amount(tenant: Tenant, wanted: Wanted) -> Amount | Refused:
    """The lease; a goal without a limit of its own cannot be held to its tenant's."""
    for limited, asked, name in (
        (tenant.quota.dollars, wanted.cost_microusd, "usd"),
        (tenant.quota.tokens, wanted.tokens, "tokens"),
    ):
        if limited and asked is None:
            why = f"the tenant '{tenant.tenant}' has a limit of {name}, so a goal must set its own"
            return Refused(f"budget.{name}", why)
    return Amount(tokens=wanted.tokens or 0, cost_microusd=wanted.cost_microusd or 0)


def _too_many(tenant: Tenant, now: datetime) -> Wait | None:
    loops = tenant.quota.loops
    most = MAX_LEASES if loops is None else loops
    if len(tenant.leases) >= most:
        return Wait(f"{len(tenant.leases)} loops run, the tenant may have {most} at once")
    recent, rate = _recent(tenant, now), tenant.quota.per_minute
    if rate is not None and len(recent) >= rate:
        after = (recent[0] + timedelta(minutes=1) - now).total_seconds()
        return Wait(f"{len(recent)} goals were admitted within a minute", max(0.1, after))
    return None


def _recent(tenant: Tenant, now: datetime) -> tuple[datetime, ...]:
    return tuple(at for at in tenant.admitted if now - at < timedelta(minutes=1))


def _periods(tenant: Tenant, now: datetime) -> tuple[Period, Period]:
    return tenant.day.at(now.strftime("%Y-%m-%d")), tenant.month.at(now.strftime("%Y-%m"))


def _over(tenant: Tenant, amount: Amount, now: datetime) -> Wait | Refused | None:
    """The first cap that the lease would pass, if any."""
    quota, leased = tenant.quota, tenant.leased
    day, month = _periods(tenant, now)
    caps = (
        ("a day", quota.usd_day, quota.tokens_day, day.spent),
        ("a month", quota.usd_month, quota.tokens_month, month.spent),
        ("in all", quota.usd_total, quota.tokens_total, tenant.total),
    )
    for when, usd, tokens, spent in caps:
        for path, cap, used, held, asked in (
            (
                "budget.usd",
                None if usd is None else microusd(usd),
                spent.cost_microusd,
                leased.cost_microusd,
                amount.cost_microusd,
            ),
            ("budget.tokens", tokens, spent.tokens, leased.tokens, amount.tokens),
        ):
            if cap is None or used + held + asked <= cap:
                continue
            unit = "micro-dollars" if path == "budget.usd" else "tokens"
            why = (
                f"the goal asks for {asked} {unit}; the tenant may spend {cap} {when}, "
                f"{used} are spent and {held} are leased to its loops"
            )
            never = asked > cap or (when == "in all" and used + asked > cap)
            return Refused(path, why) if never else Wait(why)
    return None
