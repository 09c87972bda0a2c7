"""Some coordinators and workers on one bus, put together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from loopwright.chain import LoopEvent
from loopwright.errors import BusUnavailableError, ConflictError
from loopwright.events import LoopEnded
from loopwright.loop import Loop
from loopwright.subjects import REQUEST_KIND, ROLES
from loopwright.tenant import Quota
from loopwright_coordinator.families import has_family
from simulation.coordinators import Coordinators, Replica
from simulation.kin import Kin
from simulation.log import Log
from simulation.meters import Meters
from simulation.outages import Outages
from simulation.rules import Rules
from simulation.tenants import Tenants
from simulation.workers import Worker
from simulation.world import Queue, Subjects, World

#: A delivery that is not acknowledged comes again after this, in seconds.
ACK_WAIT_S = 10.0
REPLICAS = 2


@dataclass(slots=True)
class Cluster:
    """One world's services."""

    world: World
    rules: Rules = field(default_factory=Rules)
    quota: Quota | None = None
    outages: bool = False
    pace: float = 2.0
    """Steps that a worker does a second."""
    cancels: float = 0.1
    """How often a person cancels a loop, as a probability."""
    on_append: Callable[[str, LoopEvent, int], None] = lambda *_: None
    meters: Meters = field(default_factory=Meters)
    log: Log = field(init=False)
    claims: Subjects = field(init=False)
    coordinators: Coordinators = field(init=False)
    goals: Queue = field(init=False)
    results: Queue = field(init=False)
    controls: Queue = field(init=False)
    timers: Queue = field(init=False)
    family: Queue = field(init=False)
    requests: dict[str, Queue] = field(init=False)
    breakers: Outages | None = None
    tenants: Tenants | None = None
    ends: Queue | None = None
    """The tenants' consumer of loops' ends."""
    nonces: int = 0

    def __post_init__(self) -> None:
        world, last = self.world, self.rules.ack_last
        self.log, self.claims = Log(world, self.rules, self._stored), Subjects(world)
        self.coordinators = Coordinators(self, [Replica() for _ in range(REPLICAS)])
        one = self.coordinators
        self.goals = Queue(world, one.on_goal, ACK_WAIT_S, ack_last=last)
        self.results = Queue(world, one.on_result, ACK_WAIT_S, ack_last=last)
        self.controls = Queue(world, one.on_control, ACK_WAIT_S, ack_last=last)
        self.timers = Queue(world, one.on_timer, ACK_WAIT_S, ack_last=last)
        self.family = Queue(world, Kin(self).on_event, ACK_WAIT_S, ack_last=last)
        heard_s = max(ACK_WAIT_S, 5 / self.pace)  # who works slowly says that it still does
        self.requests = {
            REQUEST_KIND[role]: Queue(world, Worker(self, role).on_request, heard_s)
            for role in ROLES
        }
        if self.outages:
            self.breakers = Outages(self, Queue(world, one.on_breaker, ACK_WAIT_S, ack_last=last))
        if self.quota is not None:
            self.tenants = Tenants(self, self.quota)
            self.ends = Queue(world, self.tenants.on_ended, ACK_WAIT_S, ack_last=last)

    def _stored(self, loop: Loop | None, event: LoopEvent, seq: int, token: str) -> None:
        """Whatever consumes the log hears of an event that is stored."""
        self.on_append(event.subject, event, seq)
        data = event.data
        queue = self.requests.get(data.kind)
        if queue is not None:
            queue.put(event.subject, event, seq=seq, token=token)
        if has_family(loop, data):
            self.family.put(event.subject, event, seq=seq)
        if self.ends is not None and isinstance(data, LoopEnded):
            self.ends.put(event.subject, event, seq=seq)

    def nonce(self, name: str) -> str:
        """A name that nobody had."""
        self.nonces += 1
        return f"{name}-{self.nonces}"

    def claim(self, key: str, owner: str) -> str | None:
        """Who holds the claim after trying to take it; None if that is unknown."""
        try:
            self.claims.publish(key, owner, 0)
        except ConflictError:
            return str(self.claims.stored[key][0][1])
        except BusUnavailableError:
            held = self.claims.stored.get(key)
            return str(held[0][1]) if held else None
        return owner
