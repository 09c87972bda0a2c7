"""The tenants of an installation over a connection: what people list, show and set."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from nats.aio.client import Client as Nats
from pydantic import ValidationError

from loopwright import subjects
from loopwright.errors import LoopwrightError
from loopwright.records import Records
from loopwright.tenant import Quota, Tenant
from loopwright.wire import Json

_NAME = re.compile(r"^[A-Za-z0-9_-]{1,64}$")


class TenantError(LoopwrightError):
    """What was named is no tenant, or no quota."""


@dataclass(frozen=True, slots=True)
class Tenants:
    """The TENANTS stream."""

    nc: Nats

    @property
    def records(self) -> Records[Tenant]:
        """The records themselves."""
        return Records(self.nc, subjects.TENANTS, Tenant)

    async def ls(self) -> list[Tenant]:
        """Every tenant with a quota."""
        return await self.records.all("tenant.*")

    async def show(self, name: str) -> Tenant:
        """One tenant; one that nobody set a quota for has none."""
        record, _ = await self.records.get(subjects.tenant(_checked(name)))
        return record or Tenant(tenant=name)

    async def set(self, name: str, changes: Mapping[str, Json], *, clear: bool = False) -> Tenant:
        """Change fields of the quota; `clear` begins with none. Raises TenantError."""

        def change(known: Tenant | None) -> Tenant:
            before = known or Tenant(tenant=name)
            base = {} if clear else before.quota.model_dump()
            return before.model_copy(update={"quota": Quota.model_validate({**base, **changes})})

        try:
            after = await self.records.change(subjects.tenant(_checked(name)), change)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise TenantError(f"the quota is wrong: {where}: {first['msg']}") from error
        assert after is not None
        return after


def _checked(name: str) -> str:
    if not _NAME.match(name):
        raise TenantError(f"'{name}' is no tenant's name: letters, digits, _ and -, at most 64")
    return name
