"""The sandbox's rules as data: the seccomp filter is run by a small interpreter of BPF."""

from __future__ import annotations

import errno
import re
import signal
import struct
import sys
from pathlib import Path

import pytest

from loopwright.service.sandbox import landlock, paths, seccomp
from loopwright.service.sandbox.command import Completed, Excerpt
from loopwright.service.sandbox.probe import faults_of
from loopwright.service.sandbox.process import Recorder
from loopwright.service.sandbox.syscalls import NUMBERS

ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "i386": 0x40000003}
KILL, ALLOW = 0x80000000, 0x7FFF0000
SERVICE, SUPERVISOR = 4321, 4322
AF_UNIX, AF_INET, STREAM, DGRAM, SEQPACKET, CLOEXEC = 1, 2, 1, 2, 5, 0o2000000
CLONE_THREAD_FLAGS, CLONE_NEWUSER, CLONE_NEWNET = 0x3D0F00, 0x10000000, 0x40000000


def evaluate(program: bytes, arch: int, number: int, args: tuple[int, ...] = ()) -> int:
    """What the kernel would answer, by the classic BPF rules."""
    words = [word & 0xFFFFFFFFFFFFFFFF for word in (*args, *(0,) * (6 - len(args)))]
    data = struct.pack("=iIQ6Q", struct.unpack("=i", struct.pack("=I", number))[0], arch, 0, *words)
    code = list(struct.iter_unpack("=HBBI", program))
    accumulator = at = 0
    while True:
        kind, if_true, if_false, operand = code[at]
        at += 1
        match kind:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, operand)
            case 0x54:
                accumulator &= operand
            case 0x15:
                at += if_true if accumulator == operand else if_false
            case 0x35:
                at += if_true if accumulator >= operand else if_false
            case 0x06:
                return int(operand)
            case _:
                raise AssertionError(f"unknown instruction {kind:#x}")


def answer(machine: seccomp.Machine, call: str, *args: int, abi: int = 7) -> str:
    number = NUMBERS[call][seccomp.MACHINES.index(machine)]
    assert number is not None
    rules = seccomp.rules_for((SERVICE, SUPERVISOR), landlock_abi=abi)
    verdict = evaluate(seccomp.assemble(machine, rules), ARCH[machine], number, args)
    return "allow" if verdict == ALLOW else errno.errorcode[verdict & 0xFFFF]


MACHINES: tuple[seccomp.Machine, ...] = ("x86_64", "aarch64")


