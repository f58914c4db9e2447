"""What runs on a TRAWL_HOME, asked from outside. Must not change anything."""

import asyncio
from typing import Any

from rich.console import Console
from rich.table import Table

from trawl_local import ports, readiness
from trawl_local.home import Home


async def show(home: Home, console: Console) -> int:
    """Print it; 0 when everything answers, else 1."""
    state = home.read_state()
    if not home.is_running():
        console.print(f"trawl is not running on {home.path}", soft_wrap=True)
        return 1
    if not state:
        console.print(f"trawl is starting or stopping on {home.path}", soft_wrap=True)
        return 1
    answers = await _ask(state)
    table = Table("program", "answers", "where", title=f"trawl on {home.path}, since {state.get('started_at')}")
    for (name, where), answer in answers.items():
        table.add_row(name, "[green]yes[/]" if answer else "[red]no[/]", where)
    console.print(table)
    return 0 if all(answers.values()) else 1


async def _ask(state: dict[str, Any]) -> dict[tuple[str, str], bool]:
    private, public = state["ports"]["private"], state["ports"]["public"]
    probes: dict[tuple[str, str], readiness.Probe] = {}
    for one in ports.PUBLIC:
        if port := public.get(one.variable):
            probes["gateway", f"http://{ports.HOST}:{port}{one.path}"] = readiness.http(port)
    kinds = {"nats": readiness.nats, "redis": readiness.redis}
    for name, port in private.items():
        probes[name, f"{ports.HOST}:{port}"] = kinds.get(name, readiness.tcp)(port)
    results = await asyncio.gather(*(probe() for probe in probes.values()))
    return dict(zip(probes, results, strict=True))
