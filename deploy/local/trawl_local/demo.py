"""`trawl demo`: scrapes the sample shop through the whole system and proves that nothing is missing.

Owns the demonstration's order and what is printed. Must not know how a run is done.
"""

import asyncio
import csv
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from trawl_local import readiness, shop
from trawl_local.api import Api, Json, connect
from trawl_local.errors import Refusal
from trawl_local.home import Home
from trawl_local.output import Output, terminal
from trawl_local.up import Stopped, StopSignals, running

CSV_FILE = Path("trawl-demo.csv")
RUN_SECONDS = 180.0
START_SECONDS = 60.0
COLUMNS = ("sku", "name", "price", "tags", "url", "description")


def shop_task(site: str) -> Json:
    """The task that scrapes all list pages, and every lamp's own page."""
    return {
        "name": "demo-shop",
        "description": "Every lamp of the sample shop, with its own page",
        "task_type": "scrape",
        "executor": "scrape",
        "command": "",
        "timeout_seconds": 300,
        "metadata": {
            "params": {
                "start_urls": [f"{site}/lamps?page=1"],
                "render": "auto",
                "items": {
                    "select": {"css": "li.item"},
                    "fields": {
                        "name": {"css": ".name", "required": True},
                        "price": {"css": ".price", "type": "number"},
                        "url": {"css": "a", "attribute": "href", "type": "url"},
                        "tags": {"css": ".tag", "many": True},
                    },
                },
                "detail": {
                    "follow": "url",
                    "fields": {"description": {"css": "#desc"}, "sku": {"xpath": "//*[@itemprop='sku']"}},
                },
                "next": {"css": "a.next"},
                "limits": {"pages": 200, "items": 1000, "depth": 3, "seconds": 240},
                "unique_by": ["sku"],
                "data_type": "product",
            }
        },
    }


def deals_task(site: str) -> Json:
    """The task that renders the page whose items appear by script only."""
    return {
        "name": "demo-deals",
        "description": "The sample shop's deals, which only a browser shows",
        "task_type": "scrape",
        "executor": "scrape",
        "command": "",
        "timeout_seconds": 120,
        "metadata": {
            "params": {
                "start_urls": [f"{site}/deals"],
                "render": "browser",
                "wait_for": {"css": "li.deal"},
                "items": {
                    "select": {"css": "li.deal"},
                    "fields": {
                        "name": {"css": ".name", "required": True},
                        "price": {"css": ".price", "type": "number"},
                        "url": {"css": "a", "attribute": "href", "type": "url"},
                    },
                },
                "limits": {"pages": 5, "items": 100, "seconds": 60},
                "unique_by": ["url"],
                "data_type": "deal",
            }
        },
    }


def complaints(found: Sequence[Json], wanted: Sequence[Json], key: str) -> list[str]:
    """What is wrong with `found`, in words; each of `wanted` is to be there exactly once, with all its values."""
    counts = Counter(str(item.get(key)) for item in found)
    by_key = {str(item.get(key)): item for item in found}
    wrong = []
    for want in wanted:
        name = str(want[key])
        if counts[name] != 1:
            wrong.append(f"{name} is there {counts[name]} times instead of once")
            continue
        wrong += [
            f"{name}: {field} is {by_key[name].get(field)!r} instead of {value!r}"
            for field, value in want.items()
            if by_key[name].get(field) != value
        ]
    known = {str(want[key]) for want in wanted}
    return wrong + [f"{name} is not the shop's" for name in counts if name not in known]


def wanted_lamps(site: str) -> list[Json]:
    """What the first run is to find."""
    return [
        {
            "sku": lamp.sku,
            "name": lamp.name,
            "price": lamp.price,
            "tags": list(lamp.tags),
            "url": f"{site}/lamps/{lamp.slug}",
            "description": lamp.description,
        }
        for lamp in shop.items()
    ]


def wanted_deals(site: str) -> list[Json]:
    """What the second run is to find."""
    return [
        {"url": f"{site}/lamps/{deal.lamp.slug}", "name": deal.lamp.name, "price": deal.price} for deal in shop.deals()
    ]


def write_csv(target: Path, rows: Sequence[Json]) -> None:
    """Write the lamps. Raises `Refusal` when the file can't be written."""
    try:
        with target.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
            writer.writeheader()
            for row in rows:
                writer.writerow({**row, "tags": ", ".join(row.get("tags") or ())})
    except OSError as error:
        raise Refusal(f"{target} can't be written ({error.strerror}): run the demo in another folder.") from error


async def run_task(api: Api, task: Json, expected: int, console: Console) -> tuple[int, int, list[Json]]:
    """Put and run the task, showing how far it is: task id, run id, items. Raises `Refusal` when the run fails."""
    task_id = await api.put_task(task)
    run_id = await api.trigger(task_id)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    run: Json = {}
    with Progress(*columns, TextColumn("{task.fields[step]}"), console=console) as bars:
        bar = bars.add_task(f"{task['name']}, run {run_id}", total=expected, step="waiting for a worker")
        async for run in api.watch(run_id, RUN_SECONDS):
            progress: Mapping[str, Any] = run.get("progress") or {}
            items = progress.get("items") or 0
            step = progress.get("step") or str(run.get("status"))
            bars.update(bar, completed=min(items, expected), step=f"{items} items · {step}")
        if run.get("status") != "completed":
            raise Refusal(f"Run {run_id} of {task['name']} is {run.get('status')}: {run.get('error_message')}")
        found = await api.results(run_id)
        bars.update(bar, completed=min(len(found), expected), step=f"{len(found)} items")
    return task_id, run_id, found


