"""OpenTelemetry: one tracer a process, and the W3C `traceparent` string as the way between processes.

With no exporter nothing is recorded and a span costs next to nothing; the trace context is still carried on, so that
one sampled caller sees its whole path.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from chassis.settings import ServiceSettings

_PROPAGATOR = TraceContextTextMapPropagator()
_tracer = trace.get_tracer("trawl")


def configure_telemetry(service: str, settings: ServiceSettings) -> None:
    """Install the exporter that the settings name, for the whole process."""
    exporter: SpanExporter
    if settings.trace_exporter == "none":
        return
    if settings.trace_exporter == "otlp":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        exporter = OTLPSpanExporter()
    else:
        exporter = _file_exporter(settings.trace_dir, service)
    provider = TracerProvider(
        resource=Resource.create({"service.name": f"trawl-{service}"}),
        sampler=ParentBasedTraceIdRatio(settings.trace_ratio),
    )
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=500))
    trace.set_tracer_provider(provider)


def _file_exporter(directory: Path, service: str) -> SpanExporter:
    directory.mkdir(parents=True, exist_ok=True)
    out = (directory / f"{service}.jsonl").open("a", encoding="utf-8", buffering=1)
    return ConsoleSpanExporter(out=out, formatter=lambda span: span.to_json(indent=None) + "\n")


def shutdown_telemetry() -> None:
    """Send what is still held back."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.shutdown()


def current_traceparent() -> str:
    """The running span as a `traceparent`, or an empty string."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get("traceparent", "")


@contextmanager
def span(name: str, *, parent: str = "", kind: SpanKind = SpanKind.INTERNAL, **attributes: Any) -> Iterator[Span]:
    """A span that is the child of `parent` (a `traceparent`), or of the running one. An exception marks it failed."""
    context = _PROPAGATOR.extract({"traceparent": parent}) if parent else None
    with _tracer.start_as_current_span(name, context=context, kind=kind, attributes=attributes) as current:
        try:
            yield current
        except Exception as error:
            current.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
