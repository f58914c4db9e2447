"""Use case: the runs of a step's items. Owns: that each item has one run, whatever is repeated, and what that ended as.

An item's run id is promised in its chunk before anything starts; who promised it starts it. What a crash left out is
made good by `repair`, under the same id, and only when neither Redis nor the archive knows that id.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
from chassis.clock import now_ms
from chassis.errors import Conflict, InvalidInput, NotFound, Unavailable
from chassis.logs import get_logger
from trawl.scheduler.v1 import runs_pb2 as pb

from scheduler.abort_run import AbortRun
from scheduler.events import Announcer, ready_message
from scheduler.mongo_runs import Archive
from scheduler.mongo_workflow_items import CANCELLED, CHUNK_ITEMS, COMPLETED, FAILED, OPEN, Chunk, Items, StepKey
from scheduler.records import PRIORITY_NUMBERS, run_of_document
from scheduler.redis_runs import LiveRun, LiveRuns
from scheduler.start_runs import Reserved, StartRuns
from scheduler.workflow import Step
from scheduler.workflow_params import parameters_of
from scheduler.workflow_state import StepState
from scheduler.workflow_template import TemplateFailed, takes_long

log = get_logger("workflows")
Json = Any
CONTRACT = "workflow"
ENDS = {"completed": COMPLETED, "failed": FAILED, "aborted": CANCELLED}
# Parameters that are filled in at a time, bytes of JSON; a chunk with more begins in several goes.
MAX_BEGIN_BYTES = 16 * 1024 * 1024
# A step's results together; more is not kept as one list.
MAX_RESULT_BYTES = 12 * 1024 * 1024
READ_RESULTS = 25
CONFLICTS = 100
ABORTS_AT_ONCE = 20
# A run that was written this long ago may never have been published, and its message id is still remembered.
PUBLISH_AGAIN_MS = (1_000, 100_000)


@dataclass(frozen=True, slots=True)
class StepWork:
    """A running step, and the data that its params may name."""

    key: StepKey
    step: Step
    state: StepState
    data: Mapping[str, Json]


def external_id(execution_id: str, step_id: str, index: int) -> str:
    """The id under which an item's run is found."""
    return f"{execution_id}/{step_id}/{index}"