@pytest.mark.parametrize("machine", MACHINES)
def test_every_forbidden_call_is_refused(machine: seccomp.Machine) -> None:
    column = seccomp.MACHINES.index(machine)
    for call in seccomp.FORBIDDEN:
        if NUMBERS[call][column] is not None:
            assert answer(machine, call) == "EPERM", call


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("call", "args", "expected"),
    [
        ("socket", (AF_INET, STREAM), "EPERM"),
        ("socket", (AF_UNIX, STREAM), "EPERM"),
        ("socketpair", (AF_UNIX, STREAM), "allow"),
        ("socketpair", (AF_UNIX, STREAM | CLOEXEC), "allow"),
        ("socketpair", (AF_UNIX, SEQPACKET), "allow"),
        ("socketpair", (AF_UNIX, DGRAM), "EPERM"),
        ("socketpair", (AF_INET, STREAM), "EPERM"),
        ("clone", (CLONE_THREAD_FLAGS,), "allow"),
        ("clone", (signal.SIGCHLD,), "allow"),
        ("clone", (CLONE_NEWUSER | signal.SIGCHLD,), "EPERM"),
        ("clone", (CLONE_NEWNET,), "EPERM"),
        ("clone3", (), "ENOSYS"),
        ("ioctl", (0, 0x5401), "allow"),
        ("ioctl", (0, 0x5412), "EPERM"),
        ("ioctl", (0, 0x541C), "EPERM"),
        ("ioctl", (0, 0xFFFFFFFF00005412), "EPERM"),
        ("ioctl", (0, 0x8901), "EPERM"),
        ("fcntl", (3, 2), "allow"),
        ("fcntl", (3, 8), "EPERM"),
        ("fcntl", (3, 10), "EPERM"),
        ("fcntl", (3, 15), "EPERM"),
        ("prlimit64", (0, 7), "allow"),
        ("prlimit64", (SERVICE, 7), "EPERM"),
        ("setpriority", (0, 0, 10), "allow"),
        ("setpriority", (2, 0, 10), "EPERM"),
        ("setpriority", (0, SERVICE, 10), "EPERM"),
        ("ioprio_set", (1, 0), "allow"),
        ("ioprio_set", (1, SERVICE), "EPERM"),
        ("sched_setaffinity", (0,), "allow"),
        ("sched_setaffinity", (SERVICE,), "EPERM"),
        ("kill", (999, 9), "allow"),
        ("kill", (0, 9), "allow"),
        ("kill", (SERVICE, 9), "EPERM"),
        ("kill", (SUPERVISOR, 9), "EPERM"),
        ("kill", (-SUPERVISOR, 9), "EPERM"),
        ("kill", (-1, 9), "EPERM"),
        ("kill", (0x700000000 + SERVICE, 9), "EPERM"),
        ("tgkill", (999, 999, 9), "allow"),
        ("tgkill", (SERVICE, 999, 9), "EPERM"),
        ("rt_sigqueueinfo", (SUPERVISOR, 9), "EPERM"),
        ("rt_tgsigqueueinfo", (SUPERVISOR, 1, 9), "EPERM"),
        ("truncate", (), "allow"),
    ],
)
def test_calls_are_judged_by_their_arguments(
    machine: seccomp.Machine, call: str, args: tuple[int, ...], expected: str
) -> None:
    assert answer(machine, call, *args) == expected


@pytest.mark.parametrize(("abi", "expected"), [(2, "EPERM"), (3, "allow")])
def test_truncation_by_path_is_refused_where_landlock_is_blind(abi: int, expected: str) -> None:
    assert answer("x86_64", "truncate", abi=abi) == expected


@pytest.mark.parametrize("machine", MACHINES)
def test_unnamed_calls_are_allowed(machine: seccomp.Machine) -> None:
    named = {numbers[seccomp.MACHINES.index(machine)] for numbers in NUMBERS.values()}
    program = seccomp.assemble(machine, seccomp.rules_for((SERVICE,), landlock_abi=7))
    others = set(range(467)) - named
    assert {evaluate(program, ARCH[machine], number) for number in others} == {ALLOW}


def test_a_foreign_architecture_is_killed() -> None:
    program = seccomp.assemble("x86_64", seccomp.rules_for((), landlock_abi=7))
    assert evaluate(program, ARCH["i386"], 1) == KILL
    assert evaluate(program, ARCH["aarch64"], 1) == KILL


def test_x32_numbers_are_refused_on_x86_64() -> None:
    program = seccomp.assemble("x86_64", seccomp.rules_for((), landlock_abi=7))
    assert evaluate(program, ARCH["x86_64"], 0x40000000 + 41) == 0x50000 | errno.EPERM


def test_the_filter_fits_the_kernel() -> None:
    """BPF_MAXINSNS is 4096."""
    program = seccomp.assemble("x86_64", seccomp.rules_for((1, 2, 3), landlock_abi=1))
    assert len(program) % 8 == 0
    assert len(program) // 8 < 4096


@pytest.mark.parametrize(
    ("header", "column"),
    [
        ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", 0),
        ("/usr/include/asm-generic/unistd.h", 1),
    ],
)
def test_numbers_are_those_of_the_kernels_headers(header: str, column: int) -> None:
    if not Path(header).exists():
        pytest.skip(f"{header} is not installed")
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", Path(header).read_text())
    told = {name: int(number) for name, number in found}
    ours = {name: numbers[column] for name, numbers in NUMBERS.items() if name in told}
    assert len(ours) > 80
    assert ours == {name: told[name] for name in ours}


