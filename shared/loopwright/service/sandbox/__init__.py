"""Running untrusted commands: what a command may do is decided here and enforced by the kernel."""

from loopwright.service.sandbox.backends import (
    BwrapSandbox,
    LandlockSandbox,
    NoSandbox,
    Sandbox,
    make_root,
)
from loopwright.service.sandbox.command import (
    Command,
    Completed,
    Excerpt,
    KilledBy,
    Limits,
    SandboxUnavailableError,
)
from loopwright.service.sandbox.goal_limits import limits_of
from loopwright.service.sandbox.probe import Probe, choose, probe, strong

__all__ = [
    "BwrapSandbox",
    "Command",
    "Completed",
    "Excerpt",
    "KilledBy",
    "LandlockSandbox",
    "Limits",
    "NoSandbox",
    "Probe",
    "Sandbox",
    "SandboxUnavailableError",
    "choose",
    "limits_of",
    "make_root",
    "probe",
    "strong",
]
