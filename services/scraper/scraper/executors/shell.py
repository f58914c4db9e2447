"""The `shell` executor. Owns: what a shell task's command and arguments mean. Must not know how processes are run."""

import json
import re
from contextlib import suppress

import orjson

from scraper.executor import ExecutorError, InvalidParameters, Json, RunContext
from scraper.processes import Command, CommandRunner, Finished, command_of
from scraper.storable import MAX_DEPTH
from scraper.templates import fill, fill_shell_line

# Nineteen digits can be too many for 64 bits.
LARGE_INTEGER = re.compile(r"\d{19}")


class ShellExecutor:
    """With arguments `command` is a program, without it is a line for /bin/sh."""

    name = "shell"

    def __init__(self, *, runner: CommandRunner) -> None:
        self._runner = runner

    async def run(self, context: RunContext) -> Json:
        """The command's result. Raises ExecutorError with its exit code and the end of its standard error."""
        command, arguments = command_of(context.job)
        parameters = context.job.parameters
        if not command.strip():
            raise InvalidParameters("a shell task needs one", field="command")
        if arguments is None:
            line = fill_shell_line(command, parameters, field="command")
            what = Command("/bin/sh", ("-c", line.line), line.variables)
        else:
            words = [fill(word, parameters, field="arguments") for word in arguments]
            what = Command(fill(command, parameters, field="command"), words)
        return result_of(await self._runner.run(context, what))

    async def close(self) -> None:
        """Nothing is shared between runs."""


def result_of(finished: Finished) -> Json:
    """The JSON object on the last line of the output, or else the end of the output as text.

    A line that JSON readers don't agree upon, or that no store holds as deep as it is, is text: a command that
    succeeded doesn't fail over its last line. Integers keep every digit.
    """
    if finished.exit_code != 0 or finished.limit:
        errors = finished.errors.strip()
        message = finished.describe() + (f": {errors}" if errors else "")
        raise ExecutorError(message, code="COMMAND_FAILED")
    last = finished.output.rstrip().rpartition("\n")[2].strip()
    if last.startswith("{"):
        with suppress(ValueError, RecursionError):
            # This one refuses NaN, lone surrogates and the like, but makes floats of large integers.
            found = orjson.loads(last)
            if LARGE_INTEGER.search(last):
                found = json.loads(last)
            if not deeper_than(found, MAX_DEPTH):
                return found
    return finished.output


def deeper_than(value: Json, most: int) -> bool:
    """Whether objects and lists are nested in one another more than `most` times."""
    level: list[Json] = [value]
    for _ in range(most):
        level = [
            member
            for one in level
            if isinstance(one, dict | list)
            for member in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return any(isinstance(one, dict | list) for one in level)
