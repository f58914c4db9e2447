"""Streams of the scheduler contract: events, and a run's log as it grows. Owns: their endpoints and events' names."""

from collections.abc import AsyncGenerator
from typing import Any

from chassis.errors import TrawlError
from trawl.scheduler.v1 import runs_pb2

from gateway.access import Role
from gateway.backend import Backend
from gateway.checks import MAX_ID, invalid, path_id
from gateway.event_feed import EventFeed
from gateway.event_stream import Streams, event, last_event_id
from gateway.exchange import Answer, Call
from gateway.happenings import STREAMED_TYPES, Happening
from gateway.log_follower import LogFollower
from gateway.masking import Veil, sees_secrets, veil_of
from gateway.native import stream_examples as examples
from gateway.native.envelope import query_of
from gateway.native.seen import seen_run
from gateway.native.translate import RUN_STATUS_WORDS, log_json
from gateway.routing import Doc, Endpoint
from gateway.secret_places import HIDDEN
from gateway.times import iso_seconds

Json = Any
TAG = "streams"


class StreamRoutes:
    """Handlers of `/events` and of followed logs."""

    def __init__(self, backend: Backend, feed: EventFeed, follower: LogFollower, streams: Streams) -> None:
        self._backend, self._feed, self._follower, self._streams = backend, feed, follower, streams

    async def events(self, call: Call) -> Answer:
        """Stream what happens."""
        query = query_of(call)
        types = _types(query.text("types", 1_000))
        task_id = query.integer("task_id", 1, MAX_ID, 0)
        place = await self._feed.start(last_event_id(call))
        return self._streams.open(call, self._told(call, place, types, task_id))

    async def _told(
        self, call: Call, place: tuple[int, int], types: frozenset[str], task_id: int
    ) -> AsyncGenerator[bytes, None]:
        listening = self._feed.listen(place)
        try:
            async for event_id, happening in listening:
                if happening.type in types and task_id in (0, happening.data.get("task_id")):
                    yield event(happening.type, await self._seen(call, happening), event_id)
        finally:
            await listening.aclose()

    async def _seen(self, call: Call, happening: Happening) -> Json:
        """As the caller may see it; what a run says of its failure may repeat its parameters."""
        if not happening.data.get("error_message") or sees_secrets(call):
            return veil_of(call).data(happening.body)
        try:
            veil = await seen_run(call, self._backend, happening.data["run_id"])
        except TrawlError:
            # Nobody can say what to hide: the run itself tells it later.
            return happening.body | {"data": {**happening.data, "error_message": HIDDEN}}
        return veil.data(happening.body)

    async def follow_logs(self, call: Call) -> Answer:
        """Stream a run's log: what there is, what comes, and then that the run has ended."""
        run_id = path_id("id", call.path_params["run_id"])
        run = await self._backend.run(self._backend.runs.GetRun, runs_pb2.GetRunRequest(run_id=run_id))
        seen = last_event_id(call)
        offset = int(seen) if seen.isdigit() and len(seen) < 10 else 0
        return self._streams.open(call, self._lines(run_id, offset, veil_of(call, run)))

    async def _lines(self, run_id: int, offset: int, veil: Veil) -> AsyncGenerator[bytes, None]:
        following = self._follower.follow(run_id, offset)
        try:
            async for first, lines, ended in following:
                if lines:
                    # The id says how many lines have been seen: what to go on after.
                    shown = enumerate(veil.data([log_json(line) for line in lines]), first + 1)
                    yield b"".join(event("log", line, str(number)) for number, line in shown)
                if ended is not None:
                    yield event("end", veil.data(_end_json(ended)))
        finally:
            await following.aclose()

    def endpoints(self) -> list[Endpoint]:
        """Those with a path of their own; followed logs share one with their pages."""
        return [
            Endpoint("GET", "/events", self.events,
                     Doc("事件流", TAG, answer=examples.EVENTS, query=examples.EVENT_QUERY, errors=(401, 422),
                         content_type="text/event-stream",
                         description="Server-sent events. `Last-Event-ID` goes on after that event, as long as the "
                         "stream keeps it (seven days). Ends after an hour, or when a client takes nothing for ten "
                         "seconds: come again with the last id."), Role.VIEWER),
        ]  # fmt: skip


def _types(text: str) -> frozenset[str]:
    """The types asked for; all when none is named. Raises `InvalidInput`."""
    wanted = frozenset(part.strip() for part in text.split(",") if part.strip())
    unknown = sorted(wanted - set(STREAMED_TYPES))
    if unknown:
        raise invalid("types", "enum", f"必须是以下之一: {', '.join(STREAMED_TYPES)}", unknown[0])
    return wanted or frozenset(STREAMED_TYPES)


def _end_json(run: runs_pb2.Run) -> dict[str, Json]:
    return {
        "run_id": run.spec.run_id,
        "status": RUN_STATUS_WORDS.get(run.status, "failed"),
        "completed_at": iso_seconds(run.completed_ms),
        "error_message": run.error_message or None,
    }
