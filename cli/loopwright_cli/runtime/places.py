"""Where the local runtime keeps its data, and the file by which other commands find it."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

#: A folder of this name in the working folder or above it is used before the user's own.
PROJECT_FOLDER = ".loopwright"


def data_folder(given: Path | None) -> Path:
    """`--data`, else $LOOPWRIGHT_DATA, else the nearest `.loopwright`, else the user's own."""
    if given is not None:
        return given.absolute()
    if named := os.environ.get("LOOPWRIGHT_DATA"):
        return Path(named).absolute()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / PROJECT_FOLDER).is_dir():
            return folder / PROJECT_FOLDER
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "loopwright"


@dataclass(frozen=True, slots=True)
class Place:
    """A data folder and what stands where in it."""

    root: Path

    @property
    def state_file(self) -> Path:
        """Ports, process ids and credentials of the running runtime; for its owner only."""
        return self.root / "runtime.json"

    @property
    def lock_file(self) -> Path:
        """Held by the supervisor as long as it lives."""
        return self.root / "lock"

    @property
    def logs(self) -> Path:
        """One log for each child."""
        return self.root / "logs"

    @property
    def traces(self) -> Path:
        """Spans as JSON lines, one file for each service."""
        return self.root / "traces"

    @property
    def cache(self) -> Path:
        """Workspaces; may be deleted while nothing runs."""
        return self.root / "cache"

    @property
    def keys(self) -> Path:
        """Seeds of the running services; made anew at each start."""
        return self.root / "keys"

    @property
    def notify_secret(self) -> Path:
        """What signs webhooks; made once, and kept, since receivers know it."""
        return self.root / "notify.secret"

    def make(self) -> None:
        """Make the folders; nobody else may look into them."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o711)  # sandboxed commands pass through to their workspace below `cache`
        for folder in (self.logs, self.traces, self.root / "nats", self.root / "valkey"):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o700)
        self.cache.mkdir(exist_ok=True)
        self.cache.chmod(0o711)


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a running local runtime has told about itself."""

    pid: int
    started: float
    """When the supervisor's process began, in clock ticks since boot: pids are used again."""
    nats_url: str
    nats_user: str
    nats_password: str
    redis_url: str
    probes: dict[str, str]
    """Child → URL of its probes."""
    ready: bool = False

    def alive(self) -> bool:
        """Whether that supervisor still runs."""
        return process_start(self.pid) == self.started


def process_start(pid: int) -> float | None:
    """When a process began, in clock ticks since boot; None if none runs (a zombie does not)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    state, *fields = stat.rsplit(")", 1)[1].split()
    return None if state in ("Z", "X") else float(fields[18])


def save(place: Place, runtime: Runtime) -> None:
    """Write the state file, readable by its owner only, whole or not at all."""
    fresh = place.state_file.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.chmod(0o600)
    fresh.write_text(json.dumps(asdict(runtime), indent=2), encoding="utf-8")
    fresh.rename(place.state_file)


def find(place: Place) -> Runtime | None:
    """The runtime that runs on this data folder, if one does."""
    try:
        runtime = Runtime(**json.loads(place.state_file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return runtime if runtime.alive() else None


def in_use(place: Place) -> bool:
    """Whether a supervisor has the data folder: one that starts, runs or is about to end."""
    try:
        file = place.lock_file.open("rb")
    except OSError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        return False
