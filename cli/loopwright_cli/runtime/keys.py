"""The local runtime's credentials: made anew at each start, one nkey for each service.

People have a password instead, which plain NATS tools take as well.
"""

from __future__ import annotations

import base64
import secrets
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from loopwright.connection import DEFAULT_NAME
from loopwright_cli.runtime.places import Place
from loopwright_cli.runtime.servers import ProgramMissingError

#: The state service's name in the store.
STORE_USER = "state"
#: Of what signs webhooks; Standard Webhooks asks for 24 to 64.
SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Keys:
    """What the servers must know, and what the services need to be let in."""

    folder: Path
    password: str
    """Of whoever works with this installation."""
    store_password: str
    accounts: str
    store_users: str

    def environment(self, name: str) -> dict[str, str]:
        """What a service of this name (a replica's number may follow) is told of its key."""
        kind = name.split("-", maxsplit=1)[0]
        return {
            "LOOPWRIGHT_NATS_USER": kind,
            "LOOPWRIGHT_NATS_NKEY_FILE": str(self.folder / f"{kind}.nk"),
        }

    def provisioning(self, url: str) -> Callable[[], Awaitable[None]]:
        """Makes the streams as administrator."""

        async def work() -> None:
            from loopwright.service.permissions import ADMIN
            from loopwright.service.provision import provision
            from loopwright.service.settings import ServiceSettings, load

            key = self.folder / f"{ADMIN}.nk"
            found = load(ServiceSettings, nats_url=url, nats_user=ADMIN, nats_nkey_file=key)
            await provision(found)

        return work


def fresh_keys(place: Place) -> Keys:
    """New keys in place of those of the last start; ProgramMissingError without the services."""
    try:
        from loopwright.service.accounts import Login, accounts_text
        from loopwright_cli.credentials import Credentials
    except ImportError as error:
        raise ProgramMissingError(
            f"{error}; install the services with: pip install 'loopwright-cli[all]'"
        ) from error
    shutil.rmtree(place.keys, ignore_errors=True)
    made = Credentials(place.keys)
    made.init()
    for file in (made.accounts_file, made.acl_file):
        file.unlink()  # they stand in the configuration of the servers
    password = secrets.token_hex(16)
    logins = [login for login in made.logins() if login.identity != DEFAULT_NAME]
    return Keys(
        folder=place.keys,
        password=password,
        store_password=made.store_password_file.read_text(encoding="ascii"),
        accounts=accounts_text([*logins, Login(DEFAULT_NAME, password=password)]),
        store_users=made.store_users(),
    )


def notify_secret(place: Place) -> str:
    """The data folder's secret for signing webhooks, made if there is none yet."""
    file = place.notify_secret
    if not file.exists():
        fresh = file.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        fresh.touch(mode=0o600)
        made = base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode("ascii")
        fresh.write_text(f"whsec_{made}\n", encoding="ascii")
        fresh.rename(file)
    return file.read_text(encoding="ascii").strip()
