"""Credentials of an installation: an nkey for each identity, and what the servers must know.

The folder holds secrets for its owner only. `accounts.conf` is for the bus and `users.acl` for
the store; neither holds a secret in clear. A rotation keeps the keys before it valid until it is
finished, so that nothing has to stop.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import nkeys

from loopwright.errors import LoopwrightError
from loopwright.service.accounts import Login, accounts_text, identities
from loopwright.service.permissions import STATE, TENANT

_TENANT_NAME = re.compile(r"\A[a-z0-9][a-z0-9_-]{0,62}\Z")
#: What the state service may do in the store; `~` are the keys that it may touch.
STORE_RULES = (
    "~lw:* resetchannels -@all +@read +@write +@transaction +@connection -@dangerous -@blocking"
)


class CredentialsError(LoopwrightError):
    """The folder of credentials is not what was expected."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A folder with the seeds of every identity."""

    folder: Path

    @property
    def accounts_file(self) -> Path:
        """The bus's accounts, to be included by its configuration."""
        return self.folder / "accounts.conf"

    @property
    def acl_file(self) -> Path:
        """The store's users."""
        return self.folder / "users.acl"

    @property
    def store_password_file(self) -> Path:
        """The password of the state service in the store."""
        return self.folder / "store.password"

    def seed_file(self, identity: str) -> Path:
        """The seed of an identity's nkey."""
        return self.folder / f"{identity}.nk"

    def _old_seed_file(self, identity: str) -> Path:
        return self.folder / f"{identity}.old.nk"

    def tenants(self) -> tuple[str, ...]:
        """The tenants that have users."""
        found = (file.name.split(".")[0] for file in self.folder.glob(f"{TENANT}*.nk"))
        return tuple(sorted({name.removeprefix(TENANT) for name in found}))

    def init(self, tenants: Sequence[str] = ()) -> list[str]:
        """Make what is missing, and the servers' files; the identities that are new."""
        for tenant in tenants:
            if not _TENANT_NAME.match(tenant):
                raise CredentialsError(
                    f"'{tenant}' is no name of a tenant: lower-case letters, digits, - and _"
                )
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        wanted = identities(tuple({*self.tenants(), *tenants}))
        fresh = [name for name in wanted if not self.seed_file(name).exists()]
        for name in fresh:
            _secret(self.seed_file(name), _seed())
        if not self.store_password_file.exists():
            _secret(self.store_password_file, secrets.token_urlsafe(32))
        self._publish()
        return fresh

    def rotate(self, names: Sequence[str] = ()) -> list[str]:
        """Give new keys; the old ones stay valid until `finish`."""
        known = identities(self.tenants())
        for name in names or known:
            if name not in known or not self.seed_file(name).exists():
                raise CredentialsError(f"{self.folder} holds no key of '{name}'; see: init")
            self.seed_file(name).replace(self._old_seed_file(name))
            _secret(self.seed_file(name), _seed())
        self._publish()
        return list(names or known)

    def finish(self) -> list[str]:
        """Make the keys before the last rotation invalid; whose they were."""
        dropped = []
        for name in identities(self.tenants()):
            if self._old_seed_file(name).exists():
                self._old_seed_file(name).unlink()
                dropped.append(name)
        self._publish()
        return dropped

    def logins(self) -> Iterator[Login]:
        """The public key of every seed."""
        for name in identities(self.tenants()):
            for file in (self.seed_file(name), self._old_seed_file(name)):
                if file.exists():
                    yield Login(name, nkey=_public(file))

    def store_users(self) -> str:
        """The store's access control list; whoever only asks whether it lives needs no password."""
        password = self.store_password_file.read_text(encoding="ascii")
        return (
            "user default off resetpass resetkeys resetchannels -@all\n"
            "user probe on nopass resetkeys resetchannels -@all +ping\n"
            f"user {STATE} on #{hashlib.sha256(password.encode()).hexdigest()} {STORE_RULES}\n"
        )

    def _publish(self) -> None:
        _write(self.accounts_file, accounts_text(self.logins(), self.tenants()), 0o644)
        _write(self.acl_file, self.store_users(), 0o644)


def _seed() -> str:
    return bytes(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)).decode()


def _public(file: Path) -> str:
    pair = nkeys.from_seed(bytearray(file.read_bytes().strip()))
    return bytes(pair.public_key).decode()


def _secret(path: Path, text: str) -> None:
    _write(path, text, 0o600)


def _write(path: Path, text: str, mode: int) -> None:
    """Whole or not at all, and never readable by more than `mode` says."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.touch(mode=mode)
    fresh.chmod(mode)
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
