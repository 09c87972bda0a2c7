"""What the planner reads from its environment, besides what every service reads."""

from __future__ import annotations

from loopwright.service.llm.settings import LlmSettings


class PlannerSettings(LlmSettings):
    """The endpoint of the planner's models."""
