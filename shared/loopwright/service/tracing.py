"""Traces: one trace a loop, carried through the messages' headers as W3C trace context."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from loopwright.service.settings import ServiceSettings
from loopwright.subjects import TRACEPARENT

_PROPAGATOR = TraceContextTextMapPropagator()


class FileExporter(SpanExporter):
    """Spans as JSON lines in a file: traces on a machine that has no collector."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Append each span as one line."""
        for span in spans:
            self._file.write(span.to_json(indent=None) + "\n")
        self._file.flush()
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Close the file."""
        self._file.close()


class Tracing:
    """Starts spans under what a message carries, and says what the next message must carry."""

    def __init__(self, service: str, settings: ServiceSettings) -> None:
        resource = Resource.create(
            {"service.name": f"loopwright-{service}", "service.instance.id": settings.replica}
        )
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        if settings.otlp_endpoint is not None:
            endpoint = f"{settings.otlp_endpoint.rstrip('/')}/v1/traces"
            self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint)))
        if settings.trace_file is not None:
            exporter = FileExporter(settings.trace_file)
            self._provider.add_span_processor(
                BatchSpanProcessor(exporter, schedule_delay_millis=500)
            )
        self._tracer = self._provider.get_tracer("loopwright")

    @contextmanager
    def span(
        self,
        name: str,
        parent: str | None,
        attributes: Mapping[str, str | int | float],
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> Iterator[Span]:
        """A span under the `traceparent` of a message, or the root of a new trace."""
        context = _PROPAGATOR.extract({TRACEPARENT: parent}) if parent else None
        with self._tracer.start_as_current_span(
            name, context=context, kind=kind, attributes=dict(attributes), record_exception=False
        ) as span:
            yield span

    def close(self) -> None:
        """Send what is waiting."""
        self._provider.shutdown()


def traceparent(span: Span) -> str | None:
    """What a message must carry so that its handler's span hangs under this one."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, context=trace.set_span_in_context(span))
    return carrier.get(TRACEPARENT)


def trace_id(parent: str | None) -> str | None:
    """The trace id within a `traceparent`, for logs."""
    parts = (parent or "").split("-")
    return parts[1] if len(parts) == 4 else None
