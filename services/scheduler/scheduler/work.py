"""Use case: what workers do with runs: claim, report, give back. Owns the answers; the rules are in the Lua scripts."""

from collections.abc import Sequence

from chassis.clock import now_ms
from chassis.errors import InvalidInput
from chassis.logs import get_logger
from google.protobuf.message import DecodeError
from trawl.scheduler.v1 import runs_pb2 as pb
from trawl.scheduler.v1 import work_pb2

from scheduler.events import Announcer
from scheduler.finish_runs import log_documents
from scheduler.lost_runs import LostRuns
from scheduler.mongo_runs import Archive, LogChunk
from scheduler.parked import rebuilt
from scheduler.pauses import Pauses
from scheduler.redis_runs import Holder, LiveRuns, Progress, Verdict

log = get_logger("work")
MAX_STEP = 200


class Work:
    """Serves workers. Raises `Unavailable` when Redis (or for logs: MongoDB) can't be reached."""

    def __init__(
        self, live: LiveRuns, archive: Archive, announcer: Announcer, pauses: Pauses, lost: LostRuns
    ) -> None:  # fmt: skip
        self._live, self._archive, self._announcer, self._pauses = live, archive, announcer, pauses
        self._lost = lost

    async def claim(self, holder: Holder, claims: Sequence[work_pb2.Claim]) -> list[Verdict]:
        """A verdict for each claim. A run that Redis does not know is rebuilt from the spec that the claim carries."""
        now = now_ms()
        unknown = [claim for claim in claims if claim.spec]
        if unknown:
            archived = await self._archive.archived([claim.run_id for claim in unknown])
            missing = [_decode(claim) for claim in unknown if claim.run_id not in archived]
            await self._live.accept([rebuilt(spec, raw, "p") for spec, raw in missing])
        else:
            archived = set()
        wanted = [(claim.run_id, claim.token) for claim in claims]
        verdicts = await self._live.claim(holder, wanted, now)
        if wanted and not verdicts:
            await self._pauses.restore()
            verdicts = await self._live.claim(holder, wanted, now)
        return [
            Verdict("drop") if claim.run_id in archived else verdict
            for claim, verdict in zip(claims, verdicts, strict=True)
        ]

    async def report(self, holder: Holder, reports: Sequence[work_pb2.RunReport]) -> list[tuple[int, str]]:
        """Renew the leases, keep progress and logs. Answers (run id, abort | lost) where there is something to say."""
        if not reports:
            return []
        lines = [
            Progress(r.run_id, r.token, r.attempt, r.progress_done, r.progress_total, r.step[:MAX_STEP], r.item_count)
            for r in reports
        ]
        verdicts = await self._live.report(holder, lines, now_ms())
        unknown = [r.run_id for r, verdict in zip(reports, verdicts, strict=True) if verdict == "unknown"]
        archived = await self._archive.archived(unknown)
        answers = []
        chunks = []
        for report, verdict in zip(reports, verdicts, strict=True):
            if verdict in ("abort", "lost"):
                answers.append((report.run_id, verdict))
            elif report.run_id in archived:
                answers.append((report.run_id, "lost"))
            if report.logs and verdict != "lost":
                documents = log_documents(report.logs)
                chunks.append(LogChunk(report.run_id, report.attempt, report.first_log, documents))
        await self._archive.add_logs(chunks)
        await self._announcer.logs_stored([chunk.run_id for chunk in chunks])
        return answers

    async def release(self, holder: Holder, claims: Sequence[work_pb2.Claim]) -> None:
        """Take runs back unharmed: the attempt does not count. Each is queued by a new message, though the worker gives
        the old one back: JetStream may count its next delivery from 1 again, and the claim would refuse that as old.
        """
        for claim in claims:
            await self._lost.take_back(
                claim.run_id, "its worker gave it back", session=holder.session, token=claim.token, counts=False
            )


def _decode(claim: work_pb2.Claim) -> tuple[pb.RunSpec, bytes]:
    try:
        return pb.RunSpec.FromString(claim.spec), claim.spec
    except DecodeError as error:
        raise InvalidInput("the claim's spec can't be read", field="spec", run_id=claim.run_id) from error
