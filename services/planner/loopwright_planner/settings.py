"""What the planner reads from its environment, besides what every service reads."""

from __future__ import annotations

from loopwright.service.llm.settings import LlmSettings
from loopwright.service.settings import SandboxedSettings


class PlannerSettings(LlmSettings, SandboxedSettings):
    """The endpoint of the planner's models, and the sandbox of planner programs."""
