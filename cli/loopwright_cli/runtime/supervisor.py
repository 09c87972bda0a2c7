"""The supervisor: brings everything up in order, restarts what dies, stops it all cleanly."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import monotonic, sleep
from typing import IO

from loopwright.errors import LoopwrightError
from loopwright_cli.runtime import servers
from loopwright_cli.runtime.children import Child, Spec
from loopwright_cli.runtime.layout import Layout, log_path, plan
from loopwright_cli.runtime.places import Place, Runtime, find, process_start, save

#: Everything must be up within this, in seconds.
UP_S = 60.0
#: So often ports are chosen again.
TRIES = 5
LOOK_S = 0.05
#: So often the lock is tried: whoever looks whether it is taken holds it for a moment.
LOCK_TRIES = 5


class InUseError(LoopwrightError):
    """Another supervisor has the data folder."""


class NotUpError(LoopwrightError):
    """A child did not come up."""


class PortTakenError(NotUpError):
    """Between the choice of a port and the start of its child, somebody else took it."""


@contextmanager
def locked(place: Place) -> Iterator[IO[str]]:
    """Hold the data folder; InUseError says who has it."""
    file = place.lock_file.open("a+", encoding="utf-8")
    try:
        _take(file)
    except OSError as error:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        file.close()
        raise InUseError(
            f"{place.root} is in use by process {owner}; stop it with: loopwright down "
            f"--data {place.root}, or name another folder with --data"
        ) from error
    try:
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield file
    finally:
        file.close()


def _take(file: IO[str]) -> None:
    """Lock it, though somebody may just look whether it is locked; OSError if it stays so."""
    for left in reversed(range(LOCK_TRIES)):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if not left:
                raise
            sleep(LOOK_S)
        else:
            return


@dataclass(slots=True)
class Supervisor:
    """One local runtime on one data folder."""

    place: Place
    executors: int = 1
    say: Callable[[str], None] = print
    layout: Callable[[Place, int], Layout] = plan
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    children: list[Child] = field(default_factory=list)

    async def run(self, on_ready: Callable[[Runtime], None]) -> None:
        """Run until SIGINT, SIGTERM or `down`; nothing half-started is left behind."""
        servers.git_program()
        self.place.make()
        with locked(self.place):
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self.stopping.set)
            watchers: list[asyncio.Task[None]] = []
            try:
                runtime = await self._bring_up()
                watchers += [
                    asyncio.create_task(child.watch(self.stopping, self.say))
                    for child in self.children
                ]
                if not self.stopping.is_set():
                    ready = replace(runtime, ready=True)
                    save(self.place, ready)
                    on_ready(ready)
                await self.stopping.wait()
            finally:
                self.stopping.set()
                await self._stop()
                await asyncio.gather(*watchers)
                self.place.state_file.unlink(missing_ok=True)

    async def _bring_up(self) -> Runtime:
        """Start everything, with other ports where one was taken from under us."""
        for tries_left in reversed(range(TRIES)):
            layout = self.layout(self.place, self.executors)
            runtime = self._runtime(layout)
            save(self.place, runtime)
            try:
                await self._start(layout.servers)
                await asyncio.wait_for(layout.provision(), UP_S)
                await self._start(layout.services)
            except PortTakenError:
                if not tries_left:
                    raise
                await self._stop()
                self.children.clear()
            else:
                break
        return runtime

    def _runtime(self, layout: Layout) -> Runtime:
        started = process_start(os.getpid())
        return Runtime(
            pid=os.getpid(),
            started=started or 0.0,
            nats_url=layout.nats_url,
            nats_user=layout.nats_user,
            nats_password=layout.nats_password,
            redis_url=layout.redis_url,
            probes=layout.probes,
        )

    async def _start(self, specs: tuple[Spec, ...]) -> None:
        """Start some children and wait until all of them are up."""
        fresh = [Child(spec, log_path(self.place, spec.name)) for spec in specs]
        for child in fresh:
            await child.start()
            self.children.append(child)
        await asyncio.gather(*(self._up(child) for child in fresh))

    async def _up(self, child: Child) -> None:
        until = monotonic() + UP_S
        while not self.stopping.is_set() and not await child.spec.is_up():
            assert child.process is not None
            if child.process.returncode is not None:
                taken = "address already in use" in child.tail().lower()
                raise (PortTakenError if taken else NotUpError)(
                    f"{child.spec.name} ended with {child.process.returncode} before it was up; "
                    f"the end of its log ({child.log}):\n{child.tail()}"
                )
            if monotonic() > until:
                raise NotUpError(
                    f"{child.spec.name} was not up within {UP_S:g} s; the end of its log "
                    f"({child.log}):\n{child.tail()}"
                )
            await asyncio.sleep(LOOK_S)

    async def _stop(self) -> None:
        """Services first, so that they finish on a bus that is there; then the servers."""
        servers_, services = self.children[:2], self.children[2:]
        await asyncio.gather(*(child.stop() for child in services))
        await asyncio.gather(*(child.stop() for child in servers_))


def stop(place: Place, seconds: float = 40.0) -> bool:
    """End the runtime of a data folder by its process id; whether there was one."""
    runtime = find(place)
    if runtime is None:
        return False
    os.kill(runtime.pid, signal.SIGTERM)
    until = monotonic() + seconds
    while runtime.alive():
        if monotonic() > until:
            raise NotUpError(f"process {runtime.pid} did not stop within {seconds:g} s")
        sleep(LOOK_S)
    return True
