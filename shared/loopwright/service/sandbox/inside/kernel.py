"""System calls that Python has no name for; each raises OSError saying what was tried."""

# ruff: noqa: PTH115
from __future__ import annotations

import ctypes
import os

PR_SET_PDEATHSIG = 1
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4

_SECCOMP_MODE_FILTER = 2
_CLONE_NEWNS = 0x00020000
_MS_REC, _MS_PRIVATE = 16384, 1 << 18
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_LANDLOCK_PATH_BENEATH = 1
#: _LINUX_CAPABILITY_VERSION_3, whose sets have 64 bits.
_CAPABILITY_VERSION = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _Program(ctypes.Structure):
    """struct sock_fprog"""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


class _PathBeneath(ctypes.Structure):
    """struct landlock_path_beneath_attr"""

    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def _checked(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def _syscall(what: str, number: int, *args: object) -> int:
    return _checked(int(_libc.syscall(ctypes.c_long(number), *args)), what)


def prctl(option: int, value: int = 0, more: int = 0) -> None:
    """One of the PR_ options above."""
    words = [ctypes.c_ulong(word) for word in (value, more, 0, 0)]
    _checked(int(_libc.prctl(ctypes.c_int(option), *words)), f"prctl {option}")


def install_filter(program: bytes) -> None:
    """Load a seccomp filter for this process and all that it starts; never to be undone."""
    code = ctypes.create_string_buffer(program, len(program))
    header = _Program(len(program) // 8, ctypes.addressof(code))
    _checked(
        int(
            _libc.prctl(
                ctypes.c_int(PR_SET_SECCOMP),
                ctypes.c_ulong(_SECCOMP_MODE_FILTER),
                ctypes.byref(header),
            )
        ),
        "loading the seccomp filter",
    )


def clear_capabilities() -> None:
    """Empty every capability set; the bounding set only where the right to do so is held."""
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    for capability in range(64):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:  # EINVAL past the last one; EPERM without CAP_SETPCAP, and then
            break  # no_new_privs alone keeps a program from gaining any


def drop_capabilities() -> None:
    """Give up what is left after the user id changed."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    _checked(int(_libc.capset(header, (ctypes.c_uint32 * 6)())), "capset")


def landlock_ruleset(handled: tuple[int, int, int]) -> int:
    """A descriptor of a ruleset for the given file rights, network rights and scopes."""
    words = [word for index, word in enumerate(handled) if not index or any(handled[index:])]
    attribute = (ctypes.c_uint64 * len(words))(*words)
    size = ctypes.c_size_t(ctypes.sizeof(attribute))
    return _syscall("landlock_create_ruleset", _LANDLOCK_CREATE, attribute, size, ctypes.c_uint(0))


def landlock_allow(ruleset: int, path: int, rights: int) -> None:
    """Grant rights beneath the file or folder that the descriptor `path` stands for."""
    rule = ctypes.byref(_PathBeneath(rights, path))
    what = f"landlock_add_rule({os.readlink(f'/proc/self/fd/{path}')})"
    kind = ctypes.c_int(_LANDLOCK_PATH_BENEATH)
    _syscall(what, _LANDLOCK_ADD, ctypes.c_int(ruleset), kind, rule, ctypes.c_uint(0))


def landlock_restrict(ruleset: int) -> None:
    """Enter the ruleset's domain; needs no_new_privs."""
    _syscall("landlock_restrict_self", _LANDLOCK_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint(0))


def private_mounts() -> None:
    """Leave the machine's mount namespace: mounts made from here on are seen by no one else.

    In a chroot, "/" is not the top of a mount, and only that can be made private: so step to the
    namespace's own root, which is where setns leads, and back.
    """
    _checked(int(_libc.unshare(ctypes.c_int(_CLONE_NEWNS))), "unshare")
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    mine = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _checked(int(_libc.setns(ctypes.c_int(mine), ctypes.c_int(_CLONE_NEWNS))), "setns")
        mount("none", "/", None, _MS_REC | _MS_PRIVATE)
        os.fchdir(root)
        os.chroot(".")
    finally:
        os.close(root)
        os.close(mine)


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """mount(2)"""
    texts = [os.fsencode(text) if text else None for text in (source, target, kind)]
    extra = data.encode() if data else None
    result = _libc.mount(*texts, ctypes.c_ulong(flags), extra)
    _checked(int(result), f"mount {target}")
