"""Where the task management port asks for a key though it asks for none otherwise: before somebody decides which
programs workers run. Owns: who is asked about named tasks. What decides is in `commands.py`.
"""

from collections.abc import Iterable
from typing import Any

import orjson
from chassis.errors import NotFound
from trawl.scheduler.v1 import runs_pb2, tasks_pb2
from trawl.scheduler.v1 import workflows_pb2 as pb

from gateway.backend import Backend
from gateway.commands import COMMANDS, changes_command, require_operator, runs_commands, step_takes_program
from gateway.exchange import Call
from gateway.masking import sees_secrets

Json = Any


async def check_steps(call: Call, backend: Backend, steps: Iterable[pb.WorkflowStep]) -> None:
    """Raises `Unauthenticated` or `Forbidden` when a step of a new definition runs a program."""
    if sees_secrets(call):
        return
    for step in steps:
        if step.task_type in COMMANDS or (step.task and runs_commands(await _named(backend, step.task))):
            require_operator(call)


async def check_start(call: Call, backend: Backend, start: runs_pb2.StartRun) -> None:
    """Raises the same when the start's parameters decide which program the named task runs."""
    if sees_secrets(call) or not start.parameters_json:
        return
    if changes_command(await _named(backend, start.task_name), orjson.loads(start.parameters_json)):
        require_operator(call)


async def check_execution(call: Call, backend: Backend, name: str, params: Json) -> None:
    """Raises the same when parameters of an execution could become a program of one of the workflow's steps."""
    if sees_secrets(call) or not params:
        return
    workflow = await backend.run(backend.workflows.GetWorkflow, pb.GetWorkflowRequest(name=name))
    for step in workflow.definition.steps:
        given = orjson.loads(step.params_json or b"{}")
        inline = step.task_type in COMMANDS and step_takes_program(given, step.task_type)
        if inline or (step.task and changes_command(await _named(backend, step.task), given)):
            require_operator(call)


async def _named(backend: Backend, name: str) -> tasks_pb2.Task:
    """The task of that name or number; one that isn't there runs nothing."""
    requests = [tasks_pb2.GetTaskRequest(name=name)]
    if name.isascii() and name.isdigit() and len(name) < 19:
        requests.insert(0, tasks_pb2.GetTaskRequest(id=int(name)))
    for request in requests:
        try:
            task: tasks_pb2.Task = (await backend.task(backend.tasks.GetTask, request)).task
        except NotFound:
            continue
        if runs_commands(task):
            return task
    return tasks_pb2.Task()
