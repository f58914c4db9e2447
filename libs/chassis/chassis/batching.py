"""Turns concurrent single calls into batches without adding latency when there is only one.

The first call goes out at once; those that come while it is under way form the next batch. Under load, when the last
batch was large, the next one waits a moment for its own: a caller that just got its answer often asks again at once.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from chassis.errors import Exhausted

Request = TypeVar("Request")
Answer = TypeVar("Answer")


# A last batch of more than this means load: waiting a moment then saves more than it costs.
LIGHT_BATCH = 4
# Work that comes more often than this is steady, and a moment's wait makes batches of it. The steps of a chain, each of
# which waits for the one before, come less often: they are not held up.
STEADY_SECONDS = 0.015


class Batcher(Generic[Request, Answer]):
    """`send` takes a list and gives the answers in the same order; an answer that is an exception is raised to its
    caller. At most `max_waiting` calls wait; one more is refused with `Exhausted`. `patience_seconds`: how long every
    batch waits for others to join, where latency costs nothing; `loaded_patience_seconds`: how long under load;
    `steady_patience_seconds`: how long after a batch that is less than `STEADY_SECONDS` old.
    """

    def __init__(
        self,
        send: Callable[[list[Request]], Awaitable[Sequence[Answer | Exception]]],
        *,
        max_batch: int = 256,
        max_in_flight: int = 2,
        max_waiting: int = 10_000,
        patience_seconds: float = 0,
        loaded_patience_seconds: float = 0,
        steady_patience_seconds: float = 0,
    ) -> None:
        self._send, self._patience_seconds = send, patience_seconds
        self._loaded_patience_seconds = max(patience_seconds, loaded_patience_seconds)
        self._steady_patience_seconds = steady_patience_seconds
        self._last_at = 0.0
        self._max_batch, self._max_in_flight, self._max_waiting = max_batch, max_in_flight, max_waiting
        self._waiting: deque[tuple[Request, asyncio.Future[Answer]]] = deque()
        self._in_flight: set[asyncio.Task[None]] = set()
        self._last_size = 0

    async def call(self, request: Request) -> Answer:
        """The answer to `request`. Raises what `send` raised, or answered."""
        if len(self._waiting) >= self._max_waiting:
            raise Exhausted("too many requests are waiting", retry_after_seconds=1)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        self._start()
        return await future

    def _start(self) -> None:
        # Under load few large batches are cheaper than many small ones.
        most = 1 if self._last_size > LIGHT_BATCH else self._max_in_flight
        if self._waiting and len(self._in_flight) < most:
            task = asyncio.create_task(self._run())
            self._in_flight.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._in_flight.discard(task)
        # A call that came between the task's last look and this moment has found no place for a task of its own.
        self._start()

    async def _run(self) -> None:
        while self._waiting:
            # One turn of the loop, at least, lets the calls that are ready now join this batch.
            await asyncio.sleep(self._patience())
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._max_batch))]
            batch = [(request, future) for request, future in batch if not future.done()]
            if batch:
                self._last_size = len(batch)
                await self._answer(batch)

    def _patience(self) -> float:
        if self._steady_patience_seconds:
            now = asyncio.get_running_loop().time()
            recent, self._last_at = now - self._last_at < STEADY_SECONDS, now
            if recent:
                return self._steady_patience_seconds
        return self._loaded_patience_seconds if self._last_size > LIGHT_BATCH else self._patience_seconds

    async def _answer(self, batch: "list[tuple[Request, asyncio.Future[Answer]]]") -> None:
        answers: Sequence[Answer | Exception]
        try:
            answers = await self._send([request for request, _ in batch])
            assert len(answers) == len(batch)
        except Exception as error:  # noqa: BLE001 - handed to every caller of the batch
            answers = [error] * len(batch)
        except BaseException:
            for _, future in batch:
                future.cancel()
            raise
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
