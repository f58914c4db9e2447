"""Waiting for an execution's end, and for services that move."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from chassis.errors import Unavailable
from chassis.grpc_client import GrpcClient
from trawl import AsyncTrawl, Trawl
from trawl.scheduler.v1 import lease_pb2, lease_pb2_grpc
from trawl_local.ports import private_ports
from trawl_sdk.client import RESULT_SECONDS, AsyncRun, Run
from trawl_sdk.fleet import Targets

RUNNING: dict[str, Any] = {
    "executionId": "e", "taskName": "t", "status": "running", "startedAt": "", "completedAt": None, "result": None,
    "error": None, "errorCode": None, "attempt": 0, "progress": {}, "runId": 1, "logTotal": 0,
}  # fmt: skip
WAITING = RUNNING | {"waitingReason": "no worker offers 'fn-t'"}


@pytest.mark.parametrize(("answer", "why"), [(RUNNING, "within 0.01 s$"), (WAITING, "no worker offers 'fn-t'")])
def test_a_result_that_does_not_come_says_what_it_waits_for(
    monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any], why: str
) -> None:
    with Trawl("http://127.0.0.1:1") as trawl:
        monkeypatch.setattr(trawl, "send", lambda *_: answer)
        run: Run[Any] = trawl.execution("e")
        assert run.state().waiting_reason == answer.get("waitingReason")
        with pytest.raises(TimeoutError, match=why):
            run.result(timeout=0.01)


async def test_the_async_client_says_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def send(*_: object) -> dict[str, Any]:
        return WAITING

    async with AsyncTrawl("http://127.0.0.1:1") as trawl:
        monkeypatch.setattr(trawl, "send", send)
        with pytest.raises(TimeoutError, match="no worker offers 'fn-t'"):
            await trawl.execution("e").result(timeout=0.01)


def test_nobody_waits_for_ever_unless_they_ask_for_it() -> None:
    for kind in (Run, AsyncRun):
        assert kind.result.__defaults__ == (RESULT_SECONDS,)


def test_services_are_where_the_environment_says_then_the_file_then_where_they_usually_are(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    environment = {"TRAWL_PORTS_FILE": str(file), "SCRAPER_TARGET": "far:1"}
    assert Targets.of(environment) == Targets("127.0.0.1:50051", "far:1", "127.0.0.1:50053")
    file.write_text('{"scheduler": 21001, "scraper": 21002, "worker-registry": 21003}')
    assert Targets.of(environment) == Targets("127.0.0.1:21001", "far:1", "127.0.0.1:21003")
    for text in ("", "[1]", "{"):
        file.write_text(text)
        assert Targets.of(environment).scheduler == "127.0.0.1:50051"
    assert Targets.of({}).registry == "127.0.0.1:50053"


async def test_a_call_under_way_fails_when_its_channel_is_closed_and_is_cancelled_when_its_caller_is() -> None:
    """Not to be confused: the first is an outage, and ends nobody's loop."""
    request = lease_pb2.LeaseRequest()
    for close in (True, False):
        client = GrpcClient("scheduler", f"127.0.0.1:{private_ports(1)[0]}")
        stub: Any = client.stub(lease_pb2_grpc.LeaseServiceStub)
        call = asyncio.create_task(client.call(stub.Lease, request, timeout=600))
        # Until it has tried to connect: from then on the call is under way.
        while client.channel.get_state(try_to_connect=True) == grpc.ChannelConnectivity.IDLE:
            await asyncio.sleep(0.01)
        if close:
            await client.close()
            with pytest.raises(Unavailable, match="connection to scheduler"):
                await call
        else:
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await client.close()
