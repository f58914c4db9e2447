"""`python -m benchmarks`: owns the command's words and exit codes. Must not know how anything is measured."""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import machine, show
from benchmarks.catalogue import ALL, Benchmark
from benchmarks.errors import BenchmarkError
from benchmarks.lab import Lab, Options
from benchmarks.peer_systems import DEFAULT_PEERS, PEERS
from benchmarks.report import Report

QUICK_LIMIT_SECONDS = 120
PIPE_COLUMNS = 140
PACKAGES = ("grpcio", "uvicorn", "fastapi", "nats-py", "redis", "motor")
EPILOG = "Benchmarks: " + "; ".join(f"{name}: {one.summary}" for name, one in ALL.items()) + "."

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog=EPILOG)
def measure(  # noqa: PLR0917 - the parameters are the command line's
    names: Annotated[list[str] | None, typer.Argument(help="Which ones; all when none is named.")] = None,
    quick: Annotated[bool, typer.Option(help="A smoke run: one short round. Its figures mean nothing.")] = False,
    keep: Annotated[
        bool, typer.Option(help="Write results and plots to docs/performance and render the page.")
    ] = False,
    rounds: Annotated[int, typer.Option(min=1, max=25, help="Rounds; the median counts.")] = 3,
    seconds: Annotated[int, typer.Option(min=1, max=300, help="Length of a load.")] = 10,
    archived: Annotated[int, typer.Option(min=0, help="growth: ended runs in the archive.")] = 1_000_000,
    waiting: Annotated[int, typer.Option(min=0, help="growth: runs that nobody takes.")] = 100_000,
    rows: Annotated[int, typer.Option(min=1, help="results: items in the collection.")] = 1_000_000,
    rendered: Annotated[int, typer.Option(min=20, max=100_000, help="pages: products that are rendered.")] = 200,
    connections: Annotated[int, typer.Option(min=1, max=20_000, help="overload: connections.")] = 2_048,
    peers: Annotated[str, typer.Option(help=f"Comma list of {', '.join(PEERS)}; 'none'; 'all'.")] = "",
    render: Annotated[bool, typer.Option(help="Only render docs/performance.md from what is kept.")] = False,
) -> None:
    """Measure Trawl, beside other systems where that makes sense."""
    console = Console(stderr=True)
    if render:
        show.render_page()
        return
    if quick and keep:
        raise typer.BadParameter("what a smoke run finds means nothing and is not kept", param_hint="--keep")
    options = Options(
        quick=quick, rounds=rounds, seconds=seconds, archived=archived, waiting=waiting, rows=rows,
        rendered=rendered, connections=connections, peers=_peers(peers),
    )  # fmt: skip
    if quick:
        options = replace(options, rounds=1, seconds=2, archived=min(archived, 5_000), waiting=min(waiting, 2_000))
    machine.allow_many_files()
    chosen = [_find(name) for name in names or ALL]
    failures = [one.name for one in chosen if not _run(one, options, console, keep=keep)]
    if failures:
        console.print(f"[red]Without a result: {', '.join(failures)}[/]")
    raise typer.Exit(1 if failures else 0)


def _peers(text: str) -> tuple[str, ...]:
    if text in ("", "all", "none"):
        return {"": DEFAULT_PEERS, "all": tuple(PEERS), "none": ()}[text]
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in PEERS:
            raise typer.BadParameter(f"{name} is none of {', '.join(PEERS)}", param_hint="--peers")
    return names


def _find(name: str) -> Benchmark:
    if name not in ALL:
        raise typer.BadParameter(f"{name} is none of {', '.join(ALL)}", param_hint="NAMES")
    return ALL[name]


def _run(benchmark: Benchmark, options: Options, console: Console, *, keep: bool) -> bool:
    """Measure, print and save; whether there is a result."""
    limit = QUICK_LIMIT_SECONDS if options.quick else benchmark.limit_seconds
    directory = Path(tempfile.mkdtemp(prefix="trawl-bench-"))
    console.print(f"[bold]{benchmark.name}[/]: {benchmark.summary} (at most {limit / 60:.0f} min)")
    report: Report | None = None
    try:
        report = asyncio.run(_measure(benchmark, Lab(options, directory, console), limit))
    except* (BenchmarkError, TimeoutError) as group:
        for error in _leaves(group):
            text = str(error) or f"not done within {limit} s"
            console.print(f"{benchmark.name}: {text}", style="red", markup=False, highlight=False)
    except* (asyncio.CancelledError, KeyboardInterrupt):
        console.print("stopped")
        raise SystemExit(130) from None
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if report is None:
        return False
    # A pipe has no width of its own: tables are to be whole there.
    show.print_report(report, Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS))
    measured = time.strftime("%Y-%m-%d", time.gmtime())
    path = show.save(report, machine.describe(PACKAGES), measured, keep=keep)
    console.print(f"written to {os.path.relpath(path)}", highlight=False)
    return True


async def _measure(benchmark: Benchmark, lab: Lab, limit: float) -> Report:
    # SIGTERM ends it the way SIGINT does: what was started is stopped first.
    measuring = asyncio.ensure_future(benchmark.measure(lab))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, measuring.cancel)
    async with asyncio.timeout(limit):
        return await measuring


def _leaves(group: BaseExceptionGroup[BaseException]) -> Sequence[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


if __name__ == "__main__":
    sys.exit(app())