class StepRuns:
    """Begins, records, repairs and aborts. Every method raises `Unavailable`, and can be repeated then."""

    def __init__(
        self, *, items: Items, starter: StartRuns, live: LiveRuns, archive: Archive, announcer: Announcer,
        aborter: AbortRun,
    ) -> None:  # fmt: skip
        self._items, self._starter, self._live = items, starter, live
        self._archive, self._announcer, self._aborter = archive, announcer, aborter

    async def begin(self, work: StepWork, chunk: Chunk, most: int) -> Chunk | None:
        """Promise and start up to `most` more items of the chunk; answers it as it is now. None: another was faster."""
        begun = len(chunk.states)
        room = min(CHUNK_ITEMS, work.state.total - chunk.first) - begun
        requests, errors = await self._requests(work, chunk.number, range(begun, begun + min(most, room)))
        count = len(requests) + len(errors)
        ids = iter(await self._starter.reserve(len(requests)) if requests else ())
        run_ids = {place: next(ids) for place in requests}
        places = range(begun, begun + count)
        promised = replace(
            chunk,
            run_ids=(*chunk.run_ids, *(run_ids.get(place, 0) for place in places)),
            states=chunk.states + "".join(OPEN if place in run_ids else FAILED for place in places),
            errors={**chunk.errors, **{str(place): text for place, text in errors.items()}},
        )
        if not await self._items.replace(chunk, promised):
            return None
        promised = replace(promised, revision=chunk.revision + 1)
        await self._start(promised, requests)
        return promised

    async def _requests(
        self, work: StepWork, number: int, places: Sequence[int]
    ) -> tuple[dict[int, pb.StartRun], dict[int, str]]:
        """(the starts, why there is none) by place in the chunk; fewer than asked for when parameters are large."""
        items = await self._items.items(work.key, number) if work.step.many else [None]
        if takes_long(work.step.params, len(places)):
            return await asyncio.to_thread(_fill_in, work, number, places, items)
        return _fill_in(work, number, places, items)

    async def _start(self, chunk: Chunk, requests: Mapping[int, pb.StartRun]) -> None:
        """Start promised runs. What can never start fails; what can't now is left to `repair`: raises `Unavailable`."""
        if not requests:
            return
        reserved = [Reserved(chunk.run_ids[place]) for place in requests]
        results = await self._starter.start(list(requests.values()), reserved)
        refused: dict[int, str] = {}
        later = ""
        for place, result in zip(requests, results, strict=True):
            if result.error.kind in ("unavailable", "exhausted"):
                later = result.error.message
            elif result.HasField("error"):
                refused[place] = result.error.message
        if refused:
            await self._mark(chunk.step, chunk.number, dict.fromkeys(refused, FAILED), refused)
        if later:
            raise Unavailable(f"runs start later: {later}")

    async def record(self, key: StepKey, ends: Mapping[int, tuple[int, str]]) -> None:
        """Take down how runs ended: item -> (run id, completed | failed | aborted)."""
        by_chunk: dict[int, dict[int, tuple[int, str]]] = defaultdict(dict)
        for index, end in ends.items():
            by_chunk[index // CHUNK_ITEMS][index % CHUNK_ITEMS] = end
        for number, changes in by_chunk.items():
            states = {place: ENDS[kind] for place, (_, kind) in changes.items()}
            await self._mark(key, number, states, runs={place: run_id for place, (run_id, _) in changes.items()})

    async def _mark(
        self, key: StepKey, number: int, states: Mapping[int, str], errors: Mapping[int, str] | None = None,
        runs: Mapping[int, int] | None = None,
    ) -> None:  # fmt: skip
        """Change items' states by compare-and-set. `runs`: only of items that have these runs."""
        for _ in range(CONFLICTS):
            chunk = await self._items.chunk(key, number)
            known = {
                place: state
                for place, state in states.items()
                if place < len(chunk.states) and (runs is None or chunk.run_ids[place] == runs[place])
            }
            new = chunk.with_states(known, errors)
            if new == chunk or await self._items.replace(chunk, new):
                return
        raise Unavailable("a step's items change too fast", dependency="mongodb")

    async def repair(self, chunk: Chunk, work: StepWork) -> None:
        """Take down ends that nobody told of, and start what was promised and not started."""
        places = {run_id: place for place, run_id in enumerate(chunk.run_ids) if chunk.states[place] == OPEN}
        live = dict(zip(places, await self._live.get_many(list(places)), strict=True))
        gone = [run_id for run_id, run in live.items() if run is None]
        ended = await self._archive.statuses(gone)
        if ended:
            states = {places[run_id]: ENDS[status] for run_id, status in ended.items()}
            await self._mark(chunk.step, chunk.number, states)
        await self._publish_again([run for run in live.values() if run is not None])
        lost = [places[run_id] for run_id in gone if run_id not in ended]
        # While Redis is being filled again, what it does not know may still come.
        if lost and await self._live.has_epoch():
            log.warning("runs that were promised are started", execution=chunk.step.execution, count=len(lost))
            requests, errors = await self._requests(work, chunk.number, lost)
            if errors:
                await self._mark(chunk.step, chunk.number, dict.fromkeys(errors, FAILED), errors)
            await self._start(chunk, requests)

    async def _publish_again(self, runs: Sequence[LiveRun]) -> None:
        now, messages = now_ms(), []
        for run in runs:
            if run.state == "p" and not run.attempt:
                spec = pb.RunSpec.FromString(run.spec)
                if PUBLISH_AGAIN_MS[0] < now - spec.created_ms < PUBLISH_AGAIN_MS[1]:
                    messages.append(ready_message(spec, run.spec))
        if messages:
            await self._announcer.ready(messages)

    async def abort_open(self, execution_id: str, place: int | str = "") -> None:
        """Ask every run under way to stop, or those of the step in that place."""
        room = asyncio.Semaphore(ABORTS_AT_ONCE)

        async def abort(run_id: int) -> None:
            async with room:
                try:
                    await self._aborter.abort(run_id, 0)
                except (NotFound, Conflict):
                    # It has ended, or was never started: `repair` sees which.
                    log.debug("nothing to abort", run_id=run_id)

        for chunk in await self._items.open_chunks(execution_id):
            if place not in ("", chunk.step.place):
                continue
            await asyncio.gather(*(abort(run_id) for run_id in chunk.open_runs))

    async def gather_results(self, key: StepKey, total: int) -> int:
        """Keep the results of an ended step together; answers how many bytes they are, -1 = too many to be kept."""
        size = 0
        number = 0
        for number, chunk in enumerate(await self._items.chunks(key)):
            parts = await self._results_of(chunk, MAX_RESULT_BYTES - size)
            if parts is None:
                return -1
            parts += [b"null"] * (min(CHUNK_ITEMS, total - chunk.first) - len(parts))
            data = b",".join(parts)
            size += len(data) + 1
            await self._items.save_results(key, {number: data})
        begun = number + 1 if size else 0
        rest = {
            number: b",".join([b"null"] * min(CHUNK_ITEMS, total - number * CHUNK_ITEMS))
            for number in range(begun, (total + CHUNK_ITEMS - 1) // CHUNK_ITEMS)
        }
        await self._items.save_results(key, rest)
        return size + sum(map(len, rest.values())) + 2

    async def _results_of(self, chunk: Chunk, most: int) -> list[bytes] | None:
        """The results of the chunk's items as JSON; None when they are larger than that together."""
        parts: list[bytes] = [b"null"] * len(chunk.states)
        places = {run_id: place for place, run_id in enumerate(chunk.run_ids) if chunk.states[place] == COMPLETED}
        ids = list(places)
        for first in range(0, len(ids), READ_RESULTS):
            for row in await self._archive.many(ids[first : first + READ_RESULTS]):
                run = run_of_document(row)
                most -= len(run.result_json)
                if most < 0:
                    return None
                parts[places[run.spec.run_id]] = run.result_json or b"null"
        return parts

    async def first_error(self, key: StepKey) -> str:
        """Why the step's first broken item failed."""
        for chunk in await self._items.chunks(key):
            for place, state in enumerate(chunk.states):
                if state not in (FAILED, CANCELLED):
                    continue
                if str(place) in chunk.errors:
                    return chunk.errors[str(place)]
                row = await self._archive.get(chunk.run_ids[place])
                message = run_of_document(row).error_message if row else ""
                return message[:2_000] or ("aborted" if state == CANCELLED else "failed")
        return ""


def _fill_in(
    work: StepWork, number: int, places: Sequence[int], items: Sequence[Json]
) -> tuple[dict[int, pb.StartRun], dict[int, str]]:
    requests: dict[int, pb.StartRun] = {}
    errors: dict[int, str] = {}
    size = 0
    for place in places:
        try:
            request = _request(work, number * CHUNK_ITEMS + place, items[place])
        except (TemplateFailed, InvalidInput) as error:
            errors[place] = str(error)[:500]
            continue
        requests[place] = request
        size += len(request.parameters_json)
        if size > MAX_BEGIN_BYTES:
            break
    return requests, errors


def _request(work: StepWork, index: int, item: Json) -> pb.StartRun:
    step = work.step
    data = {**work.data, "item": item, "index": index} if step.many else work.data
    request = pb.StartRun(
        task_id=work.state.task_id, contract=CONTRACT, external_id=external_id(work.key.execution, step.id, index),
        priority=PRIORITY_NUMBERS.get(step.priority, pb.PRIORITY_UNSPECIFIED), timeout_ms=step.timeout_ms,
        ignore_dependencies=True, parameters_json=orjson.dumps(parameters_of(step, data)),
    )  # fmt: skip
    if step.retry is not None:
        retry = step.retry
        request.retry.CopyFrom(pb.RetryPolicy(
            max_retries=retry.max_retries, initial_ms=retry.initial_ms, factor=retry.factor, max_ms=retry.max_ms
        ))  # fmt: skip
    return request
