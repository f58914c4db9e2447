"""The one table of JetStream streams, subjects and queue names. Nothing else may spell a subject.

Streams
    RUNS    work queue, file storage: `trawl.runs.ready.<queue>.<priority>`, payload `scheduler.v1.RunSpec`
    EVENTS  limits (age, size), file storage: `trawl.runs.finished` and `trawl.events.*`
    DEAD    limits, file storage: `trawl.dead.<origin>`, what could not be decoded, with the reason in a header
Core NATS (not stored)
    `trawl.control.abort.<worker_session>`, payload `scheduler.v1.AbortOrder`
    `trawl.live.logs`, new log lines are stored for these runs: their ids in decimal, separated by spaces
    `trawl.live.queues`, a queue was paused or resumed: its name
    `trawl.live.wakes`, what parked runs wait for has come: its name
    `trawl.live.webhooks`, the gateway's webhooks have changed: no payload
    `trawl.live.workflows`, a workflow's schedule may have changed: no payload
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

RUNS_STREAM: Final = "RUNS"
EVENTS_STREAM: Final = "EVENTS"
DEAD_STREAM: Final = "DEAD"

RUNS_FINISHED: Final = "trawl.runs.finished"
RUN_EVENTS: Final = "trawl.events.runs"
TASK_EVENTS: Final = "trawl.events.tasks"
WORKER_EVENTS: Final = "trawl.events.workers"
ALL_EVENTS: Final = "trawl.events.>"

LIVE_LOGS: Final = "trawl.live.logs"
LIVE_QUEUES: Final = "trawl.live.queues"
LIVE_WAKES: Final = "trawl.live.wakes"
LIVE_WEBHOOKS: Final = "trawl.live.webhooks"
LIVE_WORKFLOWS: Final = "trawl.live.workflows"

# In the order of service: workers pull from the first to the last.
PRIORITIES: Final = ("critical", "high", "normal", "low")
DEFAULT_PRIORITY: Final = "normal"

# Executors that the scraper ships. A run of one of these queues under the executor's name; any other run queues
# under its task type, for the outside workers that offer that type.
# The pipeline contract's task types can be named as executors as well. Their words are common ones, so their queues
# have a prefix: somebody's own task type `search` stays his.
PIPELINE_TYPES: Final = ("search", "dedup", "crawl", "ocr", "index", "keyword_expand")
PIPELINE: Final = "pipeline"
PIPELINE_QUEUES: Final = {name: f"{PIPELINE}_{name}" for name in PIPELINE_TYPES}

X_EXECUTORS: Final = frozenset(
    {"USER_TWEETS", "USER_INFO", "KEYWORD_SEARCH", "HASHTAG_SEARCH", "USER_FOLLOWERS", "USER_FOLLOWING"}
)

BUILT_IN_EXECUTORS: Final = frozenset(
    {"http", "noop", "python", "rpa", "scrape", "shell", *PIPELINE_QUEUES.values(), *X_EXECUTORS}
)

# How the consumers of `ready_consumer` are made, whoever comes first: a delivered message comes again after this long.
READY_ACK_WAIT_SECONDS: Final = 30.0
READY_MAX_ACK_PENDING: Final = 20_000

# How the sessions of workers begin that speak only HTTP: the gateway makes them, and leases are theirs alone.
OUTSIDE_SESSION: Final = "outside-"

# Headers of dead letters: why nobody can read them, and when that was found (epoch ms).
DEAD_REASON: Final = "Trawl-Reason"
DEAD_TIME: Final = "Trawl-Time"

_QUEUE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """How a stream is declared. Sizes in bytes, ages in seconds."""

    name: str
    subjects: tuple[str, ...]
    retention: Literal["workqueue", "limits"]
    max_age_seconds: float = 0
    max_bytes: int = -1


STREAMS: Final = (
    StreamSpec(RUNS_STREAM, ("trawl.runs.ready.>",), "workqueue"),
    StreamSpec(
        EVENTS_STREAM, (RUNS_FINISHED, "trawl.events.>"), "limits", max_age_seconds=7 * 86_400, max_bytes=2 * 1024**3
    ),
    StreamSpec(DEAD_STREAM, ("trawl.dead.>",), "limits", max_age_seconds=30 * 86_400, max_bytes=256 * 1024**2),
)


def is_queue_name(name: str) -> bool:
    """Task types and executors become a token of a subject, so only plain names are allowed."""
    return _QUEUE_NAME.fullmatch(name) is not None


def queue_of(task_type: str, executor: str) -> str:
    """The queue that a run of this task waits in."""
    executor = PIPELINE_QUEUES.get(executor, executor)
    return executor if executor in BUILT_IN_EXECUTORS else task_type


def is_pipeline_queue(queue: str) -> bool:
    """Whether runs of that queue belong to a project of the pipeline contract."""
    return queue in PIPELINE_QUEUES.values()


def project_scope(project_id: int) -> str:
    """The scope of a project's runs; `PIPELINE` alone stands for all projects."""
    return f"{PIPELINE}:{project_id}"


def ready_subject(queue: str, priority: str) -> str:
    """Subject of the runs that wait in `queue` with `priority`."""
    return f"trawl.runs.ready.{queue}.{priority}"


def ready_consumer(queue: str, priority: str) -> str:
    """Durable pull consumer on `ready_subject`: exactly one for each subject, as a work queue demands."""
    return f"ready-{queue}-{priority}"


def abort_subject(worker_session: str) -> str:
    """Where one worker process hears of aborted runs at once."""
    return f"trawl.control.abort.{worker_session}"


def dead_subject(origin: str) -> str:
    """Where messages go that nobody can read."""
    return f"trawl.dead.{origin}"


def dead_letter(origin: str, reason: str, time_ms: int) -> tuple[str, dict[str, str]]:
    """(subject, headers) of a message that is set aside; `origin` is who could not handle it."""
    return dead_subject(origin), dead_headers(reason, time_ms)


def dead_headers(reason: str, time_ms: int) -> dict[str, str]:
    """The headers of a dead letter; a header has one line."""
    return {DEAD_REASON: " ".join(reason.split())[:500], DEAD_TIME: str(time_ms)}
