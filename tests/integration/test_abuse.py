"""Ten abuses on every sandbox level that runs here: each is contained, and the rest goes on."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from loopwright.service.sandbox import (
    BwrapSandbox,
    Command,
    Completed,
    LandlockSandbox,
    Limits,
    Sandbox,
    probe,
)

MIB = 1024 * 1024
LEVELS: tuple[Sandbox, ...] = tuple(
    sandbox
    for sandbox in (LandlockSandbox(), BwrapSandbox())
    if asyncio.run(probe(sandbox)).level == sandbox.level
)


@dataclass(frozen=True)
class Place:
    """A workspace, and a secret outside it that every user of the machine may read and write."""

    workspace: Path
    secret: Path


@pytest.fixture
def place() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="lwtest-") as name:
        top = Path(name)
        top.chmod(0o711)
        (top / "workspace").mkdir()
        (top / "secret").write_text("the secret")
        (top / "secret").chmod(0o666)
        yield Place(top / "workspace", top / "secret")


@pytest.fixture(params=LEVELS, ids=lambda sandbox: sandbox.level)
def level(request: pytest.FixtureRequest) -> Sandbox:
    found = request.param
    assert isinstance(found, LandlockSandbox | BwrapSandbox)
    return found


async def abuse(level: Sandbox, place: Place, code: str, *args: str, **limits: float) -> Completed:
    """Run a program that means harm, within small limits."""
    small = {
        "wall_s": 60.0, "memory_bytes": 256 * MIB, "processes": 32, "file_bytes": 16 * MIB,
        "output_bytes": MIB, "disk_bytes": 32 * MIB, **limits,
    }  # fmt: skip
    command = Command(
        argv=(sys.executable, "-I", "-S", "-c", code, *args),
        cwd=place.workspace,
        writable=(place.workspace,),
        limits=Limits(**small),  # type: ignore[arg-type]
    )
    done = await level.run(command)
    assert done.isolation == level.level
    return done


async def test_a_fork_bomb_is_contained(level: Sandbox, place: Place) -> None:
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    assert (await abuse(level, place, bomb, wall_s=2.0)).killed_by in ("wall", "cpu", "memory")


async def test_memory_is_contained(level: Sandbox, place: Place) -> None:
    done = await abuse(level, place, "x = bytearray(2**31)")
    assert done.exit_code != 0
    assert done.max_rss_bytes < 300 * MIB


async def test_a_full_disk_is_contained(level: Sandbox, place: Place) -> None:
    code = "import itertools\nfor n in itertools.count(): open(str(n), 'wb').write(bytes(2**20))"
    assert (await abuse(level, place, code)).killed_by == "disk"


async def test_a_zip_bomb_is_contained(level: Sandbox, place: Place) -> None:
    code = (
        "import zipfile, os\n"
        "with zipfile.ZipFile('b.zip', 'w', zipfile.ZIP_DEFLATED) as z:\n"
        "    with z.open('big', 'w') as f:\n"
        "        for _ in range(100): f.write(bytes(2**20))\n"
        "assert os.path.getsize('b.zip') < 2**20\n"
        "zipfile.ZipFile('b.zip').extractall('.')"
    )
    done = await abuse(level, place, code)
    assert done.exit_code != 0
    assert sum(f.stat().st_size for f in place.workspace.iterdir()) <= 20 * MIB


async def test_a_flood_of_output_is_contained(level: Sandbox, place: Place) -> None:
    assert (await abuse(level, place, "while True: print('x' * 10000)")).killed_by == "output"


async def test_the_network_is_out_of_reach(level: Sandbox, place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        tcp = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 5)"
        assert "PermissionError" in (await abuse(level, place, tcp, port)).stderr.text()
        udp = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)"
        assert "PermissionError" in (await abuse(level, place, udp)).stderr.text()


@pytest.mark.parametrize("path", ["absolute", "relative"])
async def test_no_path_leads_out(level: Sandbox, place: Place, path: str) -> None:
    name = str(place.secret) if path == "absolute" else "../secret"
    for code in ("print(open(sys.argv[1]).read())", "open(sys.argv[1], 'w').write('changed')"):
        done = await abuse(level, place, f"import sys; {code}", name)
        assert done.exit_code == 1
        assert "the secret" not in done.stdout.text()
    assert place.secret.read_text() == "the secret"


async def test_no_link_leads_out(level: Sandbox, place: Place) -> None:
    code = "import os, sys; os.symlink(sys.argv[1], 'l'); open('l', 'r+').write('changed')"
    assert (await abuse(level, place, code, str(place.secret))).exit_code == 1
    hard = "import os, sys; os.link(sys.argv[1], 'h'); print(open('h').read())"
    assert (await abuse(level, place, hard, str(place.secret))).exit_code == 1
    assert place.secret.read_text() == "the secret"


async def test_secrets_of_the_service_are_not_there(
    level: Sandbox, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOPWRIGHT_SECRETS", "canary-of-the-service")
    code = (
        "import os, sys\n"
        "print(dict(os.environ))\n"
        "for path in (f'/proc/{sys.argv[1]}/environ', '/etc/shadow', '/root', '/home'):\n"
        "    try: print(open(path).read() if os.path.isfile(path) else os.listdir(path))\n"
        "    except OSError as error: print(path, error.strerror)\n"
    )
    done = await abuse(level, place, code, str(os.getpid()))
    assert done.exit_code == 0, done.stderr.text()
    assert "canary" not in done.stdout.text()
    assert "root:" not in done.stdout.text()


async def test_no_signal_reaches_others(level: Sandbox, place: Place) -> None:
    victim = await asyncio.create_subprocess_exec("sleep", "600")
    try:
        code = "import os, sys; os.kill(int(sys.argv[1]), 9)"
        done = await abuse(level, place, code, str(victim.pid))
        assert done.exit_code == 1
        assert "Error" in done.stderr.text()
        assert victim.returncode is None
    finally:
        victim.kill()
        await victim.wait()
