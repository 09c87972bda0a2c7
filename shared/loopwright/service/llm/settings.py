"""Where a service that calls models finds its endpoint: the operator's, so no goal can name it."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from loopwright.rate import Rate
from loopwright.service.settings import ServiceSettings

#: Where a service with a key and no other address calls.
DEFAULT_BASE_URL = "https://api.openai.com/v1"


class LlmSettings(ServiceSettings):
    """The endpoint and its key."""

    # A Compose file that passes a variable on sets it to nothing where there is none.
    model_config = SettingsConfigDict(env_ignore_empty=True)

    openai_api_key: SecretStr | None = Field(default=None, validation_alias="OPENAI_API_KEY")
    openai_base_url: str = Field(default=DEFAULT_BASE_URL, validation_alias="OPENAI_BASE_URL")
    """Any OpenAI-compatible endpoint, as `http://127.0.0.1:8080/v1`."""
    llm_timeout_s: float = Field(default=240.0, gt=0)
    """The longest that one model call may take, in seconds; a grant's deadline may be nearer."""
    llm_stream: bool = True
    """Whether planners ask for answers piece by piece, to tell those who watch how far they are."""
    llm_limits: dict[str, Rate] = Field(default_factory=dict)
    """A provider's limits by model, as JSON: `{"gpt-4o": {"requests": 60, "tokens": 100000}}`, a
    minute, for all replicas together."""
