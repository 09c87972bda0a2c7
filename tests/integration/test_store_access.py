"""What the store's users may do, on a real server with the generated access control list."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from loopwright_cli.credentials import Credentials
from loopwright_state.core import PREFIX
from servers import Server, valkey_server


@pytest.fixture
def keys(tmp_path: Path) -> Credentials:
    made = Credentials(tmp_path / "keys")
    made.init()
    return made


@pytest.fixture
def store(keys: Credentials, tmp_path: Path) -> Iterator[Server]:
    with valkey_server(tmp_path / "valkey", users=keys.store_users()) as server:
        yield server


def _connect(store: Server, user: str, password: str) -> redis.Redis:
    return redis.Redis(port=store.port, username=user, password=password, protocol=3)


def test_the_state_service_may_read_and_write_its_keys_and_nothing_else(
    store: Server, keys: Credentials
) -> None:
    password = keys.store_password_file.read_text()
    with _connect(store, "state", password) as client:
        assert client.mset({f"{PREFIX}a": "1"})
        assert client.get(f"{PREFIX}a") == b"1"
        assert client.zadd(f"{PREFIX}b", {"x": 1})
        assert [*client.scan_iter(match=f"{PREFIX}*")]
        for refused in (
            ("SET", "other", "1"),
            ("GET", "other"),
            ("FLUSHALL",),
            ("CONFIG", "GET", "*"),
            ("KEYS", "*"),
            ("ACL", "LIST"),
            ("EVAL", "return 1", "0"),
            ("SHUTDOWN",),
            ("PUBLISH", "channel", "1"),
        ):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*refused)


def test_nobody_else_gets_more_than_a_sign_of_life(store: Server) -> None:
    with redis.Redis(port=store.port) as client, pytest.raises(redis.exceptions.RedisError):
        client.get(f"{PREFIX}a")
    with _connect(store, "probe", "any") as client:
        assert client.execute_command("PING")
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.get(f"{PREFIX}a")
