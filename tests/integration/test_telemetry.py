"""What OpenTelemetry's own variables do, and that children start while gRPC and an exporter are busy."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

SPAN = """
from chassis import telemetry
from chassis.settings import ServiceSettings
telemetry.configure_telemetry("scheduler", ServiceSettings())
with telemetry.span("accept run") as span:
    print("recording" if span.is_recording() else "nothing")
telemetry.shutdown_telemetry()
"""
CHILDREN = """
import asyncio, collections, sys, uvloop
from pathlib import Path
from chassis import telemetry
from chassis.grpc_client import GrpcClient
from chassis.grpc_server import GrpcServer
from chassis.settings import ServiceSettings
from grpc_health.v1 import health_pb2, health_pb2_grpc

async def main():
    server = GrpcServer("127.0.0.1", 0)
    await server.start()
    client = GrpcClient("itself", f"127.0.0.1:{server.port}")
    health = client.stub(health_pb2_grpc.HealthStub)

    async def call():
        while True:
            with telemetry.span("call"):
                await client.call(health.Check, health_pb2.HealthCheckRequest(), timeout=60)

    async def child():
        process = await asyncio.create_subprocess_exec(sys.executable, "-I", "-S", "-c", "pass")
        return await process.wait()

    calls = [asyncio.create_task(call()) for _ in range(4)]
    ends = collections.Counter()
    for _ in range(25):
        ends.update(await asyncio.gather(*(child() for _ in range(4))))
    for one in calls:
        one.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    await client.close()
    await server.stop(0)
    print(dict(ends))

telemetry.configure_telemetry("scraper", ServiceSettings())
uvloop.run(main())
telemetry.shutdown_telemetry()
"""


def run(program: str, **environment: str) -> str:
    """What it prints, with these variables and no others that speak of traces."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "TRACE_", "GRPC_"))}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=clean | environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps the attributes of each resource that spans come from."""

    def __init__(self) -> None:
        self.resources: list[dict[str, str]] = []

    def Export(self, request: trace_service_pb2.ExportTraceServiceRequest, context: object) -> object:  # noqa: N802
        for spans in request.resource_spans:
            self.resources.append({one.key: one.value.string_value for one in spans.resource.attributes})
        return trace_service_pb2.ExportTraceServiceResponse()


@pytest.fixture
def collector() -> Iterator[tuple[Collector, str]]:
    server, kept = grpc.server(ThreadPoolExecutor(2)), Collector()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(kept, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield kept, f"http://127.0.0.1:{port}"
    server.stop(None)


def test_an_endpoint_alone_is_enough_and_each_service_has_its_own_name(collector: tuple[Collector, str]) -> None:
    kept, endpoint = collector
    attributes = "k8s.pod.name=scheduler-0,deployment.environment.name=test"
    assert run(SPAN, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_RESOURCE_ATTRIBUTES=attributes) == "recording"
    run(SPAN, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_SERVICE_NAME="orders")
    assert [one["service.name"] for one in kept.resources] == ["trawl-scheduler", "orders"]
    assert kept.resources[0]["k8s.pod.name"] == "scheduler-0"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        {"OTEL_TRACES_EXPORTER": "console", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_TRACES_EXPORTER": "console", "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"},
        {"TRACE_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
    ],
)
def test_what_is_not_asked_for_is_not_recorded(environment: dict[str, str]) -> None:
    assert run(SPAN, **environment) == "nothing"


def test_no_child_dies_while_calls_are_under_way_and_spans_are_written(tmp_path: Path) -> None:
    assert run(CHILDREN, TRACE_EXPORTER="file", TRACE_DIR=str(tmp_path)) == "{0: 100}"
    assert (tmp_path / "scraper.jsonl").stat().st_size > 0
