"""What decides about programs that run on a worker's machine. Owns: which tasks, steps and parameters do. Pure.

Whoever may make or change that may run anything there as the user of the worker, so it takes an operator's key on every
port, those that ask for none otherwise included. To run what there is takes none.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise
from typing import Any

from chassis.errors import Forbidden, Unauthenticated
from trawl.scheduler.v1 import tasks_pb2

from gateway.access import Role
from gateway.exchange import Call

Json = Any
COMMANDS = frozenset({"python", "shell"})
# Members of parameters that are the command of a task without one of its own.
OWN = frozenset({"command", "arguments"})
# For the documents of ports that ask for no key otherwise.
NEEDS_KEY = "What runs `shell` or `python` takes an operator's key, on a port that asks for none otherwise as well."
_PLACE = re.compile(r"\{\{\s*(?P<path>[^{}]{1,300}?)\s*\}\}")
# Where a line of shell names a program, or takes a word for code.
_PROGRAM = re.compile(
    r"(?:^|[;&|(`\n{]|\$\(|\b(?:then|do|else|exec|eval|source|sudo|env|nohup|xargs|time)\s|\s-[ce]\s)"
    r"\s*[\"']?(?P<place>\{\{[^{}]{1,300}\}\})"
)
_CODE_OPTIONS = frozenset({"-c", "-e", "--eval", "--command"})


def require_operator(call: Call) -> None:
    """Raises `Unauthenticated`, or `Forbidden` for a viewer, with what is to be done."""
    if call.principal is None:
        raise Unauthenticated(
            "创建或更改运行 shell 或 python 的任务和步骤需要操作员密钥: 请发送 Authorization: Bearer <key> "
            "(make run 的密钥在 TRAWL_HOME/api-key, 其他密钥由管理员用 POST /api/auth/keys 创建)",
            field="Authorization", rule="operator_key",
        )  # fmt: skip
    if call.principal.role < Role.OPERATOR:
        raise Forbidden("权限不足: 需要 operator 角色", rule="role", value=call.principal.role.label)


def runs_commands(task: tasks_pb2.Task) -> bool:
    """Whether its runs are programs on a worker's machine."""
    return task.executor in COMMANDS


def changes_command(task: tasks_pb2.Task, given: Collection[str]) -> bool:
    """Whether parameters of these names would decide which program a run of the task is."""
    if not runs_commands(task):
        return False
    if not task.command.strip():
        return not OWN.isdisjoint(given)
    arguments = task.arguments if task.has_arguments else None
    return not names_of_program(task.executor, task.command, arguments).isdisjoint(given)


def names_of_program(executor: str, command: str, arguments: Iterable[str] | None) -> set[str]:
    """The names of the parameters that stand for a program, or for code, in a command."""
    if executor == "shell" and arguments is None:
        places = [match["place"] for match in _PROGRAM.finditer(command)]
    else:
        words = list(arguments or ())
        after = [word for before, word in pairwise(words) if before in _CODE_OPTIONS]
        places = [command, *after]
    return {match["path"].partition(".")[0] for place in places for match in _PLACE.finditer(place)}


def step_takes_program(params: Mapping[str, Json], task_type: str) -> bool:
    """Whether an inline step's program comes out of the workflow's parameters or results."""
    command, arguments = params.get("command"), params.get("arguments")
    if isinstance(arguments, str) or not isinstance(command, str):
        return True  # A template gives all of them.
    words = [word for word in arguments if isinstance(word, str)] if isinstance(arguments, list) else None
    return bool(names_of_program(task_type, command, words))
