"""Keeps one run's page from taking what all runs share. Owns: which renderers give way to others, and which are ended.

A renderer holds pages of one run alone. One that is busy for seconds gives way to all others; the largest is ended when
there is too little memory, the busiest when the browser no longer answers. Whose page it was shows by its crash. Must
not know runs.
"""

import asyncio
import time
from collections.abc import Sequence

from chassis.logs import get_logger

from scraper.browser_chromium import Chromium
from scraper.browser_process import Renderer, end_renderer, give_way, renderers

log = get_logger("browser")

LOOK_SECONDS = 1.0
# Of a core; and for how many looks, until it gives way.
BUSY, BUSY_LOOKS = 0.7, 3
# So long may a browser with a busy page leave a question unanswered, at most.
ANSWER_SECONDS = 5.0


class BrowserWatch:
    """`memory_bytes`: of all browsers together; a single renderer may take half of it. None: no bound."""

    def __init__(self, memory_bytes: int | None) -> None:
        self._memory_bytes = memory_bytes
        # By process: processor time at the last look, when that was, and for how many looks it has been busy.
        self._cpu: dict[int, float] = {}
        self._looked = 0.0
        self._busy: dict[int, int] = {}
        self._asked: dict[Chromium, tuple[asyncio.Task[bool], float]] = {}

    async def look(self, browsers: Sequence[Chromium]) -> None:
        """To be called every `LOOK_SECONDS`, as long as there are contexts."""
        alive = [one for one in browsers if not one.dead]
        found = await asyncio.to_thread(lambda: {one: renderers(one.pid) for one in alive})
        rates = self._rates([each for many in found.values() for each in many])
        for pid, rate in rates.items():
            self._busy[pid] = self._busy.get(pid, 0) + 1 if rate > BUSY else 0
            if self._busy[pid] >= BUSY_LOOKS:
                give_way(pid)
        self._busy = {pid: looks for pid, looks in self._busy.items() if pid in rates}
        self._bound_memory(found)
        for chromium in alive:
            self._question(chromium, [each.pid for each in found[chromium]], rates)
        self._asked = {one: asked for one, asked in self._asked.items() if one in alive}

    def _rates(self, every: Sequence[Renderer]) -> dict[int, float]:
        now = time.monotonic()
        passed, self._looked = max(now - self._looked, 0.001), now
        rates = {each.pid: (each.cpu_seconds - self._cpu.get(each.pid, each.cpu_seconds)) / passed for each in every}
        self._cpu = {each.pid: each.cpu_seconds for each in every}
        return rates

    def _bound_memory(self, found: dict[Chromium, list[Renderer]]) -> None:
        largest = max(((each, one) for one, many in found.items() for each in many), default=None, key=_size)
        if self._memory_bytes is None or largest is None:
            return
        renderer, chromium = largest
        total = sum(each.bytes for many in found.values() for each in many)
        if renderer.bytes > self._memory_bytes // 2 or total > self._memory_bytes:
            self._end(chromium, renderer.pid, f"a page took too much memory: {renderer.bytes // 2**20} MB")

    def _question(self, chromium: Chromium, pids: Sequence[int], rates: dict[int, float]) -> None:
        """One that is late is only a page's fault when a page is busy: the machine may be slow."""
        asked = self._asked.get(chromium)
        if asked is None or asked[0].done():
            self._asked[chromium] = (asyncio.create_task(chromium.answers()), time.monotonic())
            return
        busiest = max(pids, default=None, key=lambda pid: rates.get(pid, 0.0))
        if busiest is None or time.monotonic() - asked[1] < ANSWER_SECONDS or self._busy.get(busiest, 0) < BUSY_LOOKS:
            return
        self._end(chromium, busiest, "a page kept the browser so busy that it no longer answered")
        # What it has left to say takes a while.
        self._asked[chromium] = (asked[0], time.monotonic())

    def _end(self, chromium: Chromium, pid: int, why: str) -> None:
        log.warning("a renderer is ended", browser=chromium.pid, pid=pid, why=why)
        chromium.ended, chromium.ended_at = why, time.monotonic()
        end_renderer(pid)


def _size(one: tuple[Renderer, Chromium]) -> int:
    return one[0].bytes
