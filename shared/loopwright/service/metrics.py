"""What each service counts; `/metrics` shows it in Prometheus' text format."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """The counters that every service has; services add their own to `registry`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.dead_letters = Counter(
            "loopwright_dead_letters",
            "Messages recorded as dead letters",
            ["stream"],
            registry=self.registry,
        )
        self.redeliveries = Counter(
            "loopwright_redeliveries",
            "Messages delivered more than once",
            ["stream"],
            registry=self.registry,
        )
        self.bus_up = Gauge(
            "loopwright_bus_connected", "1 while connected to the bus", registry=self.registry
        )


class WorkerMetrics:
    """What planner, executor and verifier count."""

    def __init__(self, registry: CollectorRegistry, role: str) -> None:
        self.steps = Counter(
            "loopwright_steps", "Steps by how they came out", ["role", "result"], registry=registry
        )
        self.seconds = Histogram(
            "loopwright_step_seconds",
            "Time of a step from claim to result",
            ["role"],
            registry=registry,
            buckets=_SECONDS,
        )
        self.running = Gauge(
            "loopwright_steps_running", "Steps that run now", ["role"], registry=registry
        )
        self.role = role


class SandboxMetrics:
    """Which isolation commands can have in this process."""

    def __init__(self, registry: CollectorRegistry, *levels: str) -> None:
        self.level = Gauge(
            "loopwright_sandbox",
            "1 for each level of isolation that works here",
            ["level"],
            registry=registry,
        )
        for level in levels:
            self.level.labels(level).set(1)


class CoordinatorMetrics:
    """What the coordinator counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.decisions = Counter(
            "loopwright_decisions",
            "Inputs by what was decided",
            ["input", "decision"],
            registry=registry,
        )
        self.conflicts = Counter(
            "loopwright_append_conflicts",
            "Appends that another coordinator was faster with",
            registry=registry,
        )
        self.ended = Counter(
            "loopwright_loops_ended", "Loops that ended", ["outcome", "reason"], registry=registry
        )
        self.spent = Counter(
            "loopwright_spent", "What was charged, by unit", ["unit"], registry=registry
        )
        self.seconds = Histogram(
            "loopwright_decision_seconds",
            "Time from delivery to acknowledgement",
            registry=registry,
            buckets=_SECONDS,
        )


#: How a breaker's state is drawn.
BREAKER_LEVELS = {"closed": 0, "half_open": 1, "open": 2}


class BreakerMetrics:
    """What the coordinator sees of the breakers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.changes = Counter(
            "loopwright_breaker_changes",
            "Changes of state of a dependency's breaker",
            ["dependency", "state"],
            registry=registry,
        )


class WatchdogMetrics:
    """What the coordinator's watchdog sees."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.stuck = Gauge(
            "loopwright_stuck_messages",
            "Messages of a queue that no consumer will deliver",
            ["stream"],
            registry=registry,
        )
        self.pending = Gauge(
            "loopwright_consumer_pending",
            "Messages that wait for a consumer",
            ["stream", "consumer"],
            registry=registry,
        )
        self.unacknowledged = Gauge(
            "loopwright_consumer_unacknowledged",
            "Messages that are being handled",
            ["stream", "consumer"],
            registry=registry,
        )
        self.breaker = Gauge(
            "loopwright_breaker_state",
            "0 closed, 1 half-open, 2 open",
            ["dependency"],
            registry=registry,
        )
        self.dead = Gauge("loopwright_dead_letters_kept", "Dead letters", registry=registry)
        self.swept = Counter(
            "loopwright_swept", "Loops woken because their look was overdue", registry=registry
        )
