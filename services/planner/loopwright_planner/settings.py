"""What the planner reads from its environment, besides what every service reads."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic_settings import SettingsConfigDict

from loopwright.service.llm.settings import LlmSettings
from loopwright.service.settings import SandboxedSettings


class PlannerSettings(LlmSettings, SandboxedSettings):
    """The endpoint of the planner's models, and the sandbox of planner programs."""

    # Said again: of two bases' settings the last one's hold.
    model_config = SettingsConfigDict(env_ignore_empty=True)

    cassette: Path | None = None
    """A file of recorded exchanges with models: they are played back, or added to it."""
    cassette_mode: Literal["play", "record"] = "play"
