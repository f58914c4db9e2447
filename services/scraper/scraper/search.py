"""Use case: search in all collections. Owns: how the index follows the store, and what a search waits for.

The store is never slowed down: items are read back from it, in the order of their last writes. Writers in other
processes may become visible a little late, out of that order; so each look goes back some seconds, and now and then
minutes. Putting an item in twice changes nothing.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chassis.clock import now_ms
from chassis.errors import Unavailable
from chassis.logs import get_logger
from chassis.memory import give_back

from scraper.mongo_collections import DROPS_KEPT_MS, Collections, stored_at
from scraper.search_index import Entry, SearchIndex
from scraper.search_words import token, tokens_of, words_of

log = get_logger("search")
PAGE = 500
COMMIT_EVERY = 20_000
# While items keep coming, they are put in this often.
QUIET_SECONDS = 1.0
RECENT_MS, LATE_MS = 3_000, 150_000
RESCAN_SECONDS = 30.0
# A search waits for what was stored before it, but not longer than this.
FRESH_SECONDS = 3.0
MAX_SEEN = 100_000


class Search:
    """`run` follows the store for ever; `find` answers."""

    def __init__(self, collections: Collections, folder: Path) -> None:
        self._collections, self._folder = collections, folder
        self._index: SearchIndex | None = None
        self._lock = asyncio.Lock()
        self._followings: set[asyncio.Task[None]] = set()
        # What was put in lately, by its place in the order of changes, so that going back costs reading only.
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._complete = asyncio.Event()
        self._just_opened = True

    async def run(self) -> None:
        """For ever: put in what is stored."""
        loop = asyncio.get_running_loop()
        rescan_at = loop.time()
        while True:
            late = loop.time() >= rescan_at
            try:
                await self.catch_up(LATE_MS if late else RECENT_MS)
                await self._delete_dropped()
                if late:
                    await self._collections.forget_old_drops()
            except Unavailable as error:
                log.warning("the search index can't follow", reason=error.message)
                await asyncio.sleep(1)
                continue
            if late:
                rescan_at = loop.time() + RESCAN_SECONDS
            await asyncio.sleep(QUIET_SECONDS)
            try:
                async with asyncio.timeout(max(0.001, rescan_at - loop.time())):
                    await self._collections.changes.wait()
            except TimeoutError:
                pass

    async def catch_up(self, back_ms: int = 0) -> None:
        """Put in everything that is stored by now, going back that far. Raises `Unavailable`."""
        async with self._lock:
            if self._index is None:
                if not await self._collections.changed_after("", 1):
                    self._complete.set()
                    return
                self._index = await self._opened()
            own = self._collections.take_changed()
            mark = self._index.mark
            if mark and not own and not back_ms and not await self._is_news(mark):
                return
            start = self._start(mark, max(back_ms, RECENT_MS), now_ms())
            if own and start:
                start = min(start, own)
            try:
                await self._follow(self._index, start)
            except BaseException as error:
                self._seen.clear()
                if own:
                    self._collections.note_unfollowed(own)
                if isinstance(error, OSError | ValueError):
                    # A full disk is no reason for runs to end: the next look opens the index again.
                    self._index, self._just_opened = None, True
                    raise Unavailable("the search index can't be written", dependency="search") from error
                raise
            self._complete.set()
            self._just_opened = False

    def _start(self, mark: str, back_ms: int, now: int) -> str:
        """Where to begin looking. What became visible late was written lately: behind an old mark all is in already,
        but for what was on its way when an earlier life of this process ended.
        """
        if self._just_opened and mark:
            return stored_at(max(0, int(mark.partition(":")[0]) - LATE_MS))
        return min(mark, stored_at(now - back_ms))

    async def _is_news(self, mark: str) -> bool:
        return bool(await self._collections.changed_after(mark, 1) or await self._collections.dropped_after(mark, 1))

    async def _opened(self) -> SearchIndex:
        try:
            return await asyncio.to_thread(self._open)
        except (OSError, ValueError) as error:
            raise Unavailable("the search index can't be opened", dependency="search") from error

    def _open(self) -> SearchIndex:
        index = SearchIndex(self._folder)
        if index.mark and int(index.mark.partition(":")[0]) < now_ms() - DROPS_KEPT_MS // 2:
            log.info("the search index is too old and built anew", mark=index.mark)
            index.forget_all()
        return index

    async def _follow(self, index: SearchIndex, start: str) -> None:
        """Put in the changes behind `start`: first what was dropped, then what is there."""
        # Until all rows are in, only they say how far it is: a drop may be newer than rows that are still to come.
        mark = dropped = index.mark
        waiting, place = 0, start
        while drops := await self._collections.dropped_after(place, PAGE):
            place = drops[-1].stored
            dropped = max(dropped, place)
            fresh = [drop for drop in drops if self._is_new(drop.stored)]
            if fresh:
                items, tasks = [d.item for d in fresh if d.item], [d.task_id for d in fresh if not d.item]
                await asyncio.to_thread(index.remove, keys=items, tasks=tasks)
                waiting += len(fresh)
        going = set(await self._collections.open_drops())
        place = start
        while rows := await self._collections.changed_after(place, PAGE):
            place = rows[-1]["stored"]
            mark = max(mark, place)
            fresh_rows = [row for row in rows if self._is_new(row["stored"]) and row["task_id"] not in going]
            if fresh_rows:
                await asyncio.to_thread(_put, index, fresh_rows)
                waiting += len(fresh_rows)
            if waiting >= COMMIT_EVERY:
                await asyncio.to_thread(index.commit, mark)
                await asyncio.to_thread(give_back)
                waiting = 0
        mark = max(mark, dropped)
        if waiting or mark != index.mark:
            await asyncio.to_thread(index.commit, mark)

    def _is_new(self, stored: str) -> bool:
        if stored in self._seen:
            return False
        self._seen[stored] = None
        if len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)
        return True

    async def _delete_dropped(self) -> None:
        for task_id in await self._collections.open_drops():
            cleared = 1
            while cleared:
                cleared = await self._collections.clear_some(task_id)

    async def find(
        self, conditions: Sequence[tuple[str, str]], *, data_type: str, offset: int, limit: int
    ) -> tuple[list[dict[str, Any]], int]:
        """A page of the items that meet all `(key, value)`s, newest first, and how many there are.

        Raises `Unavailable` while the index is being built.
        """
        phrases = [[token(key, word) for word in words_of(value)] for key, value in conditions]
        if not phrases or not all(phrases):
            return [], 0
        await self._freshen()
        index = self._index
        if index is None:
            return [], 0
        keys, total = await asyncio.to_thread(index.search, phrases, data_type=data_type, offset=offset, limit=limit)
        rows = await self._collections.get_many(keys)
        return [rows[key] for key in keys if key in rows], total

    async def _freshen(self) -> None:
        """Wait a little until everything stored by now is in the index."""
        try:
            async with asyncio.timeout(FRESH_SECONDS):
                await self._complete.wait()
        except TimeoutError as error:
            raise Unavailable("the search index is being built", dependency="search", retry_after_seconds=5) from error
        # It goes on when the wait is over: the index must not be let go of in the middle of a change.
        following = asyncio.create_task(self.catch_up())
        self._followings.add(following)
        following.add_done_callback(self._followings.discard)
        done, _ = await asyncio.wait({following}, timeout=FRESH_SECONDS)
        for task in done:
            task.result()


def _put(index: SearchIndex, rows: Sequence[dict[str, Any]]) -> None:
    index.put(
        Entry(row["_id"], row["task_id"], row["data_type"], row["created_ms"], tokens_of(row["data"])) for row in rows
    )
