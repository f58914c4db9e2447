"""A client that runs tasks by name, for plain and for async programs. Owns: requests, answers, and waiting for an end.

It speaks the task management contract. Both clients share every request and every reading of an answer; they only
differ in how they wait.
"""

import asyncio
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar, overload
from urllib.parse import quote

import httpx

from trawl_sdk.errors import RunCancelled, RunFailed, TrawlError
from trawl_sdk.task import Task

Json = Any
R = TypeVar("R")
DEFAULT_URL = "http://127.0.0.1:8080"
# Where the contract is found below the scheduler's port; on a port of its own it is at the root.
PREFIX = "/management"
REQUEST_SECONDS = 30.0
# As long as a run of a task without a limit of its own.
RESULT_SECONDS = 3_600.0
RETRIES = 5
FIRST_POLL_SECONDS = 0.05
LONGEST_POLL_SECONDS = 1.0
LOG_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Request:
    """One request, whoever sends it."""

    method: str
    path: str
    body: Json = None
    query: Mapping[str, Json] | None = None
    # Whether sending it twice does no harm.
    repeatable: bool = True


@dataclass(frozen=True, slots=True)
class State:
    """An execution as it was shown. `status`: running | completed | failed | cancelled."""

    execution_id: str
    task_name: str
    status: str
    started_at: str
    completed_at: str | None
    result: Json
    error: str | None
    error_code: str | None
    attempt: int
    progress: Mapping[str, Json]
    run_id: int
    log_total: int
    # Why it has not started or gone on: no worker offers its queue, a retry's delay, a rate limit, …; None: it has.
    waiting_reason: str | None = None

    @property
    def ended(self) -> bool:
        """Whether it will not change any more."""
        return self.status != "running"

    def outcome(self) -> Json:
        """The result. Raises `RunFailed`, `RunCancelled`."""
        if self.status == "failed":
            raise RunFailed(self.error or "failed", code=self.error_code, execution_id=self.execution_id)
        if self.status == "cancelled":
            raise RunCancelled(f"execution {self.execution_id} was cancelled")
        return self.result


def execute(task: "str | Task[..., Any]", params: Mapping[str, Json] | None) -> Request:
    """Start a run."""
    name = task if isinstance(task, str) else task.name
    path = f"/tasks/{quote(name, safe='')}/execute/api"
    return Request("POST", path, {"params": dict(params or {})}, repeatable=False)


def show(execution_id: str, **query: Json) -> Request:
    """Ask for an execution."""
    return Request("GET", f"/tasks/running/execution/{execution_id}", query={"detail": "true", **query})


def cancel(execution_id: str) -> Request:
    """End an execution."""
    return Request("DELETE", "/tasks/executions/cancel/by-ids", query={"executionIds": execution_id})


def state_of(answer: Mapping[str, Json]) -> State:
    """An execution, as the service shows it."""
    return State(
        execution_id=answer["executionId"], task_name=answer["taskName"], status=answer["status"],
        started_at=answer["startedAt"], completed_at=answer["completedAt"], result=answer["result"],
        error=answer["error"], error_code=answer["errorCode"], attempt=answer["attempt"],
        progress=answer["progress"], run_id=answer["runId"], log_total=answer["logTotal"],
        waiting_reason=answer.get("waitingReason"),
    )  # fmt: skip


class _Connection:
    """What both clients know: where to send, as whom, and what an answer means."""

    def __init__(self, url: str | None, key: str | None, prefix: str, timeout: float) -> None:
        base = (url or os.environ.get("TRAWL_URL") or DEFAULT_URL).rstrip("/")
        key = key or os.environ.get("TRAWL_KEY")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._prefix = prefix
        self._options: dict[str, Any] = {"base_url": base, "headers": headers, "timeout": timeout}

    def _parts(self, request: Request, idempotency_key: str) -> dict[str, Any]:
        parts: dict[str, Any] = {"method": request.method, "url": self._prefix + request.path, "params": request.query}
        if request.body is not None:
            parts["json"] = request.body
        if not request.repeatable:
            # So that a repeat after a lost answer starts nothing a second time.
            parts["headers"] = {"Idempotency-Key": idempotency_key}
        return parts


def _busy(response: httpx.Response) -> bool:
    return response.status_code in (429, 503)


def _pause(response: httpx.Response | None, attempt: int) -> float:
    header = response.headers.get("Retry-After", "") if response is not None else ""
    return float(header) if header.isdigit() else min(2.0, 0.1 * 2.0**attempt)


