"""Liveness says that a process lives, readiness that work may be sent to it."""

from pathlib import Path

import grpc
import pytest
import stores
from cell import Cell
from chassis.grpc_server import LIVENESS
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
SERVICES = ("registry", "scheduler", "scraper")
STORES = ("nats", "redis", "mongodb")


def healths(cell: Cell, service: str) -> tuple[int, int]:
    """(liveness, readiness) of each service."""
    with grpc.insecure_channel(f"127.0.0.1:{cell.programs[service].port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        live, ready = (
            stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=60, wait_for_ready=True)
            for name in (LIVENESS, "")
        )
    return live.status, ready.status


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    return Cell(tmp_path)


def test_a_process_without_its_stores_lives_and_is_not_ready_at_its_start_and_later(cell: Cell) -> None:
    try:
        for name in SERVICES:
            cell.programs[name].start(wait=False)
        assert [healths(cell, name) for name in SERVICES] == [(SERVING, NOT_SERVING)] * 3
        for name in STORES:
            cell.programs[name].start()
        stores.wait_until(lambda: all(healths(cell, name) == (SERVING, SERVING) for name in SERVICES), 60)
        # What is asked before that waits for it.
        task = cell.create_task("after the start", "noop")
        cell.await_run(cell.start_run(task))
        for name in STORES:
            cell.programs[name].kill()
        stores.wait_until(lambda: all(healths(cell, name) == (SERVING, NOT_SERVING) for name in SERVICES), 60)
        assert all(cell.programs[name].running for name in SERVICES)
    finally:
        cell.stop()
