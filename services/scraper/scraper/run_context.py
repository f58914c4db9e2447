"""What an attempt says while it works: buffers log lines, progress and items. Implements `executor.RunContext`.

Logs and progress wait for the next report to the scheduler; items are written in batches, and a slow or absent store
slows the attempt instead of growing its memory.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import orjson
from chassis.clock import now_ms
from chassis.errors import NotFound, Unavailable

from scraper.blobs import LocalBlobs
from scraper.executor import ExecutorError, Guarded, Item, Job, Json
from scraper.mongo_results import Checkpoint, Results
from scraper.problems import ITEM_LEFT_OUT, VALUE_CHANGED, Problems
from scraper.storable import storable

MAX_BUFFERED_LINES = 2_000
MAX_LINE = 8_192
MAX_BATCH_ITEMS = 200
FLUSH_SECONDS = 0.25
RETRY_SECONDS = 0.5
# An attempt whose work is done waits this long for a store that is away.
STORE_SECONDS = 300.0
LEVELS = frozenset({"debug", "info", "warn", "error"})


@dataclass(frozen=True, slots=True)
class Line:
    """A log line, numbered from 0 within the attempt."""

    number: int
    time_ms: int
    level: str
    message: str
    data: bytes


class Context:
    """One attempt's context. `changed` is called when there is something to report."""

    def __init__(self, job: Job, results: Results, blobs: LocalBlobs, *, position: int = 0) -> None:
        self.job = job
        self.guarded: list[Guarded] = []
        self.done, self.total, self.step = 0, 0, ""
        # What was cut, could not be known, or could not be stored as it was.
        self.problems = Problems()
        self.dirty = False
        self.item_count = position
        self._results, self._blobs = results, blobs
        self._start = position
        self._items: list[tuple[int, Item]] = []
        self._flusher: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()
        self._checkpointed = job.checkpoint is not None
        self._lines: deque[Line] = deque()
        self._next_line, self._dropped = 0, 0

    def log(self, level: str, message: str, **data: Json) -> None:
        """Add a line; when the reports can't keep up, lines are dropped and counted."""
        if len(self._lines) >= MAX_BUFFERED_LINES:
            self._dropped += 1
            return
        if self._dropped:
            self._append(
                "warn", f"{self._dropped} log lines were dropped here: they came faster than they could be stored", {}
            )
            self._dropped = 0
        self._append(level if level in LEVELS else "info", message, data)

    def _append(self, level: str, message: str, data: dict[str, Json]) -> None:
        if len(message) > MAX_LINE:
            message = message[:MAX_LINE] + "…"
        extra = orjson.dumps(data, default=str, option=orjson.OPT_NON_STR_KEYS) if data else b""
        clean = message.encode("utf-8", "replace").decode()
        self._lines.append(Line(self._next_line, now_ms(), level, clean, extra))
        self._next_line += 1
        self.dirty = True

    def lines(self, most: int = 500) -> list[Line]:
        """The oldest lines that nobody has confirmed yet."""
        return [self._lines[index] for index in range(min(most, len(self._lines)))]

    def confirm_lines(self, until: int) -> None:
        """Lines below that number are stored."""
        while self._lines and self._lines[0].number < until:
            self._lines.popleft()

    def progress(self, done: int, total: int | None = None, step: str | None = None) -> None:
        """How far it is."""
        self.done = done
        if total is not None:
            self.total = total
        if step is not None:
            self.step = step
        self.dirty = True

    def guard(self, what: Guarded) -> None:
        """The supervisor sees to its end."""
        self.guarded.append(what)

    async def emit(self, items: Sequence[Item]) -> None:
        """Take items; returns at once until a batch is full, then waits for the store."""
        for item in items:
            self._items.append((self.item_count, self._storable(item)))
            self.item_count += 1
        self.dirty = True
        if len(self._items) >= MAX_BATCH_ITEMS:
            await self.flush()
        elif self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush_later())

    def _storable(self, item: Item) -> Item:
        data = storable(item.data if type(item.data) is dict else dict(item.data), self._note_changed)
        return item if data is item.data else replace(item, data=data)

    def problem(self, what: str, where: str, message: str, *, example: str = "", count: int = 1) -> None:
        """Count one for the result; the first of its kind is logged."""
        if not self.problems.note(what, where, message, example=example, count=count):
            self.log("warn", f"{where}: {message}" if where else message)

    def _note_changed(self, path: str, what: str) -> None:
        self.problem(VALUE_CHANGED, path, what)

    def result(self, result: Json) -> Json:
        """The run's result as it can be stored; an object has the problems of the run's items as well."""
        whole = storable(result, self._note_changed)
        if not self.problems or not isinstance(whole, dict):
            return whole
        said = whole.get("problems", [])
        if not isinstance(said, list):
            return whole  # Something else of that name, of a command's own: the log has the problems.
        own = [one for one in said if not (isinstance(one, dict) and one.get("what") in (VALUE_CHANGED, ITEM_LEFT_OUT))]
        return {**whole, "problems": [*own, *self.problems.to_json()]}

    async def _flush_later(self) -> None:
        await asyncio.sleep(FLUSH_SECONDS)
        try:
            await self._write(patient=False)
        except (Unavailable, ExecutorError):
            return  # the next full batch, checkpoint or the end of the attempt meets it again, and answers for it

    async def flush(self) -> None:
        """Store every item, waiting for the store as long as the attempt lives. Raises `ExecutorError`."""
        await self._write(patient=True)

    async def _write(self, *, patient: bool) -> None:
        async with self._lock:
            while self._items:
                batch = self._items[:MAX_BATCH_ITEMS]
                try:
                    await self._add(batch)
                except Unavailable:
                    if not patient:
                        raise
                    await asyncio.sleep(RETRY_SECONDS)
                else:
                    del self._items[: len(batch)]

    async def _add(self, batch: list[tuple[int, Item]]) -> None:
        """Store a batch; an item that can't be stored costs itself."""
        job = self.job
        try:
            await self._results.add(job.run_id, job.task_id, job.attempt, batch, collects=job.collects)
        except ExecutorError as error:
            if len(batch) > 1:
                for one in batch:
                    await self._add([one])
                return
            if not self.problems.note(ITEM_LEFT_OUT, "items", error.message):
                self.log("error", f"An item was left out: {error.message}")

    async def save_checkpoint(self, state: Json) -> None:
        """Store where to go on, after every item before it."""
        await self.flush()
        self._checkpointed = True
        await self._results.save_checkpoint(self.job.run_id, Checkpoint(state, self.item_count))

    async def save_blob(
        self,
        name: str,
        data: bytes,
        content_type: str,  # noqa: ARG002 - by its name's ending
        *,
        replace: bool = False,
    ) -> str:
        """Keep a file with the run."""
        return await self._blobs.save(self.job.run_id, name, data, replace=replace)

    async def read_blob(self, name: str) -> tuple[bytes, str]:
        """A kept file and its content type. Raises `ExecutorError`."""
        try:
            path, content_type = self._blobs.find(name)
        except NotFound as error:
            raise ExecutorError(
                f"there is no kept file {name[:200]!r}", code="NO_SUCH_FILE", retryable=False
            ) from error
        return b"".join([chunk async for chunk in self._blobs.read(path)]), content_type

    async def complete(self) -> None:
        """The attempt succeeded: store the rest, and forget what only earlier attempts had. Raises `Unavailable`."""
        if self._flusher is not None:
            self._flusher.cancel()
        try:
            async with asyncio.timeout(STORE_SECONDS):
                await self.flush()
        except TimeoutError as error:
            raise Unavailable("the result store did not answer", dependency="mongodb") from error
        if self.job.attempt > 1:
            await self._results.drop_stale(self.job.run_id, self.job.attempt, self._start)
        if self._checkpointed:
            await self._results.drop_checkpoint(self.job.run_id)

    async def close(self) -> None:
        """Store what is left of a failed attempt, if that is quickly done."""
        if self._flusher is not None:
            self._flusher.cancel()
        if self._items:
            try:
                async with asyncio.timeout(2):
                    await self._write(patient=False)
            except (Unavailable, TimeoutError, ExecutorError):
                return