def _read(response: httpx.Response) -> Json:
    try:
        answer = response.json()
    except ValueError as error:
        raise TrawlError(
            f"the answer is not JSON (status {response.status_code})", status=response.status_code
        ) from error
    if response.status_code < 400:
        return answer
    message, field = f"status {response.status_code}", None
    if isinstance(answer, dict):
        inner = answer.get("error")
        message = str(answer.get("message") or (inner.get("message") if isinstance(inner, dict) else inner) or message)
        field = answer.get("field")
    raise TrawlError(message, status=response.status_code, field=field)


def _polls(timeout: float | None) -> Iterator[float]:
    """How long to wait before each further look, until `timeout` seconds are over; None: for ever."""
    until = None if timeout is None else time.monotonic() + timeout
    pause = FIRST_POLL_SECONDS
    while True:
        if until is not None:
            left = until - time.monotonic()
            if left <= 0:
                return
            pause = min(pause, left)
        yield pause
        pause = min(LONGEST_POLL_SECONDS, pause * 1.5)


def _late(state: State | None, timeout: float | None) -> TimeoutError:
    """That it has not ended in time, and why as far as that is known."""
    why = f": {state.waiting_reason}" if state is not None and state.waiting_reason else ""
    return TimeoutError(f"the execution has not ended within {timeout:g} s{why}")


class Run(Generic[R]):
    """One execution. Made by `Trawl.run`, or by `Trawl.execution` for one that is known by its id."""

    def __init__(self, client: "Trawl", execution_id: str) -> None:
        self._client, self.execution_id = client, execution_id

    def state(self) -> State:
        """How it is now."""
        return state_of(self._client.send(show(self.execution_id, logLimit=1)))

    def result(self, timeout: float | None = RESULT_SECONDS) -> R:
        """Wait for the end, and answer what the task returned. Raises `RunFailed`, `RunCancelled`, and TimeoutError,
        which says what it waits for, after `timeout` seconds (None: never).
        """
        state = None
        for pause in _polls(timeout):
            if (state := self.state()).ended:
                outcome: R = state.outcome()
                return outcome
            time.sleep(pause)
        raise _late(state, timeout)

    def logs(self, offset: int = 0, limit: int = LOG_PAGE) -> Sequence[Mapping[str, Json]]:
        """Lines of its log: `timestamp`, `level`, `message`, and `data` where there is some."""
        answer = self._client.send(show(self.execution_id, logOffset=offset, logLimit=limit))
        lines: Sequence[Mapping[str, Json]] = answer["logs"]
        return lines

    def items(self, limit: int = 1_000) -> Sequence[Mapping[str, Json]]:
        """The first items that it has emitted; asks the scheduler's contract, so it needs that port's address."""
        return _items(self._client.send(_list_items(self.state().run_id, limit), at_root=True))

    def cancel(self) -> bool:
        """End it; False when it had ended already."""
        return bool(self._client.send(cancel(self.execution_id))["cancelled"])


def _list_items(run_id: int, limit: int) -> Request:
    return Request("GET", f"/api/runs/{run_id}/results", query={"size": min(limit, 1_000)})


def _items(answer: Json) -> Sequence[Mapping[str, Json]]:
    return [item["data"] for item in answer["data"]["items"]]