def _check(what: str, found: Sequence[Json], wanted: Sequence[Json], key: str, console: Console) -> None:
    wrong = complaints(found, wanted, key)
    if wrong:
        more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""
        raise Refusal(f"{len(wrong)} things are wrong with the {what}: {'; '.join(wrong[:3])}{more}.")
    console.print(f"[green]✔[/] all {len(wanted)} {what}, each exactly once, every field as the shop has it")


def _table(rows: Sequence[Json], shown: int = 8) -> Table:
    table = Table("sku", "name", "price", "tags", title=f"{len(rows)} lamps, the first {min(shown, len(rows))}")
    for row in rows[:shown]:
        table.add_row(str(row["sku"]), str(row["name"]), f"{row['price']:.2f}", ", ".join(row["tags"]))
    return table


async def demonstrate(api: Api, site: str, console: Console, target: Path) -> tuple[int, int]:
    """Do it all; ids of the first task and its run. Raises `Refusal` when anything isn't as it should be."""
    lamps = wanted_lamps(site)
    task_id, run_id, rows = await run_task(api, shop_task(site), len(lamps), console)
    _check("lamps", rows, lamps, "sku", console)
    rows.sort(key=lambda row: str(row["sku"]))
    console.print(_table(rows))
    deals = wanted_deals(site)
    _, _, found = await run_task(api, deals_task(site), len(deals), console)
    _check("deals that only a browser shows", found, deals, "url", console)
    write_csv(target, rows)
    console.print(f"[green]✔[/] wrote {len(rows)} rows to {target}")
    return task_id, run_id


def try_next(base: str, key: str, task_id: int, run_id: int) -> str:
    """Lines to copy."""
    header = f"-H 'Authorization: Bearer {key}'"
    return "\n".join(
        (
            f"  curl {header} {base}/api/runs/{run_id}",
            f"  curl {header} '{base}/api/runs/{run_id}/results?page=1&size=5'",
            f"  curl -X POST {header} -H 'Content-Type: application/json' -d '{{}}' {base}/api/tasks/{task_id}/trigger",
            f"  open {base}/docs to see and try the API",
        )
    )


@asynccontextmanager
async def _stack(
    home: Home, environment: Mapping[str, str], stop: StopSignals, console: Console, output: Output
) -> AsyncIterator[tuple[str, str, bool]]:
    """Address and key of a running stack, and whether it was started here."""
    if home.is_running():
        with console.status("waiting for the stack that is starting"):
            await stop.unless_asked(_wait_for_state(home))
        key = environment.get("TRAWL_API_KEY", "").strip() or home.read_key()
        if not key:
            raise Refusal("The running stack's key isn't known here: set TRAWL_API_KEY to it.")
        console.print(f"using the stack that runs on {home.path}", soft_wrap=True)
        yield _base(home), key, False
        return
    console.print("starting the stack")
    async with running(home, environment, stop, console=console, output=output) as up:
        yield _base(home), up.key, True


async def _wait_for_state(home: Home) -> None:
    async def settled() -> bool:
        return bool(home.read_state())

    try:
        async with asyncio.timeout(START_SECONDS):
            await readiness.wait_until(settled)
    except TimeoutError as error:
        raise Refusal(f"The stack on {home.path} is not ready after {START_SECONDS:.0f} s: see its output.") from error


def _base(home: Home) -> str:
    port = home.read_state().get("ports", {}).get("public", {}).get("PORT_SCHEDULER")
    if not port:
        raise Refusal("The demo needs the scheduler API, and PORT_SCHEDULER is 0: give it a port.")
    return f"http://127.0.0.1:{port}"


async def main(home: Home, environment: Mapping[str, str], *, keep: bool) -> int:
    """The command; its exit code. Raises `Refusal`."""
    console = Console()
    stop = StopSignals()
    output = terminal(json_lines=False, width=15, quiet=True)
    done = False
    try:
        async with AsyncExitStack() as opened:
            site = await opened.enter_async_context(shop.serve_shop())
            base, key, started = await opened.enter_async_context(_stack(home, environment, stop, console, output))
            api = await opened.enter_async_context(connect(base, key))
            console.print(f"the sample shop is at {site}", soft_wrap=True)
            task_id, run_id = await stop.unless_asked(demonstrate(api, site, console, CSV_FILE))
            stopping = started and not keep
            console.print("try next:" if not stopping else "try next, after 'make run' (or with --keep):")
            print(try_next(base, key, task_id, run_id), flush=True)
            done = True
            if keep:
                output.lowest = 20
                output.say("everything stays up until Ctrl-C")
                await stop.asked.wait()
    except Stopped:
        console.print("stopped")
    finally:
        output.close()
    return 0 if done else 130
