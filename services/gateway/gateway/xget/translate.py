"""Between the scheduler's messages and the XGet contract's JSON. Owns: field names, nulls, words for states. Pure."""

from typing import Any

import orjson
from trawl.scheduler.v1 import runs_pb2, standings_pb2, tasks_pb2
from trawl.scraper.v1 import collections_pb2

from gateway.times import iso_seconds
from gateway.xget.errors import Unprocessable
from gateway.xget.ids import execution_id_of, task_id_of
from gateway.xget.models import NewTask, canonical_type, check_parameters

Json = Any
CONTRACT = "xget"
# What of a task reaches an executor beside its parameters.
FIXED = ("account_id", "proxy_id")
RETRIES = 3
TIMEOUT_SECONDS = 6 * 3600
STATES = {
    "PENDING": standings_pb2.Standing.STATE_IDLE,
    "RUNNING": standings_pb2.Standing.STATE_LIVE,
    "COMPLETED": standings_pb2.Standing.STATE_COMPLETED,
    "FAILED": standings_pb2.Standing.STATE_FAILED,
    "STOPPED": standings_pb2.Standing.STATE_ABORTED,
}
STATE_WORDS = {number: word for word, number in STATES.items()}
RUN_STATUSES = {
    "PENDING": runs_pb2.RUN_STATUS_PENDING,
    "RUNNING": runs_pb2.RUN_STATUS_RUNNING,
    "COMPLETED": runs_pb2.RUN_STATUS_COMPLETED,
    "FAILED": runs_pb2.RUN_STATUS_FAILED,
    "STOPPED": runs_pb2.RUN_STATUS_ABORTED,
}
RUN_STATUS_WORDS = {number: word for word, number in RUN_STATUSES.items()}


def new_standing(task: NewTask, parameters: dict[str, Json]) -> standings_pb2.NewStanding:
    """The scheduler's task for one of the contract's."""
    given = Given(
        task_name=task.task_name, describe=task.describe, task_type=task.task_type, parameters=task.parameters,
        account_id=task.account_id, proxy_id=task.proxy_id, user_id=task.user_id,
    )  # fmt: skip
    task_type = canonical_type(task.task_type)
    made = tasks_pb2.Task(
        name=task.task_name, description=plain_text(task.describe), task_type=task_type, executor=task_type,
        priority=runs_pb2.PRIORITY_NORMAL, retry_count=RETRIES, timeout_seconds=TIMEOUT_SECONDS, contract=CONTRACT,
        metadata_json=given.metadata({}, parameters),
    )  # fmt: skip
    return standings_pb2.NewStanding(task=made, owner=task.user_id)


def plain_text(text: str | None) -> str:
    """A description as the scheduler keeps it: without control characters."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text or "")


class Given:
    """What a client has given, word for word; kept in the task's metadata, so that it reads back as it was sent."""

    __slots__ = ("account_id", "describe", "parameters", "proxy_id", "task_name", "task_type", "user_id")

    def __init__(
        self, *, task_name: str, describe: str | None, task_type: str, parameters: Json, account_id: str | None,
        proxy_id: str | None, user_id: str,
    ) -> None:  # fmt: skip
        self.task_name, self.describe, self.task_type, self.parameters = task_name, describe, task_type, parameters
        self.account_id, self.proxy_id, self.user_id = account_id, proxy_id, user_id

    def metadata(self, metadata: dict[str, Json], parameters: dict[str, Json]) -> bytes:
        """`metadata` with this in it. `parameters` are what an executor gets, with account and proxy."""
        own = {name: getattr(self, name) for name in self.__slots__}
        # As a text: names of parameters come from outside, and not every name can be one in the database.
        own["parameters"] = orjson.dumps(self.parameters).decode()
        return orjson.dumps(metadata | {"params": parameters | self.fixed(), CONTRACT: own})

    def fixed(self) -> dict[str, Json]:
        """Account and proxy, where the client has chosen them."""
        return {name: value for name in FIXED if (value := getattr(self, name)) is not None}