@pytest.mark.parametrize(
    ("abi", "expected"),
    [
        (1, ((1 << 13) - 1, 0, 0)),
        (2, ((1 << 14) - 1, 0, 0)),
        (3, ((1 << 15) - 1, 0, 0)),
        (4, ((1 << 15) - 1, 3, 0)),
        (5, ((1 << 16) - 1, 3, 0)),
        (6, ((1 << 16) - 1, 3, 3)),
        (7, ((1 << 16) - 1, 3, 3)),
    ],
)
def test_all_rights_of_an_abi_are_handled(abi: int, expected: tuple[int, int, int]) -> None:
    assert landlock.handled(abi) == expected


def test_reading_grants_no_writing_and_writing_no_devices() -> None:
    changes = landlock.WRITE & ~landlock.READ
    assert landlock.READ & changes == 0
    assert landlock.WRITE & (landlock.MAKE_CHAR | landlock.MAKE_BLOCK | landlock.IOCTL_DEV) == 0
    assert landlock.DEVICE & ~landlock.FOR_FILES == 0


def test_nothing_of_proc_home_or_secrets_is_granted_to_every_command() -> None:
    granted = {Path(path) for path, _ in paths.for_every_command()}
    for secret in ("/etc/shadow", "/proc/1/environ", "/root/.netrc", "/run/secrets/x", "/tmp/x"):
        holders = {path for path in granted if Path(secret).is_relative_to(path)}
        assert not holders - set(paths.python_homes()), secret


@pytest.mark.parametrize("folder", ["/", "/usr", "/usr/lib", "/etc", "/root", sys.prefix])
def test_a_system_folder_is_never_writable(folder: str) -> None:
    with pytest.raises(ValueError, match="writable"):
        paths.outermost((Path(folder),))


def test_a_missing_writable_folder_is_named() -> None:
    with pytest.raises(ValueError, match="/nowhere is not a folder"):
        paths.outermost((Path("/nowhere"),))


def test_a_writable_folder_in_another_is_granted_once(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    assert paths.outermost((inner, tmp_path, tmp_path)) == [tmp_path.resolve()]


@pytest.mark.parametrize("chunk", [1, 3, 7, 64, 1000])
def test_a_recorder_keeps_both_ends_of_a_stream(chunk: int) -> None:
    stream = bytes(i % 251 for i in range(1000))
    recorder = Recorder(20)
    for start in range(0, len(stream), chunk):
        recorder.add(stream[start : start + chunk])
    assert recorder.excerpt() == Excerpt(stream[:10], stream[-10:], 1000)


def test_a_short_stream_is_kept_whole() -> None:
    recorder = Recorder(20)
    recorder.add(b"fifteen letters")
    assert recorder.excerpt().text() == "fifteen letters"
    assert recorder.excerpt().left_out_bytes == 0


def test_text_says_how_much_was_left_out() -> None:
    assert Excerpt(b"ab", b"yz", 26).text() == "ab\n… 22 bytes left out …\nyz"


def _probed(lines: str, stderr: bytes = b"") -> Completed:
    out = Excerpt(lines.encode(), b"", len(lines))
    error = Excerpt(stderr, b"", len(stderr))
    return Completed(0, None, out, error, 0.1, 0.1, 1, None, "landlock")


GOOD = (
    "write inside the workspace\tdone\nwrite outside the workspace\tdenied\n"
    "read a file outside\tdenied\nconnect over TCP\tdenied\nopen a UDP socket\tdenied\n"
    "connect to a unix socket\tdenied\n"
)


def test_a_probe_that_went_well_has_no_faults() -> None:
    assert faults_of(_probed(GOOD)) == ()


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (GOOD.replace("UDP socket\tdenied", "UDP socket\tdone"), "could open a UDP socket: done"),
        (
            GOOD.replace("inside the workspace\tdone", "inside the workspace\tdenied"),
            "could not write inside the workspace: denied",
        ),
        (GOOD.replace("connect over TCP\tdenied\n", ""), "could connect over TCP: None"),
        ("", "the probe did not run (exit code 0): boom"),
    ],
)
def test_a_probe_names_what_is_wrong(lines: str, fault: str) -> None:
    assert faults_of(_probed(lines, b"boom\n")) == (fault,)
