"""The verifier's composition root: `python -m loopwright_verifier`."""

from __future__ import annotations

from functools import partial

from loopwright.events import VerificationRequested
from loopwright.objects import Objects
from loopwright.service.app import Process
from loopwright.service.gate import Gate
from loopwright.service.limits import Limits
from loopwright.service.llm.client import Llm
from loopwright.service.metrics import SandboxMetrics
from loopwright.service.role import run_role
from loopwright.service.sandbox import choose
from loopwright.service.settings import load
from loopwright.service.tidy import keep_small
from loopwright.workspace import Workspaces
from loopwright_verifier.panel import Panel
from loopwright_verifier.settings import VerifierSettings
from loopwright_verifier.step import VerifyStep


def main() -> None:
    """Serve until SIGTERM."""
    settings = load(VerifierSettings)

    async def make_step(parts: Process, objects: Objects) -> VerifyStep:
        workspaces = Workspaces(settings.cache_dir / "verifier", objects)
        parts.background.append(partial(keep_small, workspaces, settings.cache_bytes))
        sandbox = await choose(settings.sandbox_allow_none)
        SandboxMetrics(parts.metrics.registry, sandbox.level)
        return VerifyStep(
            workspaces,
            sandbox,
            Panel(
                Llm(settings),
                settings.llm_timeout_s,
                Gate(parts.bus.nc),
                Limits(parts.bus.nc, settings.llm_limits),
            ),
            settings.http_hosts,
        )

    run_role("verifier", VerificationRequested, settings, make_step)


if __name__ == "__main__":
    main()
