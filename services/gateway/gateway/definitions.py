"""Checks of definitions before tasks are kept. Owns: who is asked, and what a problem is called. Must not know HTTP."""

import orjson
from chassis.errors import Unavailable
from chassis.logs import get_logger
from trawl.scheduler.v1 import tasks_pb2
from trawl.scraper.v1 import definitions_pb2

from gateway.backend import Backend
from gateway.checks import invalid

log = get_logger("definitions")
# Executors whose parameters are a definition of Trawl's own.
CHECKED = frozenset({"scrape", "rpa", "rpa_base"})
# Each run checks again: a scraper that is away keeps no task from being made.
CHECK_SECONDS = 5.0


async def check_definition(backend: Backend, task: tasks_pb2.Task, root: str) -> None:
    """Raise `InvalidInput` when no run could use the task's parameters. `root`: how the contract calls them."""
    if task.executor not in CHECKED:
        return
    parameters = orjson.loads(task.metadata_json or b"{}").get("params")
    if not parameters or not isinstance(parameters, dict):
        return  # All of them may come with the triggers.
    request = definitions_pb2.CheckDefinitionRequest(executor=task.executor, parameters_json=orjson.dumps(parameters))
    try:
        answer = await backend.scraper.call(backend.definitions.CheckDefinition, request, timeout=CHECK_SECONDS)
    except Unavailable as error:
        log.warning("a definition was kept unchecked", executor=task.executor, reason=error.message)
        return
    for problem in answer.problems:
        separator = "" if not problem.path or problem.path.startswith("[") else "."
        raise invalid(f"{root}{separator}{problem.path}", "definition", problem.message)
