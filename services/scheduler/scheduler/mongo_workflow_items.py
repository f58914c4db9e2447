"""The items of executions' steps in MongoDB, in chunks. Owns `workflow_chunks` (which runs are promised, and how they
ended), `workflow_items` (what `forEach` gave, written once) and `workflow_results`. Must not know Redis, NATS or gRPC.

A chunk promises the ids of its runs before they start, by compare-and-set on its `revision`: whatever is repeated, an
item has one run. Per-item state is spread over chunks, so that a step of 10,000 items rewrites no large document.
"""

import contextlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson
from chassis.stores import mongo_errors
from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo import ASCENDING
from pymongo.errors import DuplicateKeyError

from scheduler.workflow_state import Counts

Json = Any
CHUNK_ITEMS: Final = 200
OPEN, COMPLETED, FAILED, CANCELLED = "o", "c", "f", "x"
MAX_ERROR: Final = 500


@dataclass(frozen=True, slots=True)
class StepKey:
    """A step of an execution; `place` is its place in the definition."""

    execution: str
    place: int

    @property
    def text(self) -> str:
        """Fixed width, so that strings sort by step."""
        return f"{self.execution}:{self.place:03d}"

    def chunk(self, number: int) -> str:
        """The `_id` of one chunk's documents."""
        return f"{self.text}:{number:04d}"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Items of a step from `number * CHUNK_ITEMS` on, as far as they were begun: run ids (0 = it could not be started),
    a letter each for how they stand, and errors of those without a run, by place in the chunk. `revision` 0 = it is not
    stored yet.
    """

    step: StepKey
    number: int
    run_ids: tuple[int, ...] = ()
    states: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)
    revision: int = 0

    @property
    def first(self) -> int:
        """The place of its first item among the step's."""
        return self.number * CHUNK_ITEMS

    @property
    def open_runs(self) -> list[int]:
        """Runs that have not ended, as far as it is known here."""
        return [run_id for run_id, state in zip(self.run_ids, self.states, strict=True) if state == OPEN and run_id]

    @property
    def counts(self) -> Counts:
        """How its items stand."""
        count = self.states.count
        return Counts(len(self.states), count(COMPLETED), count(FAILED), count(CANCELLED))

    def with_states(self, changes: Mapping[int, str], errors: Mapping[int, str] | None = None) -> "Chunk":
        """This, with how these items (by place in the chunk) have ended. The first end stays."""
        states = list(self.states)
        for place, state in changes.items():
            if states[place] == OPEN:
                states[place] = state
        said = {str(place): text[:MAX_ERROR] for place, text in (errors or {}).items()}
        return replace(self, states="".join(states), errors={**said, **self.errors})


def _document(chunk: Chunk, revision: int) -> dict[str, Any]:
    count = chunk.states.count
    return {
        "_id": chunk.step.chunk(chunk.number), "execution": chunk.step.execution, "step": chunk.step.text,
        "place": chunk.step.place, "number": chunk.number, "revision": revision, "run_ids": list(chunk.run_ids),
        "states": chunk.states, "errors": orjson.dumps(chunk.errors).decode(), "started": len(chunk.states),
        "open": count(OPEN), "completed": count(COMPLETED), "failed": count(FAILED), "cancelled": count(CANCELLED),
    }  # fmt: skip


def _chunk(row: Mapping[str, Any]) -> Chunk:
    return Chunk(
        StepKey(row["execution"], int(row["place"])), int(row["number"]), tuple(map(int, row["run_ids"])),
        row["states"], orjson.loads(row["errors"]), int(row["revision"]),
    )  # fmt: skip


