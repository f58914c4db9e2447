"""What a command finds in its environment. Owns: the names and what can't be passed. Must not know processes.

Clean but for PATH, HOME, TMPDIR and LANG: nothing of this worker's own environment, which holds its secrets.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from scraper.executor import InvalidParameters, RunContext
from scraper.templates import json_bytes, value_text

# The kernel takes at most 128 KiB in one environment variable.
MAX_VARIABLE_BYTES = 100 * 1024


def command_environment(context: RunContext, folder: Path, path: str) -> dict[str, str]:
    """The environment of a run's command, whose own folder is `folder`; what can't be passed is logged."""
    environment = {"PATH": path, "HOME": str(folder), "TMPDIR": str(folder), "LANG": "C.UTF-8"}
    parameters = json_bytes(dict(context.job.parameters))
    if len(parameters) <= MAX_VARIABLE_BYTES:
        environment["TASK_PARAMETERS"] = parameters.decode()
    else:
        file = folder / "parameters.json"
        file.write_bytes(parameters)
        environment["TASK_PARAMETERS_FILE"] = str(file)
        context.log("warn", "The parameters are too large for TASK_PARAMETERS: see the file TASK_PARAMETERS_FILE")
    return environment | parameter_variables(context)


def parameter_variables(context: RunContext) -> dict[str, str]:
    """PARAM_<NAME> for each scalar parameter: the name in upper case, anything but A-Z, 0-9 and _ turned into _.

    Parameters whose names become the same have no variable, and one that is too large for it has none; the log names
    them. Raises InvalidParameters for a NUL.
    """
    names: dict[str, list[str]] = defaultdict(list)
    for name, value in context.job.parameters.items():
        if not isinstance(value, Mapping | list | tuple):
            names["PARAM_" + re.sub(r"[^A-Z0-9_]", "_", name.upper())].append(name)
    variables: dict[str, str] = {}
    for variable, sources in names.items():
        if len(sources) > 1:
            listed = ", ".join(repr(name) for name in sources)
            context.log("warn", f"The parameters {listed} would all be {variable}: there is none; see TASK_PARAMETERS")
            continue
        text = value_text(context.job.parameters[sources[0]])
        if "\0" in text:
            field = f"parameters.{sources[0]}"
            raise InvalidParameters("holds a NUL character, which no program can be given", field=field)
        if len(text.encode(errors="replace")) <= MAX_VARIABLE_BYTES:
            variables[variable] = text
        else:
            context.log("warn", f"The parameter {sources[0]!r} is too large for {variable}: there is none")
    return variables
