"""Which system calls a sandboxed program may not make, and the BPF program that says so.

Landlock leaves open what is closed here: every kind of socket (it knows only TCP), pathname unix
sockets such as Docker's, other processes of the same user, and the kernel's rarely used doors.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from loopwright.service.sandbox.syscalls import NUMBERS

Machine = Literal["x86_64", "aarch64"]
MACHINES = ("x86_64", "aarch64")

#: AUDIT_ARCH_*: ELF machine | 64-bit | little-endian.
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
#: Set in the numbers of x86_64's second ABI, x32, which would slip past comparisons with ours.
_X32_BIT = 0x40000000

_RET_ALLOW = 0x7FFF0000
_RET_ERRNO = 0x00050000
_RET_KILL_PROCESS = 0x80000000

#: Offsets in struct seccomp_data; arguments are 64-bit and little-endian, and every argument that
#: is looked at here is a 32-bit one to the kernel.
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16

_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06
_JUMP_EQUAL, _JUMP_GREATER_OR_EQUAL = 0x15, 0x35

Instruction = tuple[int, int, int, int]
"""code, jump if true, jump if false, operand"""


@dataclass(frozen=True, slots=True)
class Rule:
    """Refuse a system call: always, or by an argument."""

    call: str
    argument: int | None = None
    mask: int = 0xFFFFFFFF
    values: tuple[int, ...] = ()
    refuse: Literal["listed", "unlisted"] = "listed"
    """Whether the masked argument is refused for being among `values` or for not being."""
    errno: int = errno.EPERM


#: Refused whatever the arguments.
FORBIDDEN = (
    # The network and every other socket; a socketpair needs none of these.
    "socket", "connect", "bind", "listen", "accept", "accept4",
    # Other processes.
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease",
    "kcmp", "pidfd_getfd", "pidfd_send_signal", "tkill", "migrate_pages", "move_pages",
    # IPC that outlives its makers and is charged to nobody.
    "shmget", "shmat", "shmctl", "shmdt", "msgget", "msgsnd", "msgrcv", "msgctl",
    "semget", "semop", "semtimedop", "semctl", "mq_open", "mq_unlink",
    # Namespaces, mounts, roots.
    "unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "open_tree",
    "open_tree_attr", "move_mount", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr",
    # io_uring makes system calls that no filter sees.
    "io_uring_setup", "io_uring_enter", "io_uring_register",
    # The kernel's large attack surfaces.
    "bpf", "perf_event_open", "userfaultfd", "keyctl", "add_key", "request_key", "memfd_secret",
    "personality", "open_by_handle_at", "fanotify_init", "lookup_dcookie", "modify_ldt",
    # The machine itself.
    "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "reboot",
    "swapon", "swapoff", "acct", "quotactl", "quotactl_fd", "settimeofday", "clock_settime",
    "clock_adjtime", "adjtimex", "sethostname", "setdomainname", "syslog", "vhangup", "iopl",
    "ioperm", "uselib", "_sysctl", "nfsservctl",
)  # fmt: skip

_AF_UNIX, _SOCK_STREAM, _SOCK_SEQPACKET = 1, 1, 5
_PRIO_PROCESS, _IOPRIO_WHO_PROCESS = 0, 1
_CLONE_NEW_ANY = 0x7E020000
_TIOCSTI, _TIOCLINUX, _FIOSETOWN, _SIOCSPGRP = 0x5412, 0x541C, 0x8901, 0x8902
_F_SETOWN, _F_SETSIG, _F_SETOWN_EX = 8, 10, 15

#: Refused by an argument.
CONDITIONAL = (
    Rule("socketpair", 0, values=(_AF_UNIX,), refuse="unlisted"),
    # A datagram pair can send to any path: sendmsg takes an address, which BPF cannot read.
    Rule("socketpair", 1, 0xF, (_SOCK_STREAM, _SOCK_SEQPACKET), "unlisted"),
    Rule("clone", 0, _CLONE_NEW_ANY, (0,), "unlisted"),
    # Its flags are in memory, which BPF cannot read; on ENOSYS the C library uses clone.
    Rule("clone3", errno=errno.ENOSYS),
    Rule("ioctl", 1, values=(_TIOCSTI, _TIOCLINUX, _FIOSETOWN, _SIOCSPGRP)),
    # F_SETSIG with F_SETOWN is a way to send any signal to any process of the same user.
    Rule("fcntl", 1, values=(_F_SETOWN, _F_SETSIG, _F_SETOWN_EX)),
    # Limits and priorities of others: with RLIMIT_CPU a process of the same user is killed.
    Rule("prlimit64", 0, values=(0,), refuse="unlisted"),
    Rule("sched_setscheduler", 0, values=(0,), refuse="unlisted"),
    Rule("sched_setparam", 0, values=(0,), refuse="unlisted"),
    Rule("sched_setattr", 0, values=(0,), refuse="unlisted"),
    Rule("sched_setaffinity", 0, values=(0,), refuse="unlisted"),
    Rule("setpriority", 0, values=(_PRIO_PROCESS,), refuse="unlisted"),
    Rule("setpriority", 1, values=(0,), refuse="unlisted"),
    Rule("ioprio_set", 0, values=(_IOPRIO_WHO_PROCESS,), refuse="unlisted"),
    Rule("ioprio_set", 1, values=(0,), refuse="unlisted"),
)


def rules_for(protected: Iterable[int], *, landlock_abi: int) -> tuple[Rule, ...]:
    """All rules; `protected` are processes that must not be signalled, nor their groups.

    Landlock keeps signals in only since ABI 6, and a path from being truncated since ABI 3.
    """
    pids = tuple(protected)
    to_kill = (*pids, *(-pid for pid in pids), -1)
    return (
        *(Rule(call) for call in FORBIDDEN),
        *CONDITIONAL,
        Rule("kill", 0, values=tuple(pid & 0xFFFFFFFF for pid in to_kill)),
        *(
            Rule(call, 0, values=pids)
            for call in ("tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo")
            if pids
        ),
        *((Rule("truncate"),) if landlock_abi < 3 else ()),
    )


def assemble(machine: Machine, rules: Iterable[Rule]) -> bytes:
    """The filter for one machine as an array of struct sock_filter."""
    program: list[Instruction] = [
        (_LOAD, 0, 0, _ARCH),
        (_JUMP_EQUAL, 1, 0, _AUDIT_ARCH[machine]),
        (_RETURN, 0, 0, _RET_KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if machine == "x86_64":
        program += [(_JUMP_GREATER_OR_EQUAL, 0, 1, _X32_BIT), _refusal(errno.EPERM)]
    for rule in rules:
        number = NUMBERS[rule.call][0 if machine == "x86_64" else 1]
        if number is not None:
            program += _block(rule, number)
    program.append((_RETURN, 0, 0, _RET_ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _refusal(code: int) -> Instruction:
    return (_RETURN, 0, 0, _RET_ERRNO | code)


def _block(rule: Rule, number: int) -> list[Instruction]:
    """Instructions for one rule; they begin and end with the call's number loaded."""
    if rule.argument is None:
        return [(_JUMP_EQUAL, 0, 1, number), _refusal(rule.errno)]
    body = [
        (_LOAD, 0, 0, _FIRST_ARGUMENT + 8 * rule.argument),
        (_AND, 0, 0, rule.mask),
        *_comparisons(rule),
        _refusal(rule.errno),
        (_LOAD, 0, 0, _NUMBER),
    ]
    return [(_JUMP_EQUAL, 0, len(body), number), *body]


def _comparisons(rule: Rule) -> list[Instruction]:
    """Fall through to the refusal, or jump over it."""
    count = len(rule.values)
    if rule.refuse == "unlisted":
        return [(_JUMP_EQUAL, count - index, 0, v) for index, v in enumerate(rule.values)]
    return [
        (_JUMP_EQUAL, count - 1 - index, 1 if index == count - 1 else 0, v)
        for index, v in enumerate(rule.values)
    ]
