"""Keeps the schedule book up to date: loads it, follows the task events, and rescans slowly for what they missed."""

import asyncio

from chassis.clock import now_ms
from chassis.errors import Unavailable
from chassis.events import Msg
from chassis.logs import get_logger
from chassis.poison import passed_over
from google.protobuf.message import DecodeError
from trawl.scheduler.v1 import events_pb2

from scheduler.mongo_fires import Fires
from scheduler.mongo_tasks import Tasks
from scheduler.schedule_book import ScheduleBook
from scheduler.task import Task

log = get_logger("watch")
PAGE = 1_000
RESCAN_SECONDS = 30.0
# Events and rescans may be late by this much; fire times within it are looked at again when a scheduler starts.
SLACK_MS = 60_000


class TaskWatch:
    """`changed` is set whenever the book may fire at another time."""

    def __init__(self, tasks: Tasks, fires: Fires, book: ScheduleBook) -> None:
        self._tasks, self._fires, self._book = tasks, fires, book
        self.changed = asyncio.Event()
        self._dirty: set[int] = set()
        self._news = asyncio.Event()
        self._scanned_ms = 0
        # Tasks that were changed or deleted: what waits on them may wait no more.
        self.woken: set[int] = set()
        self.wake = asyncio.Event()

    async def load(self) -> None:
        """Read every task. Raises `Unavailable`."""
        self._scanned_ms = now_ms()
        await self._scan(0)

    async def on_event(self, message: Msg) -> None:
        """Callback of a plain subscription to the task events."""
        try:
            event = events_pb2.TaskEvent.FromString(message.data)
        except DecodeError:
            return  # only the scheduler publishes there, and the rescan sees every change
        self.touch(event.task_id)

    def touch(self, task_id: int) -> None:
        """Read this task again soon."""
        self._dirty.add(task_id)
        self._news.set()

    async def refresh(self) -> None:
        """Read again what was touched, now. Raises `Unavailable`; then it is still touched."""
        while self._dirty:
            task_ids = list(self._dirty)[:PAGE]
            found = await self._tasks.many(task_ids)
            handled = await self._handled_ms() if found else 0
            for task_id in task_ids:
                if task_id in found:
                    self._put(found[task_id], handled)
                else:
                    self._book.remove(task_id)
            self._dirty.difference_update(task_ids)
            self.woken.update(task_ids)
            self.wake.set()
            self.changed.set()

    async def run(self) -> None:
        """For ever: follow what is touched, rescan now and then."""
        loop = asyncio.get_running_loop()
        rescan_at = loop.time() + RESCAN_SECONDS
        while True:
            try:
                async with asyncio.timeout(max(0.001, rescan_at - loop.time())):
                    await self._news.wait()
            except TimeoutError:
                pass
            self._news.clear()
            try:
                await self.refresh()
                if loop.time() >= rescan_at:
                    since, self._scanned_ms = self._scanned_ms - SLACK_MS, now_ms()
                    await self._scan(since)
                    rescan_at = loop.time() + RESCAN_SECONDS
            except Unavailable as error:
                log.warning("schedules may be old", reason=error.message)
                self._news.set()
                await asyncio.sleep(1)

    async def _scan(self, since_ms: int) -> None:
        handled, last = await self._handled_ms(), 0
        while page := await self._tasks.page_by_id(last, PAGE, updated_since_ms=since_ms):
            for task in page:
                self._put(task, handled)
            last = page[-1].id
            await asyncio.sleep(0)
        self.changed.set()

    def _put(self, task: Task, handled_ms: int) -> None:
        with passed_over("watch", task.id):
            self._book.put(task, handled_ms)

    async def _handled_ms(self) -> int:
        watermark = await self._fires.watermark()
        return max(0, watermark - SLACK_MS)
