"""The folder of credentials: what is in it, who may read it, and how keys change."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from loopwright.connection import Connection, CredentialError
from loopwright.service.accounts import identities
from loopwright_cli.credentials import Credentials, CredentialsError


def _keys(here: Credentials, identity: str) -> set[str | None]:
    return {login.nkey for login in here.logins() if login.identity == identity}


def test_everyone_gets_a_key_that_only_its_owner_can_read(tmp_path: Path) -> None:
    here = Credentials(tmp_path / "keys")
    assert here.init(["acme"]) == list(identities(["acme"]))
    assert stat.S_IMODE(here.folder.stat().st_mode) == 0o700
    for name in identities(["acme"]):
        assert stat.S_IMODE(here.seed_file(name).stat().st_mode) == 0o600
        assert here.seed_file(name).read_text() not in here.accounts_file.read_text()
        assert "nkeys_seed_str" in Connection(nkey_file=here.seed_file(name)).options()
    assert here.store_password_file.read_text() not in here.acl_file.read_text()


def test_a_second_time_changes_nothing_and_a_new_tenant_is_added(tmp_path: Path) -> None:
    here = Credentials(tmp_path)
    here.init(["acme"])
    before = here.accounts_file.read_text()
    assert here.init() == []
    assert here.accounts_file.read_text() == before
    assert here.init(["new"]) == ["tenant-new"]
    assert here.tenants() == ("acme", "new")


def test_an_old_key_is_valid_until_the_rotation_is_finished(tmp_path: Path) -> None:
    here = Credentials(tmp_path)
    here.init()
    (before,) = _keys(here, "executor")
    assert here.rotate(["executor"]) == ["executor"]
    assert before in _keys(here, "executor")
    assert len(_keys(here, "executor")) == 2
    assert str(before) in here.accounts_file.read_text()
    assert here.finish() == ["executor"]
    assert before not in _keys(here, "executor")
    assert str(before) not in here.accounts_file.read_text()


def test_what_cannot_be_is_said(tmp_path: Path) -> None:
    here = Credentials(tmp_path)
    with pytest.raises(CredentialsError, match="no name of a tenant"):
        here.init(["a.b"])
    with pytest.raises(CredentialsError, match="holds no key of 'executor'"):
        here.rotate(["executor"])
    with pytest.raises(CredentialError, match="the nkey's seed cannot be read"):
        Connection(nkey_file=tmp_path / "none").options()
    with pytest.raises(CredentialError, match="the certificates cannot be read"):
        Connection(ca_file=tmp_path / "none").options()
