"""The sandbox under attack. Each attack is also run without it, where it must succeed.

As root the whole file is run once more by an ordinary user, see the last test.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import resource
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from loopwright.service import sandbox as sandbox_package
from loopwright.service.sandbox import (
    Command,
    Completed,
    LandlockSandbox,
    Limits,
    NoSandbox,
    Sandbox,
    SandboxUnavailableError,
    choose,
    landlock,
    make_root,
    probe,
)
from loopwright.service.sandbox.inside import identity

ROOT = os.geteuid() == 0
NOBODY = 65534
MIB = 1024 * 1024
PYTHON = (sys.executable, "-I", "-S")

pytestmark = pytest.mark.skipif(landlock.abi() == 0, reason="this kernel has no Landlock")
as_root = pytest.mark.skipif(not ROOT, reason="only root can change users")


@dataclass(frozen=True)
class Place:
    """A workspace and what lies outside it, open to every user so that only the sandbox guards."""

    workspace: Path
    outside: Path
    secret: Path
    tcp_port: int
    socket_path: Path
    datagram_path: Path
    abstract_name: str

    def arguments(self) -> tuple[str, ...]:
        return (
            str(self.outside), str(self.secret), str(self.tcp_port), str(self.socket_path),
            str(self.datagram_path), self.abstract_name, str(os.getpid()),
        )  # fmt: skip


@pytest.fixture
def place() -> Iterator[Place]:
    with contextlib.ExitStack() as stack:
        top = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lwtest-")))
        top.chmod(0o711)
        workspace, outside, secret = top / "workspace", top / "outside", top / "secret"
        workspace.mkdir()
        outside.mkdir()
        outside.chmod(0o777)
        secret.write_text("the secret")
        secret.chmod(0o666)
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        abstract_name = secrets.token_hex(8)
        for kind, address in (
            (socket.SOCK_STREAM, str(top / "stream")),
            (socket.SOCK_DGRAM, str(top / "datagram")),
            (socket.SOCK_STREAM, f"\0{abstract_name}"),
        ):
            listener = stack.enter_context(socket.socket(socket.AF_UNIX, kind))
            listener.bind(address)
            if kind == socket.SOCK_STREAM:
                listener.listen()
            if not address.startswith("\0"):
                Path(address).chmod(0o777)
        yield Place(
            workspace, outside, secret, tcp.getsockname()[1],
            top / "stream", top / "datagram", abstract_name,
        )  # fmt: skip


def command(
    place: Place, *argv: str, stdin: bytes = b"", limits: Limits | None = None, **env: str
) -> Command:
    return Command(
        argv=argv,
        cwd=place.workspace,
        writable=(place.workspace,),
        env=env,
        stdin=stdin,
        limits=limits or Limits(wall_s=30.0),
    )


async def python(
    place: Place,
    code: str,
    *args: str,
    limits: Limits | None = None,
    sandbox: Sandbox | None = None,
) -> Completed:
    line = command(place, *PYTHON, "-c", code, *args, limits=limits)
    return await (sandbox or LandlockSandbox()).run(line)


def alive(marker: str) -> list[int]:
    """Processes with `marker` in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and entry.name != str(os.getpid()):
            with contextlib.suppress(OSError):
                if marker.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found


