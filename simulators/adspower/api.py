"""The AdsPower local API over HTTP. Owns: its paths (v1 and v2), shapes and words, and where faults strike.

Every answer is HTTP 200 with `{"code", "msg", "data"}`; a failure is code -1. Beside the API, `/faults` and `/profiles`
serve whoever tests against it.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from simulators.adspower.faults import Fault, Faults
from simulators.adspower.profiles import Opened, Profiles, StartFailed

Json = Any


@dataclass(frozen=True, slots=True)
class Options:
    """`rate`: requests a second before `Too many request per second`; 0: no limit."""

    api_key: str = ""
    rate: float = 0.0


class Api:
    """Handlers. `calls` are those of the API, in order, as (call, profile)."""

    def __init__(self, profiles: Profiles, faults: Faults, options: Options) -> None:
        self.profiles, self.faults, self.calls = profiles, faults, list[tuple[str, str]]()
        self._options = options
        self._last = 0.0
        self._later: set[asyncio.Task[None]] = set()

    def application(self) -> web.Application:
        """The API as an aiohttp application."""
        app = web.Application()
        app.router.add_get("/status", self._status)
        for call in ("start", "stop", "active"):
            app.router.add_get(f"/api/v1/browser/{call}", self._handler(call))
        app.router.add_post("/api/v2/browser-profile/start", self._handler("start"))
        app.router.add_post("/api/v2/browser-profile/stop", self._handler("stop"))
        app.router.add_get("/api/v2/browser-profile/active", self._handler("active"))
        app.router.add_get("/faults", self._show_faults)
        app.router.add_post("/faults", self._add_fault)
        app.router.add_delete("/faults", self._clear_faults)
        app.router.add_get("/profiles", self._show_profiles)
        app.router.add_post("/profiles/{profile}/kill", self._kill)
        return app

    def _handler(self, call: str) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            profile = await _profile_of(request)
            self.calls.append((call, profile))
            if refusal := self._refused(request):
                return refusal
            if not profile:
                return _failure("user_id or serial_number is required")
            fault = self.faults.strike(call)
            if fault is not None:
                struck = await self._strike(fault, request)
                if struck is not None:
                    return struck
            answer = await self._do(call, profile)
            if fault is not None and fault.kind == "killed":
                self._soon(self._kill_later(profile, fault.seconds))
            return answer

        return handle

    def _refused(self, request: web.Request) -> web.Response | None:
        key = self._options.api_key
        if key and request.headers.get("Authorization") != f"Bearer {key}":
            return _failure("Require api-key")
        now = time.monotonic()
        if self._options.rate and now - self._last < 1 / self._options.rate:
            return _failure("Too many request per second, please check")
        self._last = now
        return None

    async def _strike(self, fault: Fault, request: web.Request) -> web.StreamResponse | None:
        match fault.kind:
            case "refused":
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            case "error":
                return _failure(fault.message)
            case "garbage":
                return web.Response(text="<html>bad gateway</html>", content_type="text/html")
            case "slow":
                await asyncio.sleep(fault.seconds)
        return None

    async def _do(self, call: str, profile: str) -> web.Response:
        match call:
            case "start":
                try:
                    return _success(_opened_json(await self.profiles.start(profile)))
                except StartFailed as error:
                    return _failure(str(error))
            case "stop":
                return _success({}) if await self.profiles.stop(profile) else _failure("User_id is not open")
            case _:
                opened = self.profiles.find(profile)
                return _success({"status": "Active", **_opened_json(opened)} if opened else {"status": "Inactive"})

    async def _kill_later(self, profile: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.profiles.kill(profile)

    def _soon(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def close(self) -> None:
        """Forget what was still to come."""
        for task in list(self._later):
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)

    async def _status(self, _request: web.Request) -> web.Response:
        return _success({})

    async def _show_faults(self, _request: web.Request) -> web.Response:
        waiting = [
            {"kind": one.kind, "call": one.call, "times": one.times, "seconds": one.seconds}
            for one in self.faults.waiting
        ]
        return web.json_response({"waiting": waiting, "struck": self.faults.struck})

    async def _add_fault(self, request: web.Request) -> web.Response:
        try:
            raw = await request.json()
            fault = Fault(
                str(raw["kind"]), str(raw.get("call", "any")), int(raw.get("times", 1)), float(raw.get("seconds", 3.0)),
            )  # fmt: skip
            self.faults.add(fault)
        except (ValueError, TypeError, KeyError) as error:
            return web.json_response({"error": f"not a fault: {error}"}, status=400)
        return web.json_response({"added": fault.kind}, status=201)

    async def _clear_faults(self, _request: web.Request) -> web.Response:
        self.faults.waiting.clear()
        return web.json_response({})

    async def _show_profiles(self, _request: web.Request) -> web.Response:
        calls = [{"call": call, "profile": profile} for call, profile in self.calls]
        return web.json_response({"started": self.profiles.started, "stopped": self.profiles.stopped, "calls": calls})

    async def _kill(self, request: web.Request) -> web.Response:
        killed = await self.profiles.kill(request.match_info["profile"])
        return web.json_response({"killed": killed}, status=200 if killed else 404)


async def _profile_of(request: web.Request) -> str:
    """v1 names it in the query, v2 in a JSON body (or the query)."""
    for name in ("user_id", "serial_number", "profile_id"):
        if value := request.query.get(name):
            return value
    if request.can_read_body:
        try:
            raw = await request.json()
        except ValueError:
            return ""
        if isinstance(raw, dict):
            return str(raw.get("profile_id") or raw.get("profile_no") or "")
    return ""


def _opened_json(opened: Opened) -> dict[str, Json]:
    return {
        "ws": {"puppeteer": opened.puppeteer, "selenium": f"127.0.0.1:{opened.port}"},
        "debug_port": str(opened.port),
        "webdriver": "",
    }


def _success(data: Json) -> web.Response:
    return web.json_response({"code": 0, "msg": "success", "data": data})


def _failure(message: str) -> web.Response:
    return web.json_response({"code": -1, "msg": message, "data": {}})
