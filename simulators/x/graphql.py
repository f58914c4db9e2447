"""The stand-in's GraphQL endpoint. Owns: who may ask, rate-limit windows, faults, and which answer is given. Must not
know pages or scripts.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from simulators.x import pages
from simulators.x.faults import Fault, FaultPlan
from simulators.x.shapes import Json, Shapes
from simulators.x.timelines import OPERATIONS, PAGE_SIZE, Ask, Timelines, parse_cursor
from simulators.x.world import World

LOADS_PER_ROTATION = 25
MAX_LOG = 20_000
_ERRORS = {
    "code_88": (200, 88, "Rate limit exceeded"),
    "code_326": (403, 326, "To protect our users this account has been temporarily locked"),
    "code_32": (401, 32, "Could not authenticate you"),
    "code_64": (403, 64, "Your account is suspended and is not permitted to access this feature"),
    "code_336": (400, 336, "The following features cannot be null"),
    "server_error": (503, 130, "Over capacity"),
    "stale_query": (404, 0, "Query not found"),
}


@dataclass(slots=True)
class State:
    """What control requests may change."""

    limit: int = 500
    window_seconds: int = 900
    shape: str = "mixed"
    rotation: int = 0
    page_loads: int = 0
    plan: FaultPlan = field(default_factory=FaultPlan)
    # auth_token -> suspended | locked | logged_out
    accounts: dict[str, str] = field(default_factory=dict)
    # (auth_token, operation) -> (window's end in epoch seconds, asked)
    windows: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    # operation -> answers that its requests get one after the other instead of the world's; the last one stays
    answers: dict[str, list[Json]] = field(default_factory=dict)
    log: list[Json] = field(default_factory=list)


class GraphQl:
    """Answers `/i/api/graphql/<query id>/<operation>`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.state = State()

    def reset(self) -> None:
        """As it was at the start, but with query ids that were never used."""
        rotation = self.state.rotation + 1
        self.state = State(rotation=rotation)

    def epoch(self) -> int:
        """Changes with every rotation of the query ids."""
        return self.state.rotation + self.state.page_loads // LOADS_PER_ROTATION

    def query_ids(self, epoch: int) -> dict[str, str]:
        """The ids by operation; nobody can guess the next ones."""
        return {name: _digest(f"{self._world.seed}/{epoch}/{name}") for name in OPERATIONS}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request of the page."""
        operation, account = request.match_info["operation"], request.cookies.get("auth_token", "")
        variables = _object(request.query.get("variables", ""))
        entry = {"operation": operation, "account": account, "cursor": variables.get("cursor"), "time": time.time()}
        try:
            answer = await self._answer(request, operation, account, variables)
        except asyncio.CancelledError:
            entry["status"] = 0
            raise
        else:
            entry["status"] = answer.status
            return answer
        finally:
            self.state.log.append(entry)
            del self.state.log[:-MAX_LOG]

    async def _answer(self, request: web.Request, operation: str, account: str, variables: Json) -> web.Response:
        current = self.epoch()
        known = {self.query_ids(epoch).get(operation) for epoch in (current, current - 1)}
        if request.match_info["query_id"] not in known:
            return _error("stale_query")
        if (refused := self._refused(request, account)) is not None:
            return refused
        fault = self.state.plan.next(operation, account)
        headers, over = self._spend(account, operation)
        if over:
            return web.json_response(
                {"errors": [{"code": 88, "message": "Rate limit exceeded"}]}, status=429, headers=headers
            )
        if fault is not None and (spoiled := await self._spoiled(fault, headers)) is not None:
            return spoiled
        answer = self._data(operation, variables, fault.kind if fault else "")
        if answer is None:
            return web.json_response({"errors": [{"code": 214, "message": "Bad request"}]}, status=400)
        return web.json_response(answer, headers=headers)

    def _refused(self, request: web.Request, account: str) -> web.Response | None:
        state = self.state.accounts.get(account, "")
        if not account or state == "logged_out":
            return _error("code_32")
        if not request.cookies.get("ct0") or request.headers.get("x-csrf-token") != request.cookies.get("ct0"):
            body = {"errors": [{"code": 353, "message": "This request requires a matching csrf cookie and header."}]}
            return web.json_response(body, status=403)
        if state == "suspended":
            return _error("code_64")
        return _error("code_326") if state == "locked" else None

    def _spend(self, account: str, operation: str) -> tuple[dict[str, str], bool]:
        """Count the request against its window; answers the headers, and whether it is one too many."""
        now = int(time.time())
        end, asked = self.state.windows.get((account, operation), (0, 0))
        if now >= end:
            end, asked = now + self.state.window_seconds, 0
        over = asked >= self.state.limit
        self.state.windows[(account, operation)] = (end, asked + (not over))
        remaining = max(0, self.state.limit - asked - 1)
        return _limit_headers(self.state.limit, 0 if over else remaining, end), over

    async def _spoiled(self, fault: Fault, headers: Mapping[str, str]) -> web.Response | None:
        """The answer that the fault makes, or None when it only changes a good one."""
        kind = fault.kind
        if kind == "rate_limit":
            limited = _limit_headers(self.state.limit, 0, int(time.time() + fault.seconds))
            return web.Response(status=429, text="Rate limit exceeded\n", headers=limited)
        if kind in _ERRORS:
            return _error(kind)
        if kind == "forbidden":
            return web.Response(status=403)
        if kind == "html_block":
            return web.Response(status=403, text=pages.BLOCK, content_type="text/html")
        if kind == "garbage":
            return web.Response(text="<<<not what you think>>>", content_type="application/json", headers=headers)
        if kind in ("slow", "silent"):
            await asyncio.sleep(fault.seconds if kind == "slow" else 3600)
        return None

    def _data(self, operation: str, variables: Json, fault: str) -> Json | None:
        if given := self.state.answers.get(operation):
            return given.pop(0) if len(given) > 1 else given[0]
        shapes = Shapes(self._world, self.state.shape)
        if operation == "UserByScreenName":
            user = self._world.user(str(variables.get("screen_name", "")))
            answer: Json = {"data": {"user": {"result": shapes.user(user)}} if user else {}}
            return (
                _changed(answer) if fault == "changed_tweets" else _moved(answer) if fault == "changed_path" else answer
            )
        key = str(variables.get("rawQuery" if operation == "SearchTimeline" else "userId", ""))
        raw = variables.get("cursor")
        cursor = parse_cursor(str(raw), operation, key) if raw else None
        if operation not in OPERATIONS or (raw and cursor is None):
            return None
        count = variables.get("count")
        ask = Ask(operation, key, cursor, count if isinstance(count, int) and 0 < count <= 100 else PAGE_SIZE)
        timelines = Timelines(self._world, shapes)
        if fault in ("empty", "loop_cursor"):
            instructions = timelines.empty_page(ask, same_cursor=fault == "loop_cursor")
        else:
            instructions = timelines.page(ask, strange=fault == "unknown_kinds")
        answer = self._wrapped(operation, instructions)
        if fault == "partial_errors":
            answer["errors"] = [{"code": 29, "message": "Timeout: Unspecified", "path": ["user"]}]
        return _changed(answer) if fault == "changed_tweets" else _moved(answer) if fault == "changed_path" else answer

    def _wrapped(self, operation: str, instructions: list[Json]) -> Json:
        timeline: Json = {"timeline": {"instructions": instructions}}
        if operation == "SearchTimeline":
            return {"data": {"search_by_raw_query": {"search_timeline": timeline}}}
        place = "timeline_v2" if self.state.shape == "old" else "timeline"
        return {"data": {"user": {"result": {"__typename": "User", place: timeline}}}}


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=11).hexdigest()


def _object(text: str) -> Json:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _limit_headers(limit: int, remaining: int, reset: int) -> dict[str, str]:
    values: dict[str, Any] = {"limit": limit, "remaining": remaining, "reset": reset}
    return {f"x-rate-limit-{name}": str(value) for name, value in values.items()}


def _error(kind: str) -> web.Response:
    status, code, message = _ERRORS[kind]
    if not code:
        return web.Response(status=status, text="")
    return web.json_response({"errors": [{"code": code, "message": message}]}, status=status)


def _moved(answer: Json) -> Json:
    """The same answer at a place that nobody knows yet."""
    return {"data": {"viewer_v3": answer["data"]}}


def _changed(value: Any) -> Any:
    """The same answer with the parts of tweets and users renamed."""
    renamed = {"legacy": "substance", "rest_id": "identifier", "core": "kernel"}
    if isinstance(value, dict):
        return {renamed.get(key, key): _changed(inner) for key, inner in value.items()}
    return [_changed(inner) for inner in value] if isinstance(value, list) else value
