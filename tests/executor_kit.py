"""A run context that records, and a small web server, for tests of executors."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

from aiohttp import web
from scraper.addresses import AddressGuard, parse_networks
from scraper.executor import Guarded, Item, Job, Json
from scraper.fetch import Fetcher
from scraper.problems import Problems

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
ANYWHERE = AddressGuard(parse_networks(["0.0.0.0/0", "::/0"]), range(1, 65_536))
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class RecordingContext:
    """Keeps what a run says. Items are stored by key, as the real store does."""

    job: Job
    logs: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    items: dict[str, Item] = field(default_factory=dict)
    emitted: list[Item] = field(default_factory=list)
    steps: list[tuple[int, int | None, str | None]] = field(default_factory=list)
    checkpoints: list[Any] = field(default_factory=list)
    guarded: list[Guarded] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)
    problems: Problems = field(default_factory=Problems)
    on_emit: Callable[["RecordingContext"], None] | None = None

    def log(self, level: str, message: str, **data: Json) -> None:
        self.logs.append((level, message, data))

    def problem(self, what: str, where: str, message: str, *, example: str = "", count: int = 1) -> None:
        self.problems.note(what, where, message, example=example, count=count)

    def progress(self, done: int, total: int | None = None, step: str | None = None) -> None:
        self.steps.append((done, total, step))

    async def emit(self, items: Sequence[Item]) -> None:
        for item in items:
            self.emitted.append(item)
            self.items[item.key or str(len(self.items))] = item
        await asyncio.sleep(0)
        if self.on_emit is not None:
            self.on_emit(self)

    async def save_checkpoint(self, state: Json) -> None:
        import orjson

        self.checkpoints.append(orjson.loads(orjson.dumps(state)))

    def guard(self, what: Guarded) -> None:
        self.guarded.append(what)

    async def save_blob(self, name: str, data: bytes, content_type: str, *, replace: bool = False) -> str:
        self.blobs[name] = data
        return name

    def messages(self, level: str | None = None) -> list[str]:
        return [message for found, message, _ in self.logs if level in (None, found)]


def context_of(
    executor: str = "test",
    command: str = "",
    arguments: Sequence[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    **more: Any,
) -> RecordingContext:
    """A context for one attempt."""
    return RecordingContext(
        Job(
            run_id=more.pop("run_id", 7),
            task_id=1,
            task_name="test",
            executor=executor,
            attempt=more.pop("attempt", 1),
            command=command,
            arguments=None if arguments is None else tuple(arguments),
            parameters=parameters or {},
            **more,
        )
    )


@asynccontextmanager
async def serve(routes: Mapping[str, Handler | str]) -> AsyncIterator[str]:
    """A web server on loopback; answers its base URL. A route is a handler, or the HTML of a page."""
    app = web.Application()

    def page(html: str) -> Handler:
        async def handle(_: web.Request) -> web.Response:
            return web.Response(text=html, content_type="text/html")

        return handle

    for path, what in routes.items():
        app.router.add_route("*", path, page(what) if isinstance(what, str) else what)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def fetching(*, allow: Sequence[Any] = LOOPBACK) -> AsyncIterator[Fetcher]:
    """A fetcher that may call loopback."""
    fetcher = Fetcher(AddressGuard(allow))
    try:
        yield fetcher
    finally:
        await fetcher.close()


async def until(condition: Callable[[], bool], *, seconds: float = 40.0) -> None:
    """Wait until `condition` holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