def given_of(standing: standings_pb2.Standing) -> Given:
    """What the client has given. Where another contract has changed the task since, it says what runs get now."""
    task = standing.task
    metadata = metadata_of(standing)
    own, params = (found if isinstance(found := metadata.get(name), dict) else {} for name in (CONTRACT, "params"))
    given = Given(
        task_name=_text(own.get("task_name")) or task.name,
        describe=_text(own.get("describe")) if own else task.description or None,
        task_type=_text(own.get("task_type")) or task.task_type,
        parameters=_loaded(own.get("parameters"), {}),
        account_id=_text(own.get("account_id")),
        proxy_id=_text(own.get("proxy_id")),
        user_id=standing.owner,
    )
    if canonical_type(given.task_type) != task.task_type:
        given.task_type = task.task_type
    if _params_of(given) != params:
        given.parameters = {name: value for name, value in params.items() if name not in FIXED}
        given.account_id, given.proxy_id = (_text(params.get(name)) for name in FIXED)
    return given


def _params_of(given: Given) -> dict[str, Json] | None:
    """What an executor gets; None for what would not be taken."""
    try:
        parameters = check_parameters(given.task_type, given.parameters)
    except (Unprocessable, KeyError):
        return None
    return parameters | given.fixed()


def metadata_of(standing: standings_pb2.Standing) -> dict[str, Json]:
    """The task's metadata."""
    metadata = orjson.loads(standing.task.metadata_json or b"{}")
    return metadata if isinstance(metadata, dict) else {}


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def _loaded(text: Json, otherwise: Json) -> Json:
    try:
        return orjson.loads(text) if isinstance(text, str) else otherwise
    except orjson.JSONDecodeError:
        return otherwise


def task_json(standing: standings_pb2.Standing, *, status: str = "") -> dict[str, Json]:
    """A task. `status` overrides the state's word."""
    task, given = standing.task, given_of(standing)
    updated_ms = max(task.updated_ms if task.updated_ms != task.created_ms else 0, standing.changed_ms)
    return {
        "id": task_id_of(task.id),
        "task_name": given.task_name,
        "describe": given.describe,
        "task_type": given.task_type,
        "parameters": given.parameters,
        "account_id": given.account_id,
        "proxy_id": given.proxy_id,
        "user_id": given.user_id,
        "status": status or STATE_WORDS.get(standing.state, "PENDING"),
        "error_message": standing.error_message or None,
        "created_at": iso_seconds(task.created_ms),
        "updated_at": iso_seconds(updated_ms),
    }


def execution_json(run: runs_pb2.Run) -> dict[str, Json]:
    """A run. Why it waits, and until when, is told as its message, since the contract has no other place for that."""
    spec = run.spec
    parameters = _loaded(spec.parameters_json.decode("utf-8", "replace") or "{}", {})
    ended = run.started_ms and run.completed_ms
    pending = run.status == runs_pb2.RUN_STATUS_PENDING
    return {
        "id": execution_id_of(spec.run_id),
        "task_id": task_id_of(spec.task_id),
        "account_id": _text(parameters.get("account_id")),
        "proxy_id": _text(parameters.get("proxy_id")),
        "status": RUN_STATUS_WORDS.get(run.status, "PENDING"),
        "error_message": (_waiting(run) if pending else run.error_message) or None,
        "started_at": iso_seconds(run.started_ms or spec.created_ms),
        "completed_at": iso_seconds(run.completed_ms),
        "duration": max(run.completed_ms - run.started_ms, 0) / 1000 if ended else None,
        "result_count": None if pending and not run.item_count else run.item_count,
    }


def _waiting(run: runs_pb2.Run) -> str:
    if not run.waiting_reason or not run.not_before_ms:
        return run.waiting_reason
    return f"{run.waiting_reason}; it goes on at {iso_seconds(run.not_before_ms)}"


def result_json(item: collections_pb2.CollectedItem) -> dict[str, Json]:
    """A result."""
    return {
        "id": item.id,
        "task_id": task_id_of(item.task_id),
        "data_type": item.data_type,
        "data": orjson.Fragment(item.data_json),
        "metadata": orjson.Fragment(item.metadata_json),
        "created_at": iso_seconds(item.created_ms),
    }


def page_json(items: list[Json], total: int, *, skip: int, size: int) -> dict[str, Json]:
    """A page of a list."""
    return {"items": items, "total": total, "page": skip // size + 1, "size": size, "pages": -(-total // size)}