async def until(condition: Callable[[], object], what: str, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"never came: {what}"
        await asyncio.sleep(0.01)


# What a command can do


async def test_output_exit_code_and_isolation_are_reported(place: Place) -> None:
    line = command(place, "sh", "-c", "echo out; echo err >&2; exit 3")
    done = await LandlockSandbox().run(line)
    assert (done.exit_code, done.signal, done.killed_by) == (3, None, None)
    assert (done.stdout.text(), done.stderr.text()) == ("out\n", "err\n")
    assert done.isolation == "landlock"
    assert 0 < done.duration_s < 30
    assert done.max_rss_bytes > 100_000


async def test_stdin_is_read_and_may_be_large(place: Place) -> None:
    done = await LandlockSandbox().run(command(place, "wc", "-c", stdin=b"x" * 3_000_000))
    assert done.stdout.text().strip() == "3000000"


async def test_stdin_is_empty_by_default(place: Place) -> None:
    done = await LandlockSandbox().run(command(place, "cat"))
    assert (done.exit_code, done.stdout.total_bytes) == (0, 0)


async def test_git_python_and_sh_work(place: Place) -> None:
    script = (
        "set -e; git init -q .; git config user.name a; git config user.email a@b; echo 1 > f;"
        "git add f; git commit -qm one; git log --oneline | wc -l; python -c 'import ssl, json;"
        'print(__import__("tempfile").mkdtemp()[:5])\'; echo there > /dev/stderr; ls | sort'
    )
    done = await LandlockSandbox().run(command(place, "sh", "-c", script))
    assert done.exit_code == 0, done.stderr.text()
    assert done.stderr.text() == "there\n"
    assert done.stdout.text().split()[0] == "1"
    assert done.stdout.text().split()[-1] == "f"


async def test_pytest_works(place: Place) -> None:
    (place.workspace / "test_it.py").write_text("def test_it(tmp_path): assert tmp_path.is_dir()\n")
    done = await LandlockSandbox().run(command(place, "python", "-m", "pytest", "-q", "test_it.py"))
    assert done.exit_code == 0, done.stdout.text() + done.stderr.text()


async def test_threads_and_subprocesses_work(place: Place) -> None:
    code = (
        "import os, threading, asyncio\n"
        "t = threading.Thread(target=os.write, args=(1, b'thread\\n')); t.start(); t.join()\n"
        "async def main():\n"
        "    p = await asyncio.create_subprocess_exec('echo', 'child'); await p.wait()\n"
        "asyncio.run(main())\n"
    )
    done = await python(place, code)
    assert done.stdout.text() == "thread\nchild\n", done.stderr.text()


async def test_written_files_belong_to_the_service_afterwards(place: Place) -> None:
    await LandlockSandbox().run(
        command(place, "sh", "-c", "mkdir -p a/b; echo x > a/b/c; ln -s / l")
    )
    owners = {path.lstat().st_uid for path in place.workspace.rglob("*")}
    assert owners == {os.geteuid()}
    assert place.workspace.stat().st_uid == os.geteuid()
    assert (place.workspace / "a/b/c").read_text() == "x\n"


async def test_files_of_the_service_can_be_changed_in_the_workspace(place: Place) -> None:
    file = place.workspace / "mine"
    file.write_text("old")
    file.chmod(0o600)
    done = await LandlockSandbox().run(command(place, "sh", "-c", "cat mine; echo new > mine"))
    assert done.exit_code == 0, done.stderr.text()
    assert file.read_text() == "new\n"


async def test_readable_folders_can_be_read_and_not_written(place: Place) -> None:
    line = Command(
        ("sh", "-c", "cat $1/f; echo x > $1/f", "sh", str(place.outside)),
        place.workspace,
        (place.workspace,),
        readable=(place.outside,),
    )
    (place.outside / "f").write_text("shown")
    (place.outside / "f").chmod(0o666)
    done = await LandlockSandbox().run(line)
    assert done.stdout.text() == "shown"
    assert (place.outside / "f").read_text() == "shown"


async def test_environment_is_clean(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOPWRIGHT_NATS_PASSWORD", "hunter2")
    done = await LandlockSandbox().run(command(place, "env", GIVEN="yes"))
    found = dict(line.split("=", 1) for line in done.stdout.text().splitlines())
    assert set(found) == {"PATH", "HOME", "TMPDIR", "LANG", "GIT_CONFIG_NOSYSTEM", "GIVEN"}
    assert not Path(found["HOME"]).exists()


async def test_no_descriptor_is_inherited(place: Place) -> None:
    with (place.outside / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        code = (
            "import os\n"
            "for fd in range(3, 256):\n"
            "    try: os.fstat(fd); print(fd)\n"
            "    except OSError: pass\n"
        )
        done = await python(place, code)
    assert (done.exit_code, done.stdout.text()) == (0, "")


async def test_limits_are_set(place: Place) -> None:
    code = (
        "import resource as r\n"
        "print(*[r.getrlimit(x)[1] for x in (r.RLIMIT_CORE, r.RLIMIT_AS, r.RLIMIT_FSIZE,"
        " r.RLIMIT_NOFILE)])"
    )
    limits = Limits(memory_bytes=300 * MIB, file_bytes=5 * MIB, open_files=99)
    done = await python(place, code, limits=limits)
    assert done.stdout.text().split() == ["0", str(300 * MIB), str(5 * MIB), "99"]


# Bad usage


@pytest.mark.parametrize(
    ("script", "code", "sentence"),
    [
        (("no-such-program",), 127, "no-such-program: not found in "),
        (("./no-such-file",), 127, "./no-such-file: not found"),
        (("./data",), 126, "./data: Permission denied"),
    ],
)
async def test_a_program_that_cannot_be_run_is_named(
    place: Place, script: tuple[str, ...], code: int, sentence: str
) -> None:
    (place.workspace / "data").write_text("x")
    done = await LandlockSandbox().run(command(place, *script))
    assert done.exit_code == code
    assert sentence in done.stderr.text()


async def test_a_missing_working_folder_is_named(place: Place) -> None:
    gone = place.workspace / "gone"
    done = await LandlockSandbox().run(Command(("true",), gone, (place.workspace,)))
    assert done.exit_code == 127
    assert f"the working folder {gone} cannot be entered" in done.stderr.text()


async def test_death_by_a_signal_is_told_as_a_shell_does(place: Place) -> None:
    done = await LandlockSandbox().run(command(place, "sh", "-c", "kill -SEGV $$"))
    assert (done.exit_code, done.signal, done.killed_by) == (139, signal.SIGSEGV, None)


async def test_empty_argv_is_refused(place: Place) -> None:
    with pytest.raises(ValueError, match="argv is empty"):
        await LandlockSandbox().run(command(place))


async def test_a_system_folder_is_not_lent(place: Place) -> None:
    with pytest.raises(ValueError, match="writable: /usr"):
        await LandlockSandbox().run(Command(("true",), place.workspace, (Path("/usr"),)))
    assert Path("/usr").stat().st_uid == 0


# Attacks: in the sandbox each is refused, outside each works

PRELUDE = """
import ctypes, fcntl, os, resource, signal, socket, sys
outside, secret, port, stream, datagram, abstract, service = sys.argv[1:]
service = int(service)
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *args):
    if getattr(libc, name)(*args) < 0 and ctypes.get_errno() in (1, 13):
        raise PermissionError(ctypes.get_errno(), name)
def syscall(number, *args): call("syscall", ctypes.c_long(number), *args)
def attack():
    ATTACK
try:
    attack()
except OSError as error:  # EPERM, EACCES; EXDEV is Landlock's answer to a link across
    sys.exit(77 if error.errno in (1, 13, 18) else repr(error))
"""

ATTACKS = {
    "write a file outside": "open(outside + '/new', 'w')",
    "write over a file outside": "open(secret, 'w')",
    "truncate a file outside": "os.truncate(secret, 0)",
    "delete a file outside": "os.unlink(secret) if os.access(outside, 2) else None; "
    "open(outside + '/x', 'w'); os.unlink(outside + '/x')",
    "read a secret": "open(secret).read()",
    "read a secret through a link": "os.symlink(secret, 'link'); open('link').read()",
    "read a secret through a folder's link": "os.symlink(os.path.dirname(secret), 'up'); "
    "open('up/' + os.path.basename(secret)).read()",
    "read a secret through ..": "open('../' + os.path.basename(secret)).read()",
    "list a folder outside": "os.listdir(outside)",
    "link a secret into the workspace": "os.link(secret, 'hard')",
    "move a file out": "open('mine', 'w').close(); os.rename('mine', outside + '/mine')",
    "read the service's environment": "open(f'/proc/{service}/environ', 'rb').read()",
    "read the service's command line": "open(f'/proc/{service}/cmdline', 'rb').read()",
    "read the supervisor's memory map": "open(f'/proc/{os.getppid()}/maps', 'rb').read()",
    "connect over TCP": "socket.create_connection(('127.0.0.1', int(port)), 5)",
    "listen on TCP": "socket.create_server(('127.0.0.1', 0))",
    "send over UDP": "socket.socket(2, 2).sendto(b'x', ('127.0.0.1', int(port)))",
    "open IPv6": "socket.socket(socket.AF_INET6, 2)",
    "open netlink": "socket.socket(16, 3, 0)",
    "connect to a unix socket": "socket.socket(1).connect(stream)",
    "connect to an abstract unix socket": "socket.socket(1).connect(chr(0) + abstract)",
    "send from a datagram pair to a unix socket": "a, b = socket.socketpair(1, 2); "
    "b.close(); a.sendto(b'x', datagram)",
    "signal the service": "os.kill(service, 0)",
    "signal the service's group": "os.kill(-os.getpgid(service), 0)",
    "signal the supervisor": "os.kill(os.getppid(), 0)",
    "signal a thread of the service": "syscall(234, service, service, 0)",
    "queue a signal to the supervisor": "info = (ctypes.c_int * 32)(0, 0, -1); "
    "syscall(129, os.getppid(), 1, info) if 0 else syscall(200, os.getppid(), 0)",
    "own a file's signals": "r, w = os.pipe(); fcntl.fcntl(r, fcntl.F_SETOWN, os.getppid())",
    "look at the supervisor's limits": "resource.prlimit(os.getppid(), resource.RLIMIT_CPU)",
    "slow the supervisor down": "os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)",
    "be traced": "call('ptrace', 0, 0, 0, 0)",
    "read the supervisor's memory": "b = ctypes.create_string_buffer(16); "
    "v = (ctypes.c_void_p * 2)(ctypes.addressof(b), 16); "
    "syscall(310, os.getppid(), v, 1, v, 1, 0)",
    "make a user namespace": "call('unshare', 0x10000000)",
    "set up io_uring": "syscall(425, 1, ctypes.create_string_buffer(256))",
    "add a key": "syscall(248, b'user', b'x', b'y', 1, -3)",
    "change the personality": "call('personality', 0xffffffff)",
    "make a message queue": "call('msgget', 0, 0o600)",
}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the attacks name x86_64's numbers")
@pytest.mark.parametrize("name", ATTACKS)
async def test_attack_is_refused_and_works_without_a_sandbox(place: Place, name: str) -> None:
    code = PRELUDE.replace("ATTACK", ATTACKS[name])
    inside = await python(place, code, *place.arguments())
    assert inside.exit_code == 77, inside.stderr.text()
    assert place.secret.read_text() == "the secret"
    shutil.rmtree(place.workspace)
    place.workspace.mkdir()
    outside = await python(place, code, *place.arguments(), sandbox=NoSandbox())
    if outside.exit_code == 77 and "CI" not in os.environ:
        pytest.skip("this machine refuses it on its own, as a chroot or a container does")
    assert outside.exit_code == 0, outside.stderr.text()


async def test_no_new_privileges_and_no_capabilities(place: Place) -> None:
    code = (
        "import ctypes\n"
        "libc = ctypes.CDLL(None)\n"
        "sets = (ctypes.c_uint32 * 6)()\n"
        "assert libc.capget((ctypes.c_uint32 * 2)(0x20080522, 0), sets) == 0\n"
        "print(libc.prctl(39, 0, 0, 0, 0), *sets)"
    )
    done = await python(place, code)
    assert done.stdout.text().split() == ["1", *["0"] * 6]


@as_root
async def test_a_set_user_id_program_gives_nothing(place: Place) -> None:
    program = place.outside / "id"
    shutil.copy(shutil.which("id") or "", program)
    program.chmod(0o4755)
    line = Command((str(program), "-u"), place.workspace, (place.workspace,), (place.outside,))
    done = await LandlockSandbox().run(line)
    assert int(done.stdout.text()) >= identity.FIRST_UID
    control = subprocess.run([program, "-u"], user=NOBODY, capture_output=True, check=True)
    assert control.stdout == b"0\n"


async def test_a_set_user_id_bit_does_not_outlive_the_command(place: Place) -> None:
    line = command(place, "sh", "-c", "cp /bin/sh mine; chmod 6755 mine; ls -l mine")
    done = await LandlockSandbox().run(line)
    assert "rws" in done.stdout.text()
    assert (place.workspace / "mine").stat().st_mode & 0o7777 == 0o755


@as_root
async def test_a_file_with_another_name_outside_is_not_lent(place: Place) -> None:
    os.link(place.secret, place.workspace / "cache")
    place.secret.chmod(0o644)
    line = command(place, "sh", "-c", "cat cache; echo x > cache")
    done = await LandlockSandbox().run(line)
    assert done.stdout.text() == "the secret"
    assert done.exit_code != 0
    assert (place.secret.read_text(), place.secret.stat().st_uid) == ("the secret", 0)


@as_root
async def test_links_are_not_followed_when_folders_change_hands(place: Place) -> None:
    (place.workspace / "file").symlink_to(place.secret)
    (place.workspace / "folder").symlink_to(place.outside)
    (place.outside / "f").write_text("x")
    check = f"stat -c %u {place.secret} {place.outside} {place.outside}/f; stat -c %u file"
    done = await LandlockSandbox().run(command(place, "sh", "-c", check))
    *others, own = map(int, done.stdout.text().split())
    assert others == [0, 0, 0]
    assert own >= identity.FIRST_UID


@as_root
async def test_commands_have_users_of_their_own(place: Place) -> None:
    second = place.outside
    lines = [Command(("id", "-u"), folder, (folder,)) for folder in (place.workspace, second)]
    done = await asyncio.gather(*map(LandlockSandbox().run, lines))
    users = {int(each.stdout.text()) for each in done}
    assert len(users) == 2
    assert min(users) >= identity.FIRST_UID


@as_root
async def test_a_workspace_behind_a_closed_folder_is_reached(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    workspace = closed / "deep" / "workspace"
    workspace.mkdir(parents=True)
    closed.chmod(0o700)
    (closed / "hidden").write_text("x")
    script = "echo x > f; ls -a ../.. | tr '\\n' ' '"
    done = await LandlockSandbox().run(Command(("sh", "-c", script), workspace, (workspace,)))
    assert (workspace / "f").read_text() == "x\n", done.stderr.text()
    assert "hidden" not in done.stdout.text()


IN_A_CHROOT = """
import asyncio, os, sys
from pathlib import Path
from loopwright.service.sandbox import Command, LandlockSandbox
from loopwright.service.sandbox.inside import kernel

root = Path(sys.argv[1])
kernel.private_mounts()
for path in Path("/").iterdir():
    if path.is_symlink():
        (root / path.name).symlink_to(os.readlink(path))
    elif path.is_dir():
        (root / path.name).mkdir()
        kernel.mount(str(path), str(root / path.name), None, 4096 | 16384)
os.chroot(root)
os.chdir("/")
workspace = Path("/closed/workspace")
workspace.mkdir(parents=True)
workspace.parent.chmod(0o700)
done = asyncio.run(LandlockSandbox().run(Command(("pwd",), workspace, (workspace,))))
print(done.exit_code, done.stdout.text(), done.stderr.text())
"""


@as_root
def test_a_workspace_behind_a_closed_folder_is_reached_in_a_chroot(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    argv = [sys.executable, "-c", IN_A_CHROOT, str(root)]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.stdout.split() == ["0", "/closed/workspace"], done.stdout + done.stderr


def test_a_root_for_workspaces_can_be_passed_and_not_listed(tmp_path: Path) -> None:
    folder = make_root(tmp_path / "a" / "b")
    assert [path.stat().st_mode & 0o777 for path in (folder, folder.parent)] == [0o711, 0o711]


# Limits

FORK_ALL = """
import os, sys
n = 0
try:
    while n < 2000:
        if os.fork() == 0:
            os.execvp("sleep", ["sleep", sys.argv[1]])
        n += 1
except BlockingIOError:
    pass
print(n)
"""


def marker() -> str:
    """An argument for `sleep` that no other process has."""
    return f"{600 + secrets.randbelow(300)}.{secrets.randbelow(10**12):012}"


async def test_processes_are_limited(place: Place) -> None:
    mark = marker()
    done = await python(place, FORK_ALL, mark, limits=Limits(processes=20, wall_s=20))
    assert 1 <= int(done.stdout.text()) < 20
    assert alive(mark) == []


async def test_a_fork_bomb_is_contained_and_ended(place: Place) -> None:
    mark = marker()
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    done = await python(place, bomb, mark, limits=Limits(wall_s=1.0, processes=40))
    assert done.killed_by == "wall"
    assert done.duration_s < 10
    assert alive(mark) == []


async def test_a_process_that_keeps_changing_its_pid_is_ended(place: Place) -> None:
    mark = marker()
    comet = "import os\nwhile True:\n    if os.fork(): os._exit(0)\n    os.setsid()"
    code = f"import os, time\nif os.fork() == 0:\n    exec({comet!r})\ntime.sleep(600)"
    done = await python(place, code, mark, limits=Limits(wall_s=0.5))
    assert done.killed_by == "wall"
    assert alive(mark) == []


async def test_daemons_are_ended_with_the_command(place: Place) -> None:
    mark = marker()
    script = f"setsid sleep {mark} & (setsid setsid sleep {mark} &) ; nohup sleep {mark} & echo ok"
    done = await LandlockSandbox().run(command(place, "sh", "-c", script))
    assert (done.exit_code, done.stdout.text()) == (0, "ok\n")
    assert alive(mark) == []


async def test_memory_of_one_process_is_limited(place: Place) -> None:
    code = "b = bytearray(400 * 2**20)"
    done = await python(place, code, limits=Limits(memory_bytes=200 * MIB))
    assert done.exit_code == 1
    assert "MemoryError" in done.stderr.text()


async def test_memory_of_the_tree_is_limited(place: Place) -> None:
    code = (
        "import os, time\n"
        "for _ in range(5):\n"
        "    if os.fork() == 0: b = b'x' * (120 * 2**20); time.sleep(60)\n"
        "time.sleep(60)"
    )
    done = await python(place, code, limits=Limits(memory_bytes=200 * MIB))
    assert (done.killed_by, done.exit_code) == ("memory", None)
    assert done.max_rss_bytes > 200 * MIB


async def test_memory_without_a_process_is_counted(place: Place) -> None:
    code = (
        "import os, time\n"
        "fds = [os.memfd_create('x') for _ in range(10)]\n"
        "for fd in fds: os.write(fd, b'x' * (30 * 2**20))\n"
        "time.sleep(60)"
    )
    done = await python(place, code, limits=Limits(memory_bytes=150 * MIB))
    assert done.killed_by == "memory"


async def test_a_flood_of_output_ends_the_command(place: Place) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    flood = "yes | head -c 50000000; sleep 60"
    done = await LandlockSandbox().run(command(place, "sh", "-c", flood))
    assert done.killed_by == "output"
    assert 4 * MIB < done.stdout.total_bytes < 50_000_000
    assert len(done.stdout.head) + len(done.stdout.tail) == 16 * 1024
    assert "bytes left out" in done.stdout.text()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


async def test_stdout_and_stderr_share_the_limit(place: Place) -> None:
    script = "head -c 600 /dev/zero; head -c 600 /dev/zero >&2; sleep 60"
    limits = Limits(output_bytes=1000, wall_s=30)
    done = await LandlockSandbox().run(command(place, "sh", "-c", script, limits=limits))
    assert done.killed_by == "output"


async def test_a_file_is_limited(place: Place) -> None:
    code = "open('big', 'wb').write(bytes(3 * 2**20))"
    done = await python(place, code, limits=Limits(file_bytes=MIB))
    assert "File too large" in done.stderr.text()
    assert (place.workspace / "big").stat().st_size <= MIB


FILL = """
import os, sys, time
for n in range(60):
    fd = os.open(sys.argv[1] + str(n), os.O_CREAT | os.O_WRONLY)
    os.write(fd, b'x' * 2**20)
    if sys.argv[2] == 'unlink': os.unlink(sys.argv[1] + str(n))
if sys.argv[3] == 'stay': time.sleep(60)
"""


@pytest.mark.parametrize(
    ("unlink", "stay"), [("keep", "stay"), ("unlink", "stay"), ("keep", "leave")]
)
@pytest.mark.parametrize("where", ["./", "$TMPDIR/"])
async def test_the_disk_is_limited(place: Place, where: str, unlink: str, stay: str) -> None:
    (place.workspace / "before").write_bytes(bytes(40 * MIB))
    script = f'exec python -I -S -c "$0" {where} {unlink} {stay}'
    limits = Limits(disk_bytes=30 * MIB, wall_s=30)
    done = await LandlockSandbox().run(command(place, "sh", "-c", script, FILL, limits=limits))
    assert (done.killed_by, done.exit_code) == ("disk", None), done.stderr.text()


async def test_a_full_workspace_may_be_used(place: Place) -> None:
    (place.workspace / "before").write_bytes(bytes(40 * MIB))
    done = await LandlockSandbox().run(command(place, "true", limits=Limits(disk_bytes=10 * MIB)))
    assert (done.exit_code, done.killed_by) == (0, None)


async def test_the_wall_clock_ends_a_command(place: Place) -> None:
    done = await LandlockSandbox().run(command(place, "sleep", "60", limits=Limits(wall_s=0.3)))
    assert (done.killed_by, done.exit_code, done.signal) == ("wall", None, signal.SIGKILL)
    assert 0.3 <= done.duration_s < 60  # it would end by itself then


async def test_cpu_time_of_the_tree_is_limited(place: Place) -> None:
    line = command(place, "sh", "-c", "python -c 'while 1: 0' & wait", limits=Limits(cpu_s=0.4))
    done = await LandlockSandbox().run(line)
    assert done.killed_by == "cpu"
    assert done.cpu_s > 0.3


@pytest.mark.parametrize("sandbox", [LandlockSandbox(), NoSandbox()], ids=["landlock", "none"])
async def test_stop_ends_a_command(place: Place, sandbox: Sandbox) -> None:
    mark, stop = marker(), asyncio.Event()
    script = f"setsid sleep {mark} & sleep {mark}"
    running = asyncio.create_task(sandbox.run(command(place, "sh", "-c", script), stop=stop))
    await until(lambda: len(alive(mark)) >= 3, "the command")
    stop.set()
    done = await asyncio.wait_for(running, 60)
    assert (done.killed_by, done.exit_code) == ("stopped", None)
    assert alive(mark) == []


async def test_a_stop_before_the_start_runs_nothing(place: Place) -> None:
    stop = asyncio.Event()
    stop.set()
    done = await LandlockSandbox().run(command(place, "touch", "here"), stop=stop)
    assert done.killed_by == "stopped"
    assert list(place.workspace.iterdir()) == []


async def test_cancelling_ends_a_command(place: Place) -> None:
    mark = marker()
    running = asyncio.create_task(LandlockSandbox().run(command(place, "sleep", mark)))
    await until(lambda: alive(mark), "the command")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert alive(mark) == []


async def test_a_tree_too_deep_for_paths_is_dealt_with(place: Place) -> None:
    code = (
        "import os\n"
        "for _ in range(1500): os.mkdir('d'); os.chdir('d')\n"
        "os.chdir(os.environ['TMPDIR'])\n"
        "for _ in range(1500): os.mkdir('d'); os.chdir('d')\n"
        "os.chmod('../d', 0)"
    )
    done = await python(place, code)
    assert (done.exit_code, done.killed_by) == (0, None), done.stderr.text()
    subprocess.run(["rm", "-rf", place.workspace / "d"], check=True)


async def test_nothing_is_left_in_the_scratch_folder(place: Place) -> None:
    scratch = place.outside / "scratch"
    scratch.mkdir()
    scratch.chmod(0o711)
    script = "mkdir -p $HOME/a/b $TMPDIR/c; touch $HOME/a/b/f; chmod 0 $HOME/a; ls -d $TMPDIR"
    done = await LandlockSandbox(scratch=scratch).run(command(place, "sh", "-c", script))
    assert done.stdout.text().startswith(str(scratch))
    assert list(scratch.iterdir()) == []


SERVICE = """
import asyncio, sys
from pathlib import Path
from loopwright.service.sandbox import Command, LandlockSandbox, NoSandbox
workspace, level, mark = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
script = f"setsid sleep {mark} & (setsid setsid sleep {mark} &); sleep {mark}"
sandbox = LandlockSandbox() if level == "landlock" else NoSandbox()
asyncio.run(sandbox.run(Command(("sh", "-c", script), workspace, (workspace,))))
"""


@pytest.mark.parametrize("level", ["landlock", "none"])
async def test_nothing_survives_a_killed_service(place: Place, level: str) -> None:
    mark = marker()
    path = str(Path(sandbox_package.__file__).parents[3])
    argv = [sys.executable, "-c", SERVICE, str(place.workspace), level, mark]
    env = {**os.environ, "PYTHONPATH": path, "TMPDIR": str(place.outside)}
    with subprocess.Popen(argv, env=env, stderr=subprocess.DEVNULL) as service:
        await until(lambda: len(set(alive(mark)) - {service.pid}) >= 4, "the command")
        service.kill()
    await until(lambda: not alive(mark), "the end of all that it started", timeout_s=5)
    await until(lambda: not list(place.outside.iterdir()), "the end of the scratch folder")
    assert place.workspace.stat().st_uid == os.geteuid()


# Choosing


async def test_the_probe_finds_landlock_good() -> None:
    found = await probe()
    assert (found.level, found.landlock_abi) == ("landlock", landlock.abi())


async def test_the_probe_sees_that_no_sandbox_isolates_nothing() -> None:
    found = await probe(NoSandbox())
    assert found.level == "none"
    assert len(found.reasons) == 5


async def test_the_best_sandbox_is_chosen() -> None:
    assert (await choose(allow_none=False)).level == "landlock"


class Broken:
    """A sandbox that is not to be had."""

    level = "landlock"

    async def run(self, command: Command, *, stop: asyncio.Event | None = None) -> Completed:
        raise SandboxUnavailableError("the kernel said no")


async def test_doing_without_a_sandbox_must_be_allowed() -> None:
    with pytest.raises(SandboxUnavailableError, match=r"the kernel said no.*ALLOW_NONE=1"):
        await choose(allow_none=False, best=Broken())
    assert (await choose(allow_none=True, best=Broken())).level == "none"


async def test_no_sandbox_runs_within_limits(place: Place) -> None:
    done = await NoSandbox().run(command(place, "sleep", "60", limits=Limits(wall_s=0.2)))
    assert (done.killed_by, done.isolation) == ("wall", "none")


def test_a_command_runs_under_uvloop(place: Place) -> None:
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        done = runner.run(LandlockSandbox().run(command(place, "sh", "-c", "echo x > /dev/stdout")))
    assert (done.exit_code, done.stdout.text()) == (0, "x\n")


AS_NOBODY = """
import os, sys
from loopwright.service.sandbox.inside import reveal
reveal.reveal(sys.argv[1].split(os.pathsep))
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
os.execv(sys.executable, [sys.executable, "-m", "pytest", "-q", *sys.argv[2:]])
"""


@as_root
def test_all_of_this_holds_for_an_ordinary_user() -> None:
    root = Path(__file__).parents[2]
    needed = os.pathsep.join(dict.fromkeys((str(root), sys.prefix, sys.base_prefix)))
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(sandbox_package.__file__).parents[3]),
        "PYTHONDONTWRITEBYTECODE": "1",
        **({"CI": "true"} if "CI" in os.environ else {}),
    }
    argv = [
        sys.executable,
        "-c",
        AS_NOBODY,
        needed,
        "-p",
        "no:cacheprovider",
        "-p",
        "no:cov",
        __file__,
    ]
    done = subprocess.run(argv, cwd=root, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 80, done.stdout[-1000:]
