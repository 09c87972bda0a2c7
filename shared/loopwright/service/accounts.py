"""The bus server's accounts, made from the permissions: one account for each identity.

Permissions alone are not enough within one account: a request's reply subject is not checked
against them, so whoever may read a stream could have the server publish what it holds to any
subject. Across accounts an answer reaches the account that asked, and no other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from loopwright.service.consumers import COORDINATOR
from loopwright.service.permissions import (
    ADMIN,
    SERVICES,
    Access,
    access,
    inbox,
    users,
)
from loopwright.wire import Json

#: The account that holds the streams; its two identities write them.
CORE = "CORE"
#: JetStream's requests as they are called between accounts: the server keeps the usual name for
#: the streams of the account itself, so each account maps the usual name to this one.
_API, _CORE_API = "$JS.API.", "$JS.core.API."
#: An identity answers a request once, and within this.
_RESPONSES: dict[str, Json] = {"max": 1, "expires": "1m"}


@dataclass(frozen=True, slots=True)
class Login:
    """How one identity is known: by its public nkey, or by its name and a password."""

    identity: str
    nkey: str | None = None
    password: str | None = None


def account(identity: str) -> str:
    """The account of an identity."""
    return CORE if identity in (COORDINATOR, ADMIN) else identity


def identities(tenants: Sequence[str] = ()) -> tuple[str, ...]:
    """Everyone who needs a login."""
    return (*SERVICES, ADMIN, *users(tenants))


def accounts_text(logins: Iterable[Login], tenants: Sequence[str] = ()) -> str:
    """The `accounts` of a nats-server configuration."""
    return f"accounts: {json.dumps(accounts(logins, tenants), indent=2)}\n"


def accounts(logins: Iterable[Login], tenants: Sequence[str] = ()) -> dict[str, Json]:
    """The accounts as the server's configuration has them."""
    known = {login.identity: _user(login, tenants) for login in logins}
    guests = {name: access(name) for name in identities(tenants) if account(name) != CORE}
    core: dict[str, Json] = {
        "jetstream": "enabled",
        "mappings": {f"{_CORE_API}>": f"{_API}>"},
        "users": [known[name] for name in (ADMIN, COORDINATOR) if name in known],
        "exports": _exports(guests, CORE),
    }
    found: dict[str, Json] = {CORE: core}
    for name in guests:
        found[account(name)] = {
            "mappings": {f"{_API}>": f"{_CORE_API}>"},
            "users": [known[name]] if name in known else [],
            "imports": _imports(name, guests),
            "exports": _exports(guests, account(name)),
        }
    return found


def _provider(subject: str, guests: Mapping[str, Access]) -> str:
    """The account whose identity answers a request: the streams' unless somebody says so."""
    for name, allowed in guests.items():
        if any(_covers(pattern, subject) for pattern in allowed.answers):
            return account(name)
    return CORE


def _covers(pattern: str, subject: str) -> bool:
    """Whether a subject, or every subject of a narrower pattern, is one of this pattern's."""
    one, other = pattern.split("."), subject.split(".")
    return len(one) == len(other) and all(
        token in ("*", got) for token, got in zip(one, other, strict=True)
    )


def _imports(identity: str, guests: Mapping[str, Access]) -> list[Json]:
    allowed = guests[identity]
    services: list[Json] = [
        {
            "service": {"account": _provider(subject, guests), "subject": subject},
            "to": subject.replace(_API, _CORE_API),
        }
        for subject in (*allowed.sends, *allowed.asks)
    ]
    streams: list[Json] = [
        {"stream": {"account": CORE, "subject": subject}} for subject in _heard(identity, allowed)
    ]
    return services + streams


def _heard(identity: str, allowed: Access) -> tuple[str, ...]:
    """What comes from others; people are answered by the coordinator on their inbox."""
    is_person = identity not in SERVICES
    return (*allowed.hears, f"{inbox(identity)}.>") if is_person else allowed.hears


def _exports(guests: Mapping[str, Access], of: str) -> list[Json]:
    sent: dict[str, list[Json]] = {}
    asked: dict[str, list[Json]] = {}
    heard: dict[str, list[Json]] = {}
    for name, allowed in guests.items():
        for subject in allowed.sends:
            if _provider(subject, guests) == of:
                sent.setdefault(subject, []).append(account(name))
        if of == CORE:
            for subject in allowed.asks:
                asked.setdefault(subject, []).append(account(name))
            for subject in _heard(name, allowed):
                heard.setdefault(subject, []).append(account(name))
    return [
        *({"service": item, "accounts": to} for item, to in sent.items()),
        *(
            {"service": item, "response_type": "stream", "accounts": to}
            for item, to in asked.items()
        ),
        *({"stream": item, "accounts": to} for item, to in heard.items()),
    ]


def _user(login: Login, tenants: Sequence[str]) -> dict[str, Json]:
    found: dict[str, Json] = (
        {"nkey": login.nkey}
        if login.nkey is not None
        else {"user": login.identity, "password": login.password}
    )
    if login.identity != ADMIN:
        found["permissions"] = _permissions(login.identity, tenants)
    return found


def _permissions(identity: str, tenants: Sequence[str]) -> dict[str, Json]:
    """The same again for the connection, so that what is refused is also said."""
    allowed = access(identity, tenants)
    sends: list[Json] = [*allowed.sends, *allowed.asks]
    if account(identity) != CORE:
        sends = [str(subject).replace(_API, _CORE_API) for subject in sends]
    hears: list[Json] = [*allowed.hears, *allowed.answers, f"{inbox(identity)}.>"]
    if identity not in SERVICES:
        hears.append("_INBOX.>")  # where every tool wants its answers; their own account's only
    found: dict[str, Json] = {"publish": {"allow": sends}, "subscribe": {"allow": hears}}
    if allowed.answers:
        found["allow_responses"] = _RESPONSES
    return found
