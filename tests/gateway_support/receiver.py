"""A webhook's receiver on a real port: checks every signature as a user would, and answers as a test says."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web
from standardwebhooks.webhooks import Webhook


@dataclass(frozen=True)
class Heard:
    """One message that came."""

    message_id: str
    body: Any
    raw: bytes
    headers: dict[str, str]

    @property
    def event(self) -> str:
        """Its type."""
        return str(self.body["event"])

    def verify(self, secret: str) -> None:
        """Raises when the signature is not the secret's."""
        Webhook(secret).verify(self.raw, self.headers)


class Receiver:
    """`answers` are given one after the other, the last one for ever: a status, or a status and headers."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.answers: list[int | tuple[int, dict[str, str]]] = [204]
        self.port = 0
        self._came = asyncio.Condition()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/hook"

    async def handle(self, request: web.Request) -> web.Response:
        raw = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        async with self._came:
            self.heard.append(Heard(headers.get("webhook-id", ""), orjson.loads(raw), raw, headers))
            self._came.notify_all()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        status, extra = answer if isinstance(answer, tuple) else (answer, {})
        return web.Response(status=status, headers=extra)

    async def until(self, holds: Callable[[list[Heard]], bool], seconds: float = 40.0) -> None:
        """Return when `holds` of what was heard."""
        async with asyncio.timeout(seconds), self._came:
            await self._came.wait_for(lambda: holds(self.heard))


@asynccontextmanager
async def running_receiver() -> AsyncIterator[Receiver]:
    """A receiver on a free loopback port."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.port = runner.addresses[0][1]
    try:
        yield receiver
    finally:
        await runner.cleanup()
