"""OpenTelemetry: one tracer a process, and the W3C `traceparent` string as the way between processes.

With no exporter nothing is recorded and a span costs next to nothing; the trace context is still carried on, so that
one sampled caller sees its whole path.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk._configuration import _OTelSDKConfigurator  # made to be subclassed, see there
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from chassis.settings import ServiceSettings

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
FILE_MILLISECONDS = 500
_PROPAGATOR = TraceContextTextMapPropagator()
_tracer = trace.get_tracer("trawl")


class _Configurator(_OTelSDKConfigurator):
    """The SDK's own reading of the `OTEL_…` variables: exporters, sampler, resource, batches, `OTEL_SDK_DISABLED`."""


def configure_telemetry(service: str, settings: ServiceSettings) -> None:
    """Install what the environment asks for, for the whole process. Exits with one sentence when that is not there."""
    to_file = settings.trace_exporter == "file"
    if settings.trace_exporter is None:
        chosen = "otlp" if any(os.environ.get(name) for name in ENDPOINTS) else "none"
    else:
        chosen = "none" if to_file else settings.trace_exporter
    # OpenTelemetry's own default is an exporter to a collector that nobody has named.
    chosen = os.environ.get("OTEL_TRACES_EXPORTER") or chosen
    if chosen == "none" and not to_file:
        return
    os.environ["OTEL_TRACES_EXPORTER"] = chosen
    named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    try:
        configurator: Any = _Configurator()  # type: ignore[no-untyped-call]
        configurator.configure(
            span_processors=[_file_processor(settings.trace_dir, service)] if to_file else [],
            resource_attributes={} if named else {"service.name": f"trawl-{service}"},
        )
    except RuntimeError as error:
        sys.exit(f"OTEL_TRACES_EXPORTER={chosen}: {error}")


def _file_processor(directory: Path, service: str) -> SpanProcessor:
    directory.mkdir(parents=True, exist_ok=True)
    out = (directory / f"{service}.jsonl").open("a", encoding="utf-8", buffering=1)
    exporter = ConsoleSpanExporter(out=out, formatter=lambda span: span.to_json(indent=None) + "\n")
    return BatchSpanProcessor(exporter, schedule_delay_millis=FILE_MILLISECONDS)


def records_traces() -> bool:
    """Whether spans of this process go anywhere."""
    return isinstance(trace.get_tracer_provider(), TracerProvider)


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
