"""The `shell` executor. Owns: what a shell task's command and arguments mean. Must not know how processes are run."""

import orjson

from scraper.executor import ExecutorError, InvalidParameters, Json, RunContext
from scraper.processes import Command, CommandRunner, Finished, command_of
from scraper.templates import fill, fill_shell_line


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
    """The JSON object on the last line of the output, or else the end of the output."""
    if finished.exit_code != 0:
        errors = finished.errors.strip()
        message = finished.describe() + (f": {errors}" if errors else "")
        raise ExecutorError(message, code="COMMAND_FAILED")
    last = finished.output.rstrip().rpartition("\n")[2].strip()
    if last.startswith("{"):
        try:
            return orjson.loads(last)
        except orjson.JSONDecodeError:
            pass
    return finished.output
