"""The user id that one command has for itself when the service is root."""

# ruff: noqa: PTH116, PTH123, PTH208
from __future__ import annotations

import os

#: First of the reserved ids; far above those of people, services and /etc/subuid.
FIRST_UID = 2_000_000_000
#: pid_max can be no larger on 64-bit Linux, so each process has a slot in each block of ids.
BLOCK = 1 << 22
BLOCKS = 32
#: Where the reserved ids are not mapped (a user namespace), so many at the end of the map serve.
NARROW = 4096


def free_uid() -> int:
    """An id that no other process has.

    Kernel-wide, RLIMIT_NPROC counts by user id, so it only means this command if no one shares
    the id. The pid keeps it apart in this pid namespace, the namespace's number between two.
    """
    first, width = _range()
    namespace = os.stat("/proc/self/ns/pid").st_ino
    slot = (namespace % BLOCKS) * BLOCK + os.getpid()
    taken = _taken()
    for attempt in range(width):
        uid = first + (slot + attempt * 7919) % width
        if uid not in taken:
            return uid
    raise OSError(f"all user ids from {first} to {first + width - 1} are in use")


def _range() -> tuple[int, int]:
    """First id and how many."""
    with open("/proc/self/uid_map", "rb") as file:
        maps = [(int(line[0]), int(line[2])) for line in map(bytes.split, file)]
    width = BLOCK * BLOCKS
    if any(start <= FIRST_UID and FIRST_UID + width <= start + count for start, count in maps):
        return FIRST_UID, width
    start, count = max(maps, key=lambda item: item[1])
    width = min(NARROW, count // 4)
    if width == 0:
        raise OSError("no other user id is mapped here: run the service as an ordinary user")
    return start + count - 1 - width, width


def _taken() -> set[int]:
    taken = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                taken.add(os.stat(f"/proc/{name}").st_uid)
            except OSError:
                continue
    return taken
