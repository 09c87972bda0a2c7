"""Logs: structlog, JSON lines or a console; secrets are redacted by value, wherever they stand."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

import structlog
from pydantic import SecretStr

from loopwright.service.settings import ServiceSettings

#: Shorter values are no secrets but words, and redacting them would tear holes into every line.
MIN_SECRET_CHARS = 6
REDACTED = "[redacted]"
#: Frames without their local variables: those hold whole messages.
_TRACEBACKS = structlog.tracebacks.ExceptionDictTransformer(show_locals=False, max_frames=20)

EventDict = MutableMapping[str, Any]


class Redactor:
    """Replaces known secret values in anything that is about to leave the process."""

    def __init__(self, secrets: Iterable[str]) -> None:
        long_enough = {secret for secret in secrets if len(secret) >= MIN_SECRET_CHARS}
        self._secrets = sorted(long_enough, key=len, reverse=True)

    def text(self, value: str) -> str:
        """The text without any secret."""
        for secret in self._secrets:
            value = value.replace(secret, REDACTED)
        return value

    def value(self, value: Any) -> Any:
        """The value without any secret, however deep it stands."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.value(key): self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(item) for item in value]
        if isinstance(value, int | float | bool) or value is None:
            return value
        return self.text(str(value))

    def __call__(self, _: Any, __: str, event: EventDict) -> EventDict:
        """A structlog processor."""
        return {key: self.value(item) for key, item in event.items()}


def secrets_of(settings: ServiceSettings) -> list[str]:
    """Every secret value among the settings."""
    found = [getattr(settings, name) for name in type(settings).model_fields]
    for value in list(found):
        if isinstance(value, Mapping):
            found += value.values()
    return [value.get_secret_value() for value in found if isinstance(value, SecretStr)]


def configure(service: str, settings: ServiceSettings) -> Redactor:
    """Set up logging for this process and return its redactor."""
    redactor = Redactor(secrets_of(settings))
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(_TRACEBACKS)
        if settings.log_format == "json"
        else structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, redactor, _renderer(settings)],
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service, replica=settings.replica)
    _route_standard_logging(settings)
    return redactor


def _renderer(settings: ServiceSettings) -> structlog.typing.Processor:
    if settings.log_format == "json":
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())


class _Forward(logging.Handler):
    """Standard logging (libraries) into structlog, so that one place formats and redacts."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger(record.name)
        log.log(record.levelno, record.getMessage(), exc_info=record.exc_info or None)


def _route_standard_logging(settings: ServiceSettings) -> None:
    root = logging.getLogger()
    root.handlers = [_Forward()]
    root.setLevel(settings.log_level)
    for name in ("nats", "httpx", "httpx2", "httpcore", "openai", "uvicorn", "faststream"):
        # Tracebacks at every reconnect, and one line with the whole URL for every request.
        logging.getLogger(name).setLevel(logging.WARNING)
