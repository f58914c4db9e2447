"""How a service's process lives: uvloop, signals, background loops that may not die silently, a clean end."""

import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import uvloop

from chassis.logs import configure_logs, get_logger
from chassis.own_secrets import close_to_others, forget_secrets
from chassis.poison import keep_going
from chassis.settings import ServiceSettings
from chassis.telemetry import configure_telemetry, shutdown_telemetry

log = get_logger("run")
CANCEL_AGAIN_SECONDS = 0.5
# Python's collector: new objects until a look at them, then how many such looks until one at the next generation.
COLLECT_AT = (20_000, 20, 50)


class Lifetime:
    """What the composition root gets: a stop signal, and a place for background loops."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self.failure: BaseException | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    def keep(self, name: str, loop: Callable[[], Awaitable[None]]) -> asyncio.Task[Any]:
        """Run a loop beside the service, for ever: whatever fails in it, it begins anew and the service goes on."""
        return self.spawn(name, keep_going(name, loop))

    def spawn(self, name: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run what the service can't be without, such as its start or its servers. If it fails, the service stops with
        an error, to be started anew.
        """
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a background loop failed", loop=task.get_name(), exc_info=error)
            self.failure = error
            self.stopping.set()

    async def cancel_all(self) -> None:
        """Cancel what was spawned and wait for it."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def end_task(task: "asyncio.Task[Any]") -> None:
    """Cancel it until it has ended: `asyncio.wait_for`, deep in libraries, may lose a cancellation to an answer."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_AGAIN_SECONDS)
    if not task.cancelled():
        task.exception()


@asynccontextmanager
async def lifetime() -> AsyncIterator[Lifetime]:
    """A lifetime that SIGINT and SIGTERM end."""
    life = Lifetime()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, life.stopping.set)
    try:
        yield life
    finally:
        await life.cancel_all()


def run_service(service: str, settings: ServiceSettings, serve: Callable[[Lifetime], Awaitable[None]]) -> None:
    """Run `serve` until it returns; exits with 1 when a background loop failed. `serve` waits for `life.stopping`."""
    close_to_others()
    forget_secrets(settings)
    configure_logs(service, settings.log_level, settings.log_dir)
    configure_telemetry(service, settings)
    _look_for_cycles_seldom()

    async def main() -> int:
        async with lifetime() as life:
            await serve(life)
            return 1 if life.failure else 0

    with contextlib.suppress(KeyboardInterrupt):
        code = uvloop.run(main())
        shutdown_telemetry()
        sys.exit(code)


def _look_for_cycles_seldom() -> None:
    """What is imported stays for ever, and what a request makes has hardly a cycle: Python's own pace (every 700 new
    objects, and again and again through all that live) costs a busy service a tenth of its time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AT)
