"""How the bus is reached, and how we are known to it: the same for services and for people."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from loopwright.errors import LoopwrightError

#: Whoever says no name has this one; an installation without credentials knows no other.
DEFAULT_NAME = "operator"


class CredentialError(LoopwrightError):
    """A credential cannot be read."""


@dataclass(frozen=True, slots=True)
class Connection:
    """Address and credentials; an nkey goes before a password."""

    url: str = "nats://127.0.0.1:4222"
    name: str = DEFAULT_NAME
    """The identity; answers come to its inbox."""
    password: str | None = field(default=None, repr=False)
    nkey_file: Path | None = None
    """A file with the seed of an nkey."""
    ca_file: Path | None = None
    """The certificate authority that signed the server's certificate."""
    cert_file: Path | None = None
    """Our own certificate, where the server wants one."""
    key_file: Path | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """What LOOPWRIGHT_NATS_URL, _USER, _PASSWORD, _NKEY_FILE and _CA_FILE … say."""

        def file(name: str) -> Path | None:
            value = environ.get(f"LOOPWRIGHT_NATS_{name}_FILE")
            return Path(value) if value else None

        return cls(
            url=environ.get("LOOPWRIGHT_NATS_URL", "nats://127.0.0.1:4222"),
            name=environ.get("LOOPWRIGHT_NATS_USER") or DEFAULT_NAME,
            password=environ.get("LOOPWRIGHT_NATS_PASSWORD"),
            nkey_file=file("NKEY"),
            ca_file=file("CA"),
            cert_file=file("CERT"),
            key_file=file("KEY"),
        )

    def options(self) -> dict[str, Any]:
        """Arguments for `nats.connect` besides the address; CredentialError for a bad file."""
        found: dict[str, Any] = {"inbox_prefix": f"_INBOX_{self.name}"}
        if self.nkey_file is not None:
            found["nkeys_seed_str"] = _seed(self.nkey_file)
        elif self.password is not None:
            found |= {"user": self.name, "password": self.password}
        if self.ca_file is not None:
            found["tls"] = self._tls(self.ca_file)
        return found

    def _tls(self, ca_file: Path) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=ca_file)
            if self.cert_file is not None:
                context.load_cert_chain(self.cert_file, self.key_file)
        except (OSError, ssl.SSLError) as error:
            raise CredentialError(f"the certificates cannot be read: {error}") from error
        return context


def _seed(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise CredentialError(
            f"{path}: the nkey's seed cannot be read ({error}); LOOPWRIGHT_NATS_NKEY_FILE names "
            "the file that `loopwright credentials init` made"
        ) from error
