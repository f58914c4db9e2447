"""A client of the scheduler contract (port 8080), as far as the demonstration needs one. Must not know the shop."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from trawl_local.errors import Refusal

CALL_SECONDS = 20.0
POLL_SECONDS = 0.2
ATTEMPTS = 6
PAGE_SIZE = 100
ENDED = frozenset({"completed", "failed", "aborted"})
Json = dict[str, Any]


class Api:
    """Calls with one key. Every method raises `Refusal` with what the server said against it."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session, self.base = session, base

    async def call(self, method: str, path: str, body: Json | None = None, **query: str | int) -> tuple[int, Json]:
        """Status and JSON body; a 429 or 503 is tried again after the time that it names."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._session.request(method, f"{self.base}{path}", json=body, params=query) as response:
                    if response.status in (429, 503) and attempt < ATTEMPTS:
                        await asyncio.sleep(_seconds(response.headers.get("Retry-After"), attempt))
                        continue
                    answer = await response.json(content_type=None)
                    return response.status, answer if isinstance(answer, dict) else {}
            except ValueError as error:
                raise Refusal(f"{method} {path} answered something that is not JSON: see the logs.") from error
            except (aiohttp.ClientError, TimeoutError) as error:
                reason = str(error) or type(error).__name__
                raise Refusal(f"{method} {path} failed ({reason}): is the stack still running?") from error
        raise AssertionError("the last attempt answers or raises")

    async def data(self, method: str, path: str, body: Json | None = None, **query: str | int) -> Json:
        """The answer's `data`."""
        status, answer = await self.call(method, path, body, **query)
        if status == 401:
            raise Refusal("The key was refused: set TRAWL_API_KEY to the one that the stack was first started with.")
        data = answer.get("data")
        if status >= 400 or not isinstance(data, dict):
            error = answer.get("error")
            said = error.get("message") if isinstance(error, dict) else None
            raise Refusal(f"{method} {path} answered {status} ({said or 'without a reason'}): see the logs.")
        return data

    async def put_task(self, task: Json) -> int:
        """Create the task, or update the one of that name; its id."""
        status, answer = await self.call("POST", "/api/tasks", task)
        if status == 409:
            page = await self.data("GET", "/api/tasks", search=task["name"], size=PAGE_SIZE)
            found = [int(one["id"]) for one in page["items"] if one["name"] == task["name"]]
            if not found:
                raise Refusal(f"The task {task['name']} is there but can't be found: see the logs.")
            await self.data("PUT", f"/api/tasks/{found[0]}", task)
            return found[0]
        if status == 401:
            await self.data("GET", "/api/tasks", size=1)
        if status >= 400:
            raise Refusal(f"The task {task['name']} was refused with {status}: {answer.get('error')}.")
        return int(answer["data"]["id"])

    async def trigger(self, task_id: int) -> int:
        """Start a run; its id."""
        return int((await self.data("POST", f"/api/tasks/{task_id}/trigger", {}))["run_id"])

    async def watch(self, run_id: int, seconds: float) -> AsyncIterator[Json]:
        """The run, again and again until it has ended. Raises `Refusal` when it takes longer than `seconds`."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            run = await self.data("GET", f"/api/runs/{run_id}")
            yield run
            if run.get("status") in ENDED:
                return
            if asyncio.get_running_loop().time() > deadline:
                raise Refusal(f"Run {run_id} is still {run.get('status')} after {seconds:.0f} s: see the logs.")
            await asyncio.sleep(POLL_SECONDS)

    async def results(self, run_id: int) -> list[Json]:
        """The data of all result items, read page by page."""
        found: list[Json] = []
        page = 1
        while True:
            data = await self.data("GET", f"/api/runs/{run_id}/results", page=page, size=PAGE_SIZE)
            rows = data["items"]
            found += [row.get("data", row) for row in rows]
            if not rows or len(found) >= int(data.get("total", 0)):
                return found
            page += 1


def _seconds(header: str | None, attempt: int) -> float:
    if header and header.isascii() and header.isdigit():
        return min(float(header), 5.0)
    return 0.2 * attempt


@asynccontextmanager
async def connect(base: str, key: str) -> AsyncIterator[Api]:
    """A client of the API at `base`."""
    headers: Mapping[str, str] = {"Authorization": f"Bearer {key}"}
    timeout = aiohttp.ClientTimeout(total=CALL_SECONDS)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        yield Api(session, base)
