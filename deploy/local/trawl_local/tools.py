"""The Debian programs that the stack needs: finding them, and installing them where that is allowed.

Must not know how they are configured.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from trawl_local.errors import Refusal

# A plain user's PATH has no sbin, and that is where Debian puts nats-server.
EXTRA_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INSTALL_SECONDS = 900


@dataclass(frozen=True, slots=True)
class Tool:
    """A program by any of its `names`, and the Debian package that has it."""

    package: str
    names: tuple[str, ...]
    # The environment variable by which a person names another one.
    variable: str = ""


NATS = Tool("nats-server", ("nats-server",))
REDIS = Tool("redis-server", ("redis-server", "valkey-server"))
CHROMIUM = Tool("chromium", ("chromium", "chromium-browser", "google-chrome"), "CHROMIUM_PATH")
TESSERACT = Tool("tesseract-ocr", ("tesseract",), "TESSERACT_PATH")
ALL = (NATS, REDIS, CHROMIUM, TESSERACT)


def find(tool: Tool, environment: Mapping[str, str]) -> str | None:
    """The program's path, or None. Raises `Refusal` when its variable names something that can't be executed."""
    named = environment.get(tool.variable, "") if tool.variable else ""
    if named:
        if os.access(named, os.X_OK) and Path(named).is_file():
            return named
        raise Refusal(f"{tool.variable} names {named}, which is no program: correct it or unset it.")
    path = f"{environment.get('PATH', '')}:{EXTRA_PATH}"
    return next((found for name in tool.names if (found := shutil.which(name, path=path))), None)


def ensure(environment: Mapping[str, str], console: Console, tools: Iterable[Tool] = ALL) -> dict[str, str]:
    """Paths by package name; what is missing is installed when this process is root.

    Raises `Refusal` with the one line to type when it can't be.
    """
    wanted = tuple(tools)
    missing = [tool.package for tool in wanted if find(tool, environment) is None]
    if missing:
        _install(missing, environment, console)
    found = {tool.package: find(tool, environment) for tool in wanted}
    lost = [package for package, path in found.items() if path is None]
    if lost:
        raise Refusal(f"{_names(lost)} was installed but can't be found on PATH: put it there and try again.")
    return {package: path for package, path in found.items() if path}


def _names(packages: list[str]) -> str:
    return " and ".join([", ".join(packages[:-1]), packages[-1]] if len(packages) > 1 else packages)


def _install(packages: list[str], environment: Mapping[str, str], console: Console) -> None:
    names, verb = _names(packages), "is" if len(packages) == 1 else "are"
    apt = shutil.which("apt-get", path=f"{environment.get('PATH', '')}:{EXTRA_PATH}")
    if apt is None:
        raise Refusal(f"{names} {verb} missing and there is no apt-get here: install {names} and try again.")
    line = f"apt-get install -y --no-install-recommends {' '.join(packages)}"
    if os.geteuid() != 0:
        raise Refusal(f"{names} {verb} missing: sudo apt-get update && sudo {line}")
    # RUNLEVEL=1 keeps the packages' own services from starting: the stack runs programs of its own.
    quiet = {**environment, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    with console.status(f"installing {names}"):
        # A repository that can't be reached need not be the one that has the packages: go on.
        _apt([apt, "update", "-qq"], quiet)
        problem = _apt([apt, "-o", "DPkg::Lock::Timeout=120", "-qq", *line.split()[1:]], quiet)
    if problem is not None:
        raise Refusal(f"Could not install {names} ({problem}): run '{line}' yourself and try again.")
    console.print(f"installed {names}")


def _apt(command: list[str], environment: Mapping[str, str]) -> str | None:
    """None when it went well, else the last thing that it said."""
    try:
        done = subprocess.run(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no end after {INSTALL_SECONDS // 60} minutes"
    except OSError as error:
        return error.strerror or str(error)
    if done.returncode == 0:
        return None
    said = [line.strip() for line in done.stdout.decode(errors="replace").splitlines() if line.strip()]
    errors = [line for line in said if line.startswith("E:")]
    return (errors or said or [f"exit code {done.returncode}"])[-1]
