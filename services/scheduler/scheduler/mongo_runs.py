"""Ended runs, logs, parked runs and large parameters in MongoDB. Owns `runs`, `run_logs`, `parked_runs`,
`run_parameters`. Must not know Redis, NATS or gRPC.

A run is archived once, by insertion: the first end wins and no later one can change it.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chassis.stores import mongo_errors
from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo import ASCENDING, DESCENDING, ReplaceOne
from pymongo.errors import BulkWriteError

from scheduler.archive_keys import COMPLETED, COMPOSED, TASK_BY_ID, composed
from scheduler.archive_keys import run_key as key
from scheduler.mongo_run_pages import RunPages

CHUNK_BYTES = 8 * 1024 * 1024
DUPLICATE = 11000


@dataclass(frozen=True, slots=True)
class Parked:
    """A run between two attempts. `spec` is the RunSpec to publish, `token` the lease of the attempt that ended (at
    `ended_ms`, 0 = not known), `wake` the name of what it waits for, if that may come before its time.
    """

    run_id: int
    release_ms: int
    token: int
    spec: bytes
    wake: str = ""
    ended_ms: int = 0

    @property
    def key(self) -> str:
        """One document for each ended attempt, so that a late report can't replace the newest one's."""
        return f"{key(self.run_id)}:{self.token:020d}"


@dataclass(frozen=True, slots=True)
class LogChunk:
    """Log lines of one attempt that arrived together; `first` numbers the first of them within the attempt."""

    run_id: int
    attempt: int
    first: int
    lines: Sequence[Mapping[str, Any]]


class Archive:
    """Every method raises `Unavailable` when MongoDB can't be reached."""

    def __init__(self, database: AsyncIOMotorDatabase[dict[str, Any]]) -> None:
        self._runs, self._logs = database["runs"], database["run_logs"]
        self.pages = RunPages(self._runs)
        self._parked, self._parameters = database["parked_runs"], database["run_parameters"]

    async def prepare(self) -> None:
        """Make the indexes: a single-field one for each filter in each order."""
        with mongo_errors():
            # Each costs every run that ends: none without a filter or a sort that a contract offers.
            for name in ("external_key", "ended_tick", TASK_BY_ID, *COMPOSED):
                await self._runs.create_index([(name, ASCENDING)])
            await self._logs.create_index([("run_id", ASCENDING)])
            for name in ("release_ms", "wake"):
                await self._parked.create_index([(name, ASCENDING)])
            await self._parameters.create_index([("run_id", ASCENDING)])

    async def add(self, documents: Sequence[dict[str, Any]]) -> set[int]:
        """Archive runs; answers the ids of those that had been archived before, which stay as they were."""
        if not documents:
            return set()
        with mongo_errors():
            try:
                await self._runs.insert_many(documents, ordered=False)
            except BulkWriteError as error:
                failures = error.details["writeErrors"]
                if any(failure["code"] != DUPLICATE for failure in failures):
                    raise
                return {int(documents[failure["index"]]["_id"]) for failure in failures}
        return set()

    async def get(self, run_id: int) -> dict[str, Any] | None:
        """One archived run."""
        with mongo_errors():
            return await self._runs.find_one({"_id": key(run_id)})

    async def archived(self, run_ids: Sequence[int]) -> set[int]:
        """Those of the ids that are archived."""
        if not run_ids:
            return set()
        with mongo_errors():
            rows = await self._runs.find({"_id": {"$in": [key(i) for i in run_ids]}}, {"_id": 1}).to_list(None)
        return {int(row["_id"]) for row in rows}

    async def statuses(self, run_ids: Sequence[int]) -> dict[int, str]:
        """How those of the runs ended that are archived."""
        if not run_ids:
            return {}
        with mongo_errors():
            query = {"_id": {"$in": [key(i) for i in run_ids]}}
            rows = await self._runs.find(query, {"status": 1}).to_list(None)
        return {int(row["_id"]): row["status"] for row in rows}

    async def many(self, run_ids: Sequence[int]) -> list[dict[str, Any]]:
        """Those of the runs that are archived, in no order."""
        if not run_ids:
            return []
        with mongo_errors():
            return await self._runs.find({"_id": {"$in": [key(i) for i in run_ids]}}).to_list(None)

    async def by_external(self, external_key: str) -> dict[str, Any] | None:
        """The newest archived run with that external key."""
        with mongo_errors():
            rows = await self._runs.find({"external_key": external_key}).sort([("created_ms", -1)]).limit(1).to_list(1)
        return rows[0] if rows else None

    async def count_by_status(self) -> dict[str, int]:
        """How many archived runs there are of each status."""
        counts = {status: await self.pages.count({"status": status}) for status in ("completed", "failed", "aborted")}
        return {status: count for status, count in counts.items() if count}

    async def count_by_queue(self, since_ms: int) -> dict[str, int]:
        """How many runs of each queue have ended since then."""
        since, _ = composed({COMPLETED: {"$gte": since_ms}}, COMPLETED)
        with mongo_errors():
            rows = await self._runs.aggregate(
                [{"$match": since}, {"$group": {"_id": "$queue", "n": {"$sum": 1}}}]
            ).to_list(None)
        return {str(row["_id"]): int(row["n"]) for row in rows if row["_id"]}

    async def task_counts(self, task_id: int) -> dict[str, int]:
        """How many archived runs of each status a task has."""
        statuses = ("completed", "failed", "aborted")
        counts = await asyncio.gather(
            *(self.pages.count({"task_id": task_id, "status": status}) for status in statuses)
        )
        return dict(zip(statuses, counts, strict=True))

    async def newest_execution_ms(self, task_id: int, limit: int) -> list[int]:
        """Execution times in ms of a task's newest completed runs."""
        query, order = composed({"task_id": task_id, "status": "completed"})
        with mongo_errors():
            cursor = self._runs.find(query, {"execution_ms": 1}).sort([(order, DESCENDING)]).limit(limit)
            return [int(row["execution_ms"]) for row in await cursor.to_list(limit)]

    async def add_logs(self, chunks: Sequence[LogChunk]) -> None:
        """Store log lines; a chunk that comes twice is stored once."""
        if not chunks:
            return
        operations = []
        for chunk in chunks:
            chunk_id = f"{key(chunk.run_id)}:{chunk.attempt:04d}:{chunk.first:09d}"
            document = {"_id": chunk_id, "run_id": chunk.run_id, "count": len(chunk.lines), "lines": list(chunk.lines)}
            operations.append(ReplaceOne({"_id": chunk_id}, document, upsert=True))
        with mongo_errors():
            await self._logs.bulk_write(operations, ordered=False)

    async def logs(
        self, run_id: int, *, offset: int, limit: int, tail: bool, behind: str = ""
    ) -> tuple[list[dict[str, Any]], int, str]:
        """Log lines in order, how many there are, and the place behind the page, empty at the log's end.

        Reads only the chunks that the page needs. A place is a line's attempt and number in it; `behind` goes before
        `offset`.
        """
        with mongo_errors():
            chunks = await self._logs.find({"run_id": run_id}, {"count": 1}).sort([("_id", 1)]).to_list(None)
            total = sum(chunk["count"] for chunk in chunks)
            start = max(0, total - limit) if tail else offset
            if behind:
                start = sum(_lines_up_to(chunk, behind) for chunk in chunks)
            position, skip, place = 0, 0, ""
            wanted: list[str] = []
            for chunk in chunks:
                if position + chunk["count"] > start and position < start + limit:
                    if not wanted:
                        skip = start - position
                    wanted.append(chunk["_id"])
                    place = _place_in(chunk, min(chunk["count"], start + limit - position))
                position += chunk["count"]
            if not wanted:
                return [], total, ""
            rows = await self._logs.find({"_id": {"$in": wanted}}).sort([("_id", 1)]).to_list(None)
        lines = [line for row in rows for line in row["lines"]]
        return lines[max(0, skip) : max(0, skip) + limit], total, place if start + limit < total else ""

    async def park(self, runs: Sequence[Parked]) -> None:
        """Store runs that wait for their next attempt."""
        if not runs:
            return
        operations = [
            ReplaceOne(
                {"_id": run.key},
                {"_id": run.key, "release_ms": run.release_ms, "token": run.token, "spec": run.spec, "wake": run.wake},
                upsert=True,
            )
            for run in runs
        ]
        with mongo_errors():
            await self._parked.bulk_write(operations, ordered=False)

    async def parked(self, until_ms: int | None = None, limit: int = 1_000) -> list[Parked]:
        """Parked runs by release time; with `until_ms`, only those that are due."""
        query = {} if until_ms is None else {"release_ms": {"$lte": until_ms}}
        with mongo_errors():
            rows = await self._parked.find(query).sort([("release_ms", 1)]).limit(limit).to_list(limit)
        return [_parked(row) for row in rows]

    async def parked_for(self, wake: str, limit: int) -> list[Parked]:
        """Runs that wait for what has that name."""
        with mongo_errors():
            return [_parked(row) for row in await self._parked.find({"wake": wake}).limit(limit).to_list(limit)]

    async def unpark(self, runs: Sequence[Parked]) -> None:
        """Forget parked runs."""
        if runs:
            with mongo_errors():
                await self._parked.delete_many({"_id": {"$in": [run.key for run in runs]}})

    async def save_parameters(self, run_id: int, data: bytes) -> None:
        """Keep parameters that are too large for a message."""
        chunks = [
            {"_id": f"{key(run_id)}:{index:04d}", "run_id": run_id, "data": data[start : start + CHUNK_BYTES]}
            for index, start in enumerate(range(0, max(1, len(data)), CHUNK_BYTES))
        ]
        with mongo_errors():
            for chunk in chunks:
                await self._parameters.replace_one({"_id": chunk["_id"]}, chunk, upsert=True)

    async def parameters(self, run_id: int) -> AsyncIterator[bytes]:
        """The kept parameters, chunk by chunk."""
        with mongo_errors():
            rows = await self._parameters.find({"run_id": run_id}, {"_id": 1}).sort([("_id", 1)]).to_list(None)
            for row in rows:
                chunk = await self._parameters.find_one({"_id": row["_id"]})
                if chunk is not None:
                    yield bytes(chunk["data"])

    async def ping(self) -> None:
        """Raises `Unavailable` when MongoDB does not answer."""
        with mongo_errors():
            await self._runs.database.command("ping")


def _parked(row: Mapping[str, Any]) -> Parked:
    return Parked(
        int(row["_id"][:15]), int(row["release_ms"]), int(row["token"]), bytes(row["spec"]), row.get("wake", "")
    )


def _place_in(chunk: Mapping[str, Any], lines: int) -> str:
    """The place behind so many lines of a log's chunk."""
    _, attempt, first = chunk["_id"].split(":")
    return f"{attempt}:{int(first) + lines:09d}"


def _lines_up_to(chunk: Mapping[str, Any], place: str) -> int:
    """How many of a chunk's lines come before that place."""
    attempt, _, number = place.partition(":")
    _, own, first = chunk["_id"].split(":")
    if own != attempt:
        return int(chunk["count"]) if own < attempt else 0
    return min(max(0, int(number) - int(first)), int(chunk["count"]))