class Trawl(_Connection):
    """``Trawl(url, key).run("name", {"n": 1}).result()``

    `url` is the scheduler's port (default: TRAWL_URL, else this machine's 8080), `key` an API key (default: TRAWL_KEY).
    For the task management port itself: ``Trawl("http://host:8083", key, prefix="")``. `timeout`: seconds that one
    request may take. Use it as a context manager, or call `close`.
    """

    def __init__(
        self, url: str | None = None, key: str | None = None, *, prefix: str = PREFIX, timeout: float = REQUEST_SECONDS
    ) -> None:
        super().__init__(url, key, prefix, timeout)
        self._http = httpx.Client(**self._options)

    @overload
    def run(self, task: "Task[..., R]", params: Mapping[str, Json] | None = None) -> Run[R]: ...

    @overload
    def run(self, task: str, params: Mapping[str, Json] | None = None) -> Run[Any]: ...

    def run(self, task: "str | Task[..., Any]", params: Mapping[str, Json] | None = None) -> Run[Any]:
        """Start a run of the task with that name (or of that function's task). Raises `TrawlError`."""
        return Run(self, self.send(execute(task, params))["executionId"])

    def execution(self, execution_id: str) -> Run[Any]:
        """An execution that is known by its id."""
        return Run(self, execution_id)

    def send(self, request: Request, *, at_root: bool = False) -> Json:
        """The answer to a request of the contract. Raises `TrawlError`."""
        parts = self._parts(request, os.urandom(16).hex())
        if at_root:
            parts["url"] = request.path
        for attempt in range(RETRIES):
            response: httpx.Response | None = None
            try:
                response = self._http.request(**parts)
                if not _busy(response) or attempt == RETRIES - 1:
                    return _read(response)
            except httpx.TransportError as error:
                if attempt == RETRIES - 1:
                    raise TrawlError(f"no answer: {error}") from error
            time.sleep(_pause(response, attempt))
        raise AssertionError("the last attempt answers or raises")

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncRun(Generic[R]):
    """One execution. Made by `AsyncTrawl.run` or `AsyncTrawl.execution`; see `Run` for what the methods do."""

    def __init__(self, client: "AsyncTrawl", execution_id: str) -> None:
        self._client, self.execution_id = client, execution_id

    async def state(self) -> State:
        """How it is now."""
        return state_of(await self._client.send(show(self.execution_id, logLimit=1)))

    async def result(self, timeout: float | None = RESULT_SECONDS) -> R:  # noqa: ASYNC109 - as `Run.result`
        """Wait for the end, and answer what the task returned. Raises `RunFailed`, `RunCancelled`, TimeoutError."""
        state = None
        for pause in _polls(timeout):
            if (state := await self.state()).ended:
                outcome: R = state.outcome()
                return outcome
            await asyncio.sleep(pause)
        raise _late(state, timeout)

    async def logs(self, offset: int = 0, limit: int = LOG_PAGE) -> Sequence[Mapping[str, Json]]:
        """Lines of its log."""
        answer = await self._client.send(show(self.execution_id, logOffset=offset, logLimit=limit))
        lines: Sequence[Mapping[str, Json]] = answer["logs"]
        return lines

    async def items(self, limit: int = 1_000) -> Sequence[Mapping[str, Json]]:
        """The first items that it has emitted."""
        state = await self.state()
        return _items(await self._client.send(_list_items(state.run_id, limit), at_root=True))

    async def cancel(self) -> bool:
        """End it; False when it had ended already."""
        return bool((await self._client.send(cancel(self.execution_id)))["cancelled"])


class AsyncTrawl(_Connection):
    """``await (await AsyncTrawl(url, key).run("name", {"n": 1})).result()``; otherwise as `Trawl`."""

    def __init__(
        self, url: str | None = None, key: str | None = None, *, prefix: str = PREFIX, timeout: float = REQUEST_SECONDS
    ) -> None:
        super().__init__(url, key, prefix, timeout)
        self._http = httpx.AsyncClient(**self._options)

    @overload
    async def run(self, task: "Task[..., R]", params: Mapping[str, Json] | None = None) -> AsyncRun[R]: ...

    @overload
    async def run(self, task: str, params: Mapping[str, Json] | None = None) -> AsyncRun[Any]: ...

    async def run(self, task: "str | Task[..., Any]", params: Mapping[str, Json] | None = None) -> AsyncRun[Any]:
        """Start a run of the task with that name (or of that function's task). Raises `TrawlError`."""
        return AsyncRun(self, (await self.send(execute(task, params)))["executionId"])

    def execution(self, execution_id: str) -> AsyncRun[Any]:
        """An execution that is known by its id."""
        return AsyncRun(self, execution_id)

    async def send(self, request: Request, *, at_root: bool = False) -> Json:
        """The answer to a request of the contract. Raises `TrawlError`."""
        parts = self._parts(request, os.urandom(16).hex())
        if at_root:
            parts["url"] = request.path
        for attempt in range(RETRIES):
            response: httpx.Response | None = None
            try:
                response = await self._http.request(**parts)
                if not _busy(response) or attempt == RETRIES - 1:
                    return _read(response)
            except httpx.TransportError as error:
                if attempt == RETRIES - 1:
                    raise TrawlError(f"no answer: {error}") from error
            await asyncio.sleep(_pause(response, attempt))
        raise AssertionError("the last attempt answers or raises")

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
