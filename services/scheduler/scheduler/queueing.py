"""The parts that serve queues, put together. A piece of the composition root; decides nothing."""

from chassis.events import Events
from chassis.stores import Database
from redis.asyncio import Redis

from scheduler.abort_run import EndedRuns
from scheduler.abort_runs import AbortRuns
from scheduler.dead_letters import DeadLetters
from scheduler.events import Announcer
from scheduler.finish_runs import FinishRuns
from scheduler.grpc_queues import QueueApi
from scheduler.mongo_queues import QueueBook
from scheduler.mongo_runs import Archive
from scheduler.mongo_tasks import Tasks
from scheduler.pauses import Pauses
from scheduler.queue_control import QueueControl
from scheduler.read_runs import ReadRuns
from scheduler.redis_queues import LiveQueues
from scheduler.redis_runs import LiveRuns
from scheduler.start_runs import StartRuns
from scheduler.worker_offers import WorkerOffers


class Queueing:
    """`pauses` is what claims and leases ask."""

    def __init__(self, database: Database, redis: Redis, announcer: Announcer) -> None:
        self._book, self._live = QueueBook(database), LiveQueues(redis)
        self.pauses = Pauses(self._book, self._live, announcer)
        self._announcer = announcer

    def connect(
        self, *, live: LiveRuns, finish: FinishRuns, ended: EndedRuns, tasks: Tasks, archive: Archive,
        offers: WorkerOffers, reader: ReadRuns, starter: StartRuns, events: Events,
    ) -> QueueApi:  # fmt: skip
        """Their gRPC face."""
        aborter = AbortRuns(live=live, finish=finish, announcer=self._announcer, ended=ended)
        control = QueueControl(
            live=self._live, pauses=self.pauses, tasks=tasks, archive=archive, offers=offers, aborter=aborter
        )
        letters = DeadLetters(
            archive=archive, book=self._book, reader=reader, starter=starter, tasks=tasks, events=events
        )
        return QueueApi(control=control, pauses=self.pauses, letters=letters, aborter=aborter, tasks=tasks)
