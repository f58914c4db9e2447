"""The parts that serve outside workers, put together. A piece of the composition root; decides nothing."""

from chassis.events import Events
from chassis.run import Lifetime
from chassis.stores import Database
from redis.asyncio import Redis
from wire import subjects

from scheduler.abort_run import EndedRuns
from scheduler.events import Announcer
from scheduler.finish_runs import FinishRuns
from scheduler.grpc_leases import LeaseApi
from scheduler.leased_runs import LeasedRuns
from scheduler.leases import Leases
from scheduler.mongo_leases import Leased
from scheduler.mongo_runs import Archive
from scheduler.pauses import Pauses
from scheduler.read_runs import ReadRuns
from scheduler.redis_leases import LiveLeases
from scheduler.redis_runs import LiveRuns
from scheduler.work import Work


class Leasing:
    """`runs` keeps leased runs safe, `leased` has their documents. Times in ms."""

    def __init__(
        self, database: Database, redis: Redis, *, live: LiveRuns, archive: Archive,
        announcer: Announcer, finish: FinishRuns, lease_ms: int, deadline_grace_ms: int,
    ) -> None:  # fmt: skip
        self._live, self._archive, self._announcer, self._lease_ms = live, archive, announcer, lease_ms
        self.leased = Leased(database)
        self._leases = LiveLeases(redis, lease_ms=lease_ms, deadline_grace_ms=deadline_grace_ms)
        self.runs = LeasedRuns(
            live=live, leases=self._leases, leased=self.leased, archive=archive, announcer=announcer,
            archive_runs=finish.archive_runs,
        )  # fmt: skip

    def connect(self, *, work: Work, reader: ReadRuns, events: Events, ended: EndedRuns, pauses: Pauses) -> LeaseApi:
        """Know what leases are handed out by. Answers their gRPC face."""
        self._handing_out = Leases(
            work=work, live=self._live, leases=self._leases, leased=self.leased, runs=self.runs,
            archive=self._archive, reader=reader, announcer=self._announcer, events=events, ended=ended,
            lease_ms=self._lease_ms, pauses=pauses,
        )  # fmt: skip
        return LeaseApi(self._handing_out)

    async def prepare(self) -> None:
        """Make the indexes."""
        await self.leased.prepare()

    async def start(self, life: Lifetime, events: Events) -> None:
        """Listen, and look after leases for ever."""
        await events.nc.subscribe(subjects.WORKER_EVENTS, cb=self._handing_out.on_worker_event)
        await events.nc.subscribe(subjects.LIVE_QUEUES, cb=self._handing_out.on_queue_changed)
        life.keep("leased", self.runs.run)

    def stop(self) -> None:
        """Keep nobody waiting."""
        self._handing_out.stop()
