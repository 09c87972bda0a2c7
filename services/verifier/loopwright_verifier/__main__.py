"""The verifier's composition root: `python -m loopwright_verifier`."""

from __future__ import annotations

from loopwright.events import VerificationRequested
from loopwright.objects import Objects
from loopwright.service.app import Process
from loopwright.service.role import run_role
from loopwright.service.sandbox import choose
from loopwright.service.settings import SandboxedSettings, load
from loopwright.workspace import Workspaces
from loopwright_verifier.step import VerifyStep


def main() -> None:
    """Serve until SIGTERM."""
    settings = load(SandboxedSettings)

    async def make_step(_: Process, objects: Objects) -> VerifyStep:
        sandbox = await choose(allow_none=settings.sandbox_allow_none)
        return VerifyStep(Workspaces(settings.cache_dir / "verifier", objects), sandbox)

    run_role("verifier", VerificationRequested, settings, make_step)


if __name__ == "__main__":
    main()
