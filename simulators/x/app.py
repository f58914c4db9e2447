"""The stand-in as a web server. Owns: addresses, the control endpoints, starting and ending. Must not know shapes."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from simulators.x import pages
from simulators.x.faults import KINDS, BadFault, parse_fault
from simulators.x.graphql import GraphQl
from simulators.x.truth import truth_of
from simulators.x.world import World

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ACCOUNT_STATES = ("active", "suspended", "locked", "logged_out")
SHAPES = ("new", "old", "mixed")


class Simulator:
    """One world with its pages, endpoint and controls."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.graphql = GraphQl(world)
        # Whether pages are answered by a wall, as for an address that is not wanted.
        self.walled = False

    def app(self) -> web.Application:
        """The application."""
        app = web.Application()
        app.router.add_get("/i/api/graphql/{query_id}/{operation}", self.graphql.handle)
        app.router.add_get("/assets/main.{epoch}.js", self._script)
        app.router.add_get("/i/flow/login", self._login)
        app.router.add_get("/_sim/requests", self._requests)
        app.router.add_get("/_sim/truth", self._truth)
        app.router.add_get("/_sim/faults", self._list_faults)
        for name, control in self._controls().items():
            app.router.add_post(f"/_sim/{name}", control)
        app.router.add_get("/favicon.ico", _nothing)
        app.router.add_get("/", self._page)
        app.router.add_get("/search", self._page)
        app.router.add_get("/{username}", self._page)
        app.router.add_get("/{username}/{tab}", self._page)
        return app

    def _controls(self) -> dict[str, Handler]:
        return {
            "faults": self._set_faults,
            "reset": self._reset,
            "rotate": self._rotate,
            "settings": self._settings,
            "accounts": self._set_account,
        }

    async def _page(self, request: web.Request) -> web.StreamResponse:
        if self.walled:
            return web.Response(status=403, text=pages.BLOCK, content_type="text/html")
        account = request.cookies.get("auth_token", "")
        if not account or self.graphql.state.accounts.get(account) == "logged_out":
            raise web.HTTPFound("/i/flow/login?redirect_after_login=" + request.path)
        self.graphql.state.page_loads += 1
        return web.Response(text=pages.shell(self.graphql.epoch()), content_type="text/html")

    async def _script(self, request: web.Request) -> web.StreamResponse:
        epoch = request.match_info["epoch"]
        if not epoch.isdigit():
            raise web.HTTPNotFound
        text = pages.script(self.graphql.query_ids(int(epoch)))
        return web.Response(text=text, content_type="text/javascript")

    async def _login(self, _request: web.Request) -> web.StreamResponse:
        return web.Response(text=pages.LOGIN, content_type="text/html")

    async def _requests(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response(self.graphql.state.log)

    async def _truth(self, request: web.Request) -> web.StreamResponse:
        parameters: dict[str, Any] = dict(request.query)
        for name in ("include_replies", "include_retweets"):
            parameters[name] = parameters.get(name) == "true"
        try:
            items = truth_of(self.world, str(parameters.pop("task_type", "")), parameters)
        except KeyError as error:
            raise web.HTTPBadRequest(text=f"{error} is needed") from error
        return web.json_response({"items": items, "total": len(items)})

    async def _list_faults(self, _request: web.Request) -> web.StreamResponse:
        planned = [
            {"kind": fault.kind, "operation": fault.operation, "account": fault.account, "met": fault.met}
            for fault in self.graphql.state.plan.faults
        ]
        return web.json_response({"kinds": KINDS, "planned": planned})

    async def _set_faults(self, request: web.Request) -> web.StreamResponse:
        raw = await _json_of(request)
        try:
            faults = [parse_fault(one) for one in (raw if isinstance(raw, list) else [raw])]
        except BadFault as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        self.graphql.state.plan.faults.extend(faults)
        return web.json_response({"planned": len(self.graphql.state.plan.faults)})

    async def _reset(self, _request: web.Request) -> web.StreamResponse:
        self.graphql.reset()
        self.walled = False
        return web.json_response({})

    async def _rotate(self, _request: web.Request) -> web.StreamResponse:
        self.graphql.state.rotation += 2
        return web.json_response({"epoch": self.graphql.epoch()})

    async def _settings(self, request: web.Request) -> web.StreamResponse:
        raw = await _json_of(request)
        state = self.graphql.state
        if not isinstance(raw, dict) or raw.get("shape", state.shape) not in SHAPES:
            raise web.HTTPBadRequest(text=f"shape must be one of {', '.join(SHAPES)}")
        state.shape = raw.get("shape", state.shape)
        try:
            state.limit = int(raw.get("limit", state.limit))
            state.window_seconds = int(raw.get("window_seconds", state.window_seconds))
        except (TypeError, ValueError) as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        self.walled = raw.get("walled", self.walled) is True
        return web.json_response({"limit": state.limit, "window_seconds": state.window_seconds, "shape": state.shape})

    async def _set_account(self, request: web.Request) -> web.StreamResponse:
        raw = await _json_of(request)
        if not isinstance(raw, dict) or raw.get("state") not in ACCOUNT_STATES or "auth_token" not in raw:
            raise web.HTTPBadRequest(text=f"auth_token is needed, and state: one of {', '.join(ACCOUNT_STATES)}")
        self.graphql.state.accounts[str(raw["auth_token"])] = raw["state"]
        return web.json_response({})


async def _nothing(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=204)


async def _json_of(request: web.Request) -> Any:
    try:
        return await request.json()
    except ValueError as error:
        raise web.HTTPBadRequest(text="a JSON body is needed") from error


@asynccontextmanager
async def serving(simulator: Simulator, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve it; answers the base URL. Port 0 takes a free one."""
    # What never answers must not hold up the end.
    runner = web.AppRunner(simulator.app(), access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        bound = runner.addresses[0]
        yield f"http://{bound[0]}:{bound[1]}"
    finally:
        await runner.cleanup()
