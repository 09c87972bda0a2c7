"""Landlock's access rights by ABI, and which of them a granted path gets.

Source: the kernel's Documentation/userspace-api/landlock.rst. All rights that an ABI knows are
handled, so whatever is not granted below is denied.
"""

from __future__ import annotations

import ctypes

#: landlock_create_ruleset; 445 and 446 follow. The same on all architectures since Linux 5.13.
CREATE_RULESET = 444
_VERSION_FLAG = 1

EXECUTE = 1 << 0
WRITE_FILE = 1 << 1
READ_FILE = 1 << 2
READ_DIR = 1 << 3
REMOVE_DIR = 1 << 4
REMOVE_FILE = 1 << 5
MAKE_CHAR = 1 << 6
MAKE_DIR = 1 << 7
MAKE_REG = 1 << 8
MAKE_SOCK = 1 << 9
MAKE_FIFO = 1 << 10
MAKE_BLOCK = 1 << 11
MAKE_SYM = 1 << 12
REFER = 1 << 13
TRUNCATE = 1 << 14
IOCTL_DEV = 1 << 15

#: Rights that each ABI added for files and folders.
_FS_BY_ABI = {1: (1 << 13) - 1, 2: REFER, 3: TRUNCATE, 5: IOCTL_DEV}
_NET_SINCE, _BIND_AND_CONNECT_TCP = 4, 0b11
_SCOPES_SINCE, SCOPE_ABSTRACT_UNIX, SCOPE_SIGNAL = 6, 0b01, 0b10

READ = EXECUTE | READ_FILE | READ_DIR
#: Everything but device nodes, which no command needs to make.
WRITE = READ | (
    WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SOCK | MAKE_FIFO
    | MAKE_SYM | REFER | TRUNCATE
)  # fmt: skip
#: For /dev/null and its like.
DEVICE = READ_FILE | WRITE_FILE | IOCTL_DEV
#: Rights that a rule for a single file may hold; the kernel refuses others with EINVAL.
FOR_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV


def handled(abi: int) -> tuple[int, int, int]:
    """The fields of the ruleset: file rights, network rights, scopes."""
    files = sum(rights for since, rights in _FS_BY_ABI.items() if since <= abi)
    network = _BIND_AND_CONNECT_TCP if abi >= _NET_SINCE else 0
    scopes = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL if abi >= _SCOPES_SINCE else 0
    return files, network, scopes


def abi() -> int:
    """The kernel's Landlock ABI; 0 where there is none or it is off."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    version = libc.syscall(
        ctypes.c_long(CREATE_RULESET), None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION_FLAG)
    )
    return max(0, int(version))