class Items:
    """Every method raises `Unavailable` when MongoDB can't be reached."""

    def __init__(self, database: AsyncIOMotorDatabase[dict[str, Any]]) -> None:
        self._chunks, self._items = database["workflow_chunks"], database["workflow_items"]
        self._results = database["workflow_results"]

    async def prepare(self) -> None:
        """Make the indexes."""
        with mongo_errors():
            for name in ("execution", "step", "open"):
                await self._chunks.create_index([(name, ASCENDING)])

    async def save_items(self, step: StepKey, items: Sequence[Json]) -> None:
        """Keep what `forEach` gave; again is harmless."""
        for first in range(0, len(items), CHUNK_ITEMS):
            key = step.chunk(first // CHUNK_ITEMS)
            document = {"_id": key, "data": orjson.dumps(items[first : first + CHUNK_ITEMS])}
            with mongo_errors(), contextlib.suppress(DuplicateKeyError):
                await self._items.insert_one(document)

    async def items(self, step: StepKey, number: int) -> list[Json]:
        """The items of one chunk."""
        with mongo_errors():
            row = await self._items.find_one({"_id": step.chunk(number)})
        items: list[Json] = orjson.loads(bytes(row["data"])) if row else []
        return items

    async def chunk(self, step: StepKey, number: int) -> Chunk:
        """One chunk; without items when it is not there yet."""
        with mongo_errors():
            row = await self._chunks.find_one({"_id": step.chunk(number)})
        return _chunk(row) if row else Chunk(step, number)

    async def last_chunk(self, step: StepKey) -> Chunk:
        """The one that was begun last."""
        with mongo_errors():
            rows = await self._chunks.find({"step": step.text}).sort([("_id", -1)]).limit(1).to_list(1)
        return _chunk(rows[0]) if rows else Chunk(step, 0)

    async def chunks(self, step: StepKey) -> list[Chunk]:
        """All of a step's, in order."""
        with mongo_errors():
            rows = await self._chunks.find({"step": step.text}).sort([("_id", 1)]).to_list(None)
        return list(map(_chunk, rows))

    async def chunks_of(self, execution_id: str) -> dict[int, list[Chunk]]:
        """All of an execution's, in order, by the place of their step."""
        with mongo_errors():
            rows = await self._chunks.find({"execution": execution_id}).sort([("_id", 1)]).to_list(None)
        found: dict[int, list[Chunk]] = defaultdict(list)
        for row in rows:
            chunk = _chunk(row)
            found[chunk.step.place].append(chunk)
        return found

    async def open_chunks(self, execution_id: str) -> list[Chunk]:
        """Those of an execution with items under way."""
        with mongo_errors():
            rows = await self._chunks.find({"execution": execution_id, "open": {"$gt": 0}}).to_list(None)
        return list(map(_chunk, rows))

    async def replace(self, old: Chunk, new: Chunk) -> bool:
        """Compare and set. False: somebody was faster."""
        document = _document(new, old.revision + 1)
        with mongo_errors():
            if old.revision == 0:
                try:
                    await self._chunks.insert_one(document)
                except DuplicateKeyError:
                    return False
                return True
            query = {"_id": document["_id"], "revision": old.revision}
            answer = await self._chunks.replace_one(query, document)
        return int(answer.matched_count) == 1

    async def counts(self, step: StepKey) -> Counts:
        """How the step's items stand."""
        names = ("started", "completed", "failed", "cancelled")
        with mongo_errors():
            rows = await self._chunks.aggregate(
                [
                    {"$match": {"step": step.text}},
                    {"$group": {"_id": "$step", **{name: {"$sum": f"${name}"} for name in names}}},
                ]
            ).to_list(1)
        return Counts(**{name: int(rows[0][name]) for name in names}) if rows else Counts()

    async def save_results(self, step: StepKey, results: Mapping[int, bytes]) -> None:
        """Keep chunks' results: JSON values with commas between them; again is harmless."""
        for number, data in results.items():
            with mongo_errors(), contextlib.suppress(DuplicateKeyError):
                await self._results.insert_one({"_id": step.chunk(number), "data": data})

    async def results(self, step: StepKey, count: int) -> bytes:
        """The step's results, in order and with commas between them; `count` items."""
        return (await self.results_of({step: count}))[step]

    async def results_of(self, steps: Mapping[StepKey, int]) -> dict[StepKey, bytes]:
        """The same for several steps at once."""
        keys = {
            step.chunk(number): step
            for step, count in steps.items()
            for number in range((count + CHUNK_ITEMS - 1) // CHUNK_ITEMS)
        }
        parts: dict[StepKey, list[bytes]] = {step: [] for step in steps}
        with mongo_errors():
            rows = await self._results.find({"_id": {"$in": list(keys)}}).sort([("_id", 1)]).to_list(None)
        for row in rows:
            parts[keys[row["_id"]]].append(bytes(row["data"]))
        return {step: b",".join(found) for step, found in parts.items()}
