"""Exit code 0 when a service is healthy: `healthcheck.py grpc 50051` or `healthcheck.py http 8080`."""

import sys
import urllib.request

SECONDS = 3


def grpc_serving(port: str) -> bool:
    """What the standard gRPC health service answers."""
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def http_ready(port: str) -> bool:
    """Whether /readyz answers 200."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=SECONDS) as response:
        return bool(response.status == 200)


if __name__ == "__main__":
    kind, number = sys.argv[1:3]
    sys.exit(0 if {"grpc": grpc_serving, "http": http_ready}[kind](number) else 1)
