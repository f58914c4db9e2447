"""Tasks and runs of the scheduler contract as their reader may see them. Owns: which members of them are definitions.
What is hidden of one is `masking`'s to say.
"""

from typing import Any

import orjson
from chassis.errors import NotFound
from trawl.scheduler.v1 import runs_pb2, tasks_pb2

from gateway.backend import Backend
from gateway.exchange import Call
from gateway.masking import CLEAR, Veil, restored, sees_secrets, veil_of

Json = Any
DEFINING = ("executor", "command", "arguments", "metadata")


def seen_task(call: Call, shown: dict[str, Json]) -> dict[str, Json]:
    """The task, without its secrets for a viewer."""
    veil = veil_of(call)
    defining: dict[str, Json] = veil.definition({name: shown[name] for name in DEFINING})
    seen: dict[str, Json] = veil.data(shown)
    return seen | defining


async def seen_run(call: Call, backend: Backend, run_id: int) -> Veil:
    """How the caller sees what the run says. Asks for the run only where that makes a difference."""
    if sees_secrets(call):
        return CLEAR
    try:
        run = await backend.run(backend.runs.GetRun, runs_pb2.GetRunRequest(run_id=run_id))
    except NotFound:
        return veil_of(call)
    return veil_of(call, run)


def unhidden(sent: dict[str, Json], kept: tasks_pb2.Task) -> dict[str, Json]:
    """A change with the task's own values in place of `***`. Raises `InvalidInput` where it is not clear which.

    An empty list is also how arguments are shown that were never given: sent back, they stay so.
    """
    if sent.get("arguments") == [] and not kept.has_arguments:
        sent = {name: value for name, value in sent.items() if name != "arguments"}
    known = {
        "executor": kept.executor,
        "command": kept.command,
        "arguments": list(kept.arguments),
        "metadata": orjson.loads(kept.metadata_json or b"{}"),
    }
    given = {name: sent[name] for name in DEFINING if name in sent and name != "executor"}
    found: dict[str, Json] = restored(given, known, executor=kept.executor)
    return sent | found
