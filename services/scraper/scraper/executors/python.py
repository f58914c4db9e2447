"""The `python` executor. Owns: which scripts may be run, and how. Must not know how processes are run."""

import sys
from pathlib import Path

from scraper.executor import InvalidParameters, Json, RunContext
from scraper.executors.shell import result_of
from scraper.processes import Command, CommandRunner, command_of
from scraper.templates import fill


class PythonExecutor:
    """Runs scripts of one folder. `interpreter` is this one unless a setting names another."""

    name = "python"

    def __init__(self, *, runner: CommandRunner, scripts_dir: Path, interpreter: str | None = None) -> None:
        self._runner, self._scripts_dir = runner, scripts_dir
        self._interpreter = interpreter or sys.executable

    async def run(self, context: RunContext) -> Json:
        """The script's result, as a shell command's."""
        command, arguments = command_of(context.job)
        parameters = context.job.parameters
        script = find_script(self._scripts_dir, fill(command, parameters, field="command"))
        words = [fill(word, parameters, field="arguments") for word in arguments or ()]
        what = Command(self._interpreter, ("-u", str(script), *words))
        return result_of(await self._runner.run(context, what))

    async def close(self) -> None:
        """Nothing is shared between runs."""


def find_script(folder: Path, name: str) -> Path:
    """The file `name` of `folder`. Raises InvalidParameters for whatever isn't really inside it."""
    if not name.strip() or "\0" in name:
        raise InvalidParameters("a python task names a script of the worker's scripts folder", field="command")
    root = folder.resolve()
    try:
        script = (root / name).resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise InvalidParameters(f"there is no script {name!r} in the scripts folder", field="command") from error
    if Path(name).is_absolute() or not script.is_relative_to(root):
        raise InvalidParameters(f"{name!r} is outside of the scripts folder", field="command")
    if not script.is_file():
        raise InvalidParameters(f"{name!r} is not a file", field="command")
    return script
