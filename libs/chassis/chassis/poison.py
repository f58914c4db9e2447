"""What becomes of work that fails with something nobody expected. Owns the one rule for consumers, timers, sweeps and
loops: the item is tried a few times and then set aside with its reason, and all others go on. Must not know any item.

What is temporary (`Unavailable` and its like) is not the item's fault: it is raised, and the loop waits for it to pass.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from chassis import counters
from chassis.errors import DeadlineExceeded, Exhausted, TrawlError, Unavailable
from chassis.logs import get_logger

log = get_logger("poison")
Item = TypeVar("Item")
TRIES = 3
TEMPORARY = (Unavailable, DeadlineExceeded, Exhausted)
# As many failing items are remembered; with more, the oldest begins to count anew.
MAX_REMEMBERED = 10_000
AGAIN_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
# A loop that went well for this long has got over its failure.
HEALTHY_SECONDS = 60.0


def reason_of(error: BaseException) -> str:
    """What users may read of it: of our own errors their words, of any other only its kind."""
    if isinstance(error, TrawlError):
        return error.message
    return f"an unexpected error ({type(error).__name__}); the service's log has the details"


async def apart(
    items: Sequence[Item], handle: Callable[[Sequence[Item]], Awaitable[Any]]
) -> list[tuple[Item, Exception]]:
    """Let `handle` have all of them or, when it raises, those halves that it can handle; answers what it can't, and
    why.

    `handle` may get an item again that it has handled. Raises what is temporary.
    """
    try:
        await handle(items)
    except TEMPORARY:
        raise
    except Exception as error:  # noqa: BLE001 - anything; it is told to whoever asked
        if len(items) == 1:
            return [(items[0], error)]
    else:
        return []
    middle = len(items) // 2
    return await apart(items[:middle], handle) + await apart(items[middle:], handle)


@contextlib.contextmanager
def passed_over(place: str, item: Hashable) -> Iterator[None]:
    """For an item that is only read: when that fails unexpectedly it is counted and passed over."""
    try:
        yield
    except TEMPORARY:
        raise
    except Exception:
        counters.count(counters.UNEXPECTED, place)
        log.exception("passed over", place=place, item=str(item))


class Tries:
    """How often each item has failed, in memory."""

    def __init__(self, most: int = TRIES) -> None:
        self._most = most
        self._failures: OrderedDict[Hashable, int] = OrderedDict()

    def failed(self, key: Hashable) -> bool:
        """It has failed once more; answers whether that was its last try."""
        failures = self._failures.pop(key, 0) + 1
        if failures >= self._most:
            return True
        self._failures[key] = failures
        while len(self._failures) > MAX_REMEMBERED:
            self._failures.popitem(last=False)
        return False


class Isolation(Generic[Item]):
    """For one loop: handles items so that a failing one harms no other. `key` names an item; `set_aside` is told of one
    after its last try, with the reason that users may read.
    """

    def __init__(
        self, place: str, set_aside: Callable[[Item, str], Awaitable[None]], *,
        key: Callable[[Item], Hashable] = lambda item: item,
        tries: int = TRIES,
    ) -> None:  # fmt: skip
        self._place, self._set_aside, self._key = place, set_aside, key
        self._tries = Tries(tries)

    async def each(self, items: Iterable[Item], handle: Callable[[Item], Awaitable[Any]]) -> list[Item]:
        """`handle` every item; answers those that failed and are to be tried again. Raises what is temporary."""

        async def one(single: Sequence[Item]) -> None:
            await handle(single[0])

        again = []
        for item in items:
            again += await self.all([item], one)
        return again

    async def all(self, items: Sequence[Item], handle: Callable[[Sequence[Item]], Awaitable[Any]]) -> list[Item]:
        """The same, together where nothing fails."""
        again = []
        for item, error in await apart(items, handle) if items else ():
            if await self.is_last(item, error):
                await self.put_aside(item, error)
            else:
                again.append(item)
        return again

    async def is_last(self, item: Item, error: Exception) -> bool:
        """The item has failed once more: whether that was its last try."""
        counters.count(counters.UNEXPECTED, self._place)
        last = self._tries.failed(self._key(item))
        log.error("failed unexpectedly", place=self._place, item=str(self._key(item)), last=last, exc_info=error)
        return last

    async def put_aside(self, item: Item, error: Exception) -> None:
        """Set it aside. Raises what is temporary; one that can't even be set aside is left."""
        counters.count(counters.SET_ASIDE, self._place)
        try:
            await self._set_aside(item, reason_of(error))
        except TEMPORARY:
            raise
        except Exception:
            log.exception("can't be set aside", place=self._place, item=str(self._key(item)))


async def keep_going(name: str, loop: Callable[[], Awaitable[None]]) -> None:
    """Run a loop that is for ever, again whenever it fails, after a pause that grows. Returns when the loop does."""
    clock = asyncio.get_running_loop()
    pause = AGAIN_SECONDS
    while True:
        began = clock.time()
        try:
            return await loop()
        except Exception:
            if clock.time() - began > HEALTHY_SECONDS:
                pause = AGAIN_SECONDS
            counters.count(counters.UNEXPECTED, name)
            log.exception("a loop failed and begins anew", loop=name, seconds=pause)
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
