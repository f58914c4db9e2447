"""Checks of definitions before tasks are kept. Owns: who is asked, and what a problem is called. Must not know HTTP."""

from collections.abc import Mapping
from typing import Any

import orjson
from chassis.errors import DeadlineExceeded, Unavailable
from chassis.logs import get_logger
from trawl.scheduler.v1 import tasks_pb2
from trawl.scraper.v1 import definitions_pb2

from gateway.backend import Backend
from gateway.checks import invalid

Json = Any
log = get_logger("definitions")
# Executors whose parameters are a definition of Trawl's own.
BY_PARAMETERS = frozenset({"scrape", "rpa", "rpa_base"})
CHECKED = BY_PARAMETERS | {"http", "python"}
# Each run checks again: a scraper that is away keeps no task from being made.
CHECK_SECONDS = 5.0


async def check_definition(backend: Backend, task: tasks_pb2.Task, root: str) -> list[tuple[str, str]]:
    """(field, message) of what is doubtful. `root`: how the contract calls the parameters.

    Raises `InvalidInput` when no run could use what the task says of its work.
    """
    if task.executor not in CHECKED:
        return []
    parameters = orjson.loads(task.metadata_json or b"{}").get("params")
    if not (parameters and isinstance(parameters, dict)):
        if task.executor in BY_PARAMETERS:
            return []  # All of them may come with the triggers.
        parameters = {}
    answer = await ask(backend, task, parameters)
    for problem in answer.problems:
        raise invalid(place_of(problem, root), "definition", problem.message)
    return [(place_of(warning, root), warning.message) for warning in answer.warnings]


async def ask(
    backend: Backend, task: tasks_pb2.Task, parameters: Mapping[str, Json]
) -> definitions_pb2.CheckDefinitionResponse:
    """What the scraper says of a task with these parameters; nothing when it is away."""
    request = definitions_pb2.CheckDefinitionRequest(
        executor=task.executor,
        parameters_json=orjson.dumps(parameters),
        command=task.command,
        arguments=task.arguments,
    )
    try:
        answer: definitions_pb2.CheckDefinitionResponse = await backend.scraper.call(
            backend.definitions.CheckDefinition, request, timeout=CHECK_SECONDS
        )
    except (Unavailable, DeadlineExceeded) as error:
        log.warning("a definition was kept unchecked", executor=task.executor, reason=error.message)
        return definitions_pb2.CheckDefinitionResponse()
    return answer


def place_of(problem: definitions_pb2.DefinitionProblem, root: str) -> str:
    """The problem's field as the contract calls it."""
    if problem.of_task:
        return problem.path
    separator = "" if not problem.path or problem.path.startswith("[") else "."
    return f"{root}{separator}{problem.path}"
