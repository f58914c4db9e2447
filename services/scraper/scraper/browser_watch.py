"""Keeps one run's page from taking what all runs share. Owns: which renderers give way to others, and which are ended.

A renderer holds pages of one run alone. One that is busy for seconds gives way to all others; the largest is ended when
there is too little memory, the busiest when the browser no longer answers. Whose page it was shows by its crash. Must
not know runs.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence

from chassis.logs import get_logger

from scraper.browser_chromium import Chromium
from scraper.browser_process import Member, end_renderer, give_way, members

log = get_logger("browser")

LOOK_SECONDS = 1.0
# Of a core, of which little is left to each when many are busy; and for how many looks, until it gives way.
BUSY, BUSY_LOOKS = 0.15, 3
# So long may a browser leave a question unanswered while its processes, or its driver, are busy: half a core in all.
ANSWER_SECONDS, BROWSER_BUSY = 2.0, 0.5
# How much a look counts in what a process takes on average, and what a renderer takes at least that can be the cause.
NEWEST, CAUSE = 0.3, 0.03


class BrowserWatch:
    """`memory_bytes`: of all browsers together; a single renderer may take half of it. None: no bound."""

    def __init__(self, memory_bytes: int | None) -> None:
        self._memory_bytes = memory_bytes
        # By process: processor time at the last look, when that was, what it takes of a core, and for how many looks it
        # has been busy.
        self._cpu: dict[int, float] = {}
        self._looked = 0.0
        self._average: dict[int, float] = {}
        self._busy: dict[int, int] = {}
        self._asked: dict[Chromium, tuple[asyncio.Task[bool], float]] = {}

    async def look(self, browsers: Sequence[Chromium]) -> None:
        """To be called every `LOOK_SECONDS`, as long as there are contexts."""
        alive = [one for one in browsers if not one.dead]
        found = await asyncio.to_thread(lambda: {one: members(one.pid, one.driver_pid) for one in alive})
        self._measure([each for many in found.values() for each in many])
        for many in found.values():
            for each in many:
                if each.renderer and self._busy[each.pid] >= BUSY_LOOKS:
                    give_way(each.pid)
        self._bound_memory(found)
        for chromium in alive:
            self._question(chromium, found[chromium])
        self._asked = {one: asked for one, asked in self._asked.items() if one in alive}

    def _measure(self, every: Sequence[Member]) -> None:
        now = time.monotonic()
        passed, self._looked = max(now - self._looked, 0.001), now
        rates = {each.pid: (each.cpu_seconds - self._cpu.get(each.pid, each.cpu_seconds)) / passed for each in every}
        self._cpu = {each.pid: each.cpu_seconds for each in every}
        self._average = {pid: self._average.get(pid, 0) * (1 - NEWEST) + rate * NEWEST for pid, rate in rates.items()}
        self._busy = {pid: self._busy.get(pid, 0) + 1 if rate > BUSY else 0 for pid, rate in rates.items()}

    def _bound_memory(self, found: Mapping[Chromium, Sequence[Member]]) -> None:
        every = ((each, one) for one, many in found.items() for each in many if each.renderer)
        largest = max(every, default=None, key=lambda one: one[0].bytes)
        if self._memory_bytes is None or largest is None:
            return
        renderer, chromium = largest
        total = sum(each.bytes for many in found.values() for each in many)
        if renderer.bytes > self._memory_bytes // 2 or total > self._memory_bytes:
            self._end(chromium, renderer.pid, f"a page took too much memory: {renderer.bytes // 2**20} MB")

    def _question(self, chromium: Chromium, processes: Sequence[Member]) -> None:
        """An answer that is late is only a page's fault when the browser is busy: the machine may be slow."""
        asked = self._asked.get(chromium)
        if asked is None or asked[0].done():
            self._asked[chromium] = (asyncio.create_task(chromium.answers()), time.monotonic())
            return
        busiest = max((one.pid for one in processes if one.renderer), default=None, key=lambda pid: self._average[pid])
        if busiest is None or self._average[busiest] < CAUSE or time.monotonic() - asked[1] < ANSWER_SECONDS:
            return
        if sum(self._average[one.pid] for one in processes) > BROWSER_BUSY:
            self._end(chromium, busiest, "a page kept the browser so busy that it no longer answered")
            # What it has left to say takes a while.
            self._asked[chromium] = (asked[0], time.monotonic())

    def _end(self, chromium: Chromium, pid: int, why: str) -> None:
        log.warning("a renderer is ended", browser=chromium.pid, pid=pid, why=why)
        chromium.ended, chromium.ended_at = why, time.monotonic()
        end_renderer(pid)
