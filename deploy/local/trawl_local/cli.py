"""The `trawl` command. Owns: its words and exit codes. Must not know how anything is done."""

import asyncio
import os
import pkgutil
import sys
import traceback
from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console

from trawl_local import guardian
from trawl_local.errors import Refusal
from trawl_local.home import Home

EPILOG = """\
Environment: TRAWL_HOME (data; default .trawl), TRAWL_API_KEY (first admin key; else one is generated),
PORT_SCHEDULER 8080, PORT_SMARTRPA 8082, PORT_MANAGEMENT 8083, PORT_XGET 8003, PORT_PIPELINE 8000 (0 = off),
PRIVATE_PORTS (first of the seven that the programs among themselves use; else those of the last start),
MONGODB_URI (a real MongoDB; else the embedded stand-in), CHROMIUM_PATH, TESSERACT_PATH, LOG_LEVEL.
"""

app = typer.Typer(
    name="trawl",
    help="Scraping and task orchestration on one machine.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def refusing(work: Callable[[], int]) -> int:
    """The exit code of `work`; what it refuses is one sentence on standard error, and 1."""
    try:
        return work()
    except Refusal as refusal:
        print(f"trawl: {refusal}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception:  # noqa: BLE001 - the end of the process: a defect is shown as such
        traceback.print_exc()
        return 70


def _finish(code: int) -> None:
    raise typer.Exit(code)


@app.command()
def up(
    json_lines: Annotated[bool, typer.Option("--json", help="Print the programs' log lines as JSON.")] = False,
) -> None:
    """Start everything on this machine and stay in the foreground; Ctrl-C stops it."""

    def work() -> int:
        from trawl_local import up as stack_up
        from trawl_local.output import terminal

        output = terminal(json_lines=json_lines, width=15, no_colour=bool(os.environ.get("NO_COLOR")))
        console = Console(stderr=True)
        try:
            return asyncio.run(stack_up.serve(Home.of(os.environ), dict(os.environ), console=console, output=output))
        finally:
            output.close()

    _finish(guardian.run(lambda: refusing(work)))


@app.command()
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running until Ctrl-C.")] = False,
) -> None:
    """Scrape a sample shop through the whole system, check every item, and write trawl-demo.csv."""

    def work() -> int:
        from trawl_local import demo as demonstration

        return asyncio.run(demonstration.main(Home.of(os.environ), dict(os.environ), keep=keep))

    _finish(guardian.run(lambda: refusing(work)))


@app.command()
def tools() -> None:
    """See to it that nats-server, redis-server, Chromium and Tesseract are there."""

    def work() -> int:
        from trawl_local import tools as programs

        for package, path in programs.ensure(os.environ, Console(stderr=True)).items():
            print(f"{package:<13} {path}")
        return 0

    _finish(refusing(work))


@app.command()
def status() -> None:
    """Say what runs on this TRAWL_HOME and whether it answers; exit code 0 when all of it does."""

    def work() -> int:
        from trawl_local import status as report

        return asyncio.run(report.show(Home.of(os.environ), Console()))

    _finish(refusing(work))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def simulate(context: typer.Context, name: Annotated[str, typer.Argument(help="Which one.")] = "") -> None:
    """Stand in for an outside service, to try Trawl against it: trawl simulate NAME [its options]."""
    import simulators

    known = sorted(module.name for module in pkgutil.iter_modules(simulators.__path__) if module.ispkg)
    if name not in known:
        print(f"trawl: there are simulators of {', '.join(known) or 'nothing'}; got {name!r}", file=sys.stderr)
        raise typer.Exit(1)
    os.execv(sys.executable, [sys.executable, "-m", f"simulators.{name}", *context.args])  # noqa: S606 - by list


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def worker(context: typer.Context) -> None:
    """Do runs of Python functions of your own: trawl worker MODULE:APP [--slots N] (see docs/sdk.md)."""
    environment = dict(os.environ)
    # Looked at again and again: the stack may be started later, or anew on other ports.
    environment["TRAWL_PORTS_FILE"] = str(Home.of(environment).ports_file)
    command = [sys.executable, "-m", "trawl_sdk", *context.args]
    os.execve(sys.executable, command, environment)  # noqa: S606 - by list


def main() -> None:
    """Console script."""
    app()


if __name__ == "__main__":
    main()
