"""A disk whose power can be cut: an ext4 file system in a file, mounted from a loop device.

The cut is the file system's own: FS_IOC_GOINGDOWN, as the kernel's file system tests use it, ends
all writing at once without flushing the journal. What was only in the page cache is gone, as it is
when the machine loses its power; what was handed to the device stays, so the device is kind.
"""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

#: Of the image, which is sparse: the server refuses less than what its streams reserve.
SIZE_BYTES = 4 * 1024**3
#: _IOR('X', 125, __u32), and its argument for "do not flush the log".
FS_IOC_GOINGDOWN = 0x8004587D
NO_LOG_FLUSH = 2


class NoDiskError(Exception):
    """This machine does not let us mount a disk of our own."""


@dataclass(slots=True)
class Disk:
    """An image and where it is mounted."""

    image: Path
    folder: Path
    mounted: bool = False
    """Asking the folder would fail: after a cut it answers nothing but errors."""

    def cut(self) -> None:
        """Cut its power: from now on nothing is written."""
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, FS_IOC_GOINGDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(handle)

    def flush(self) -> None:
        """Write down all that is only in memory."""
        _run("sync", "--file-system", str(self.folder))

    def mount(self) -> None:
        """Mount it; the journal is replayed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        _run("mount", "-o", "loop", str(self.image), str(self.folder))
        self.mounted = True

    def unmount(self) -> None:
        """Unmount it if it is mounted."""
        if self.mounted:
            _run("umount", str(self.folder))
            self.mounted = False


@contextmanager
def disk(image: Path, folder: Path, size_bytes: int = SIZE_BYTES) -> Iterator[Disk]:
    """A fresh disk, mounted on a folder; NoDiskError where that may not be."""
    if os.geteuid() != 0:
        raise NoDiskError("mounting a disk of our own needs root; run this as root")
    image.parent.mkdir(parents=True, exist_ok=True)
    with image.open("wb") as file:
        file.truncate(size_bytes)
    _run("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
    one = Disk(image, folder)
    try:
        one.mount()
        yield one
    finally:
        one.unmount()


def _run(*argv: str) -> None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise NoDiskError(f"{argv[0]} is not installed; install e2fsprogs and mount") from error
    if done.returncode != 0:
        raise NoDiskError(f"{' '.join(argv)} says: {done.stderr.strip()}")
