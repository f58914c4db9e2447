"""Serving the stand-in on loopback. Must not know its paths."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from simulators.adspower.api import Api


@asynccontextmanager
async def serve(api: Api, port: int = 0) -> AsyncIterator[str]:
    """Its address while it is served; port 0: any free one. The profiles stay open: they are their maker's."""
    runner = web.AppRunner(api.application(), access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await api.close()
        await runner.cleanup()
