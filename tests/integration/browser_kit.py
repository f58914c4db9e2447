"""What the browser tests share: a small site of this process's own, a run context that remembers, and a pool."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from executor_kit import ANYWHERE
from scraper.browser import BrowserPool, PoolSettings
from scraper.executor import ExecutorError, Guarded, Item, Job
from scraper.executors.rpa import RpaExecutor
from scraper.problems import Problems

PNG = b"\x89PNG\r\n\x1a\n"

SHOP = """<!doctype html><title>Shop</title><meta charset=utf-8>
<h1>Lamps</h1>
<input id=q placeholder=Search name=q aria-label="Search box"><button id=go class="btn main">Find</button>
<ul>{items}</ul>
<a class=next href="/shop?page={next}" {hide}>Next page</a>
<a id=tab href="/detail?n=9" target=_blank>New tab</a>
<button onclick="window.open('/detail?n=8')">Popup</button>
<script>document.getElementById('go').onclick = () => {{
  const p = document.createElement('p'); p.id = 'hit'; p.textContent = document.getElementById('q').value;
  setTimeout(() => document.body.append(p), 600) }}</script>"""

FORM = """<!doctype html><title>Form</title><form action=/done method=get>
<label>User <input name=user></label><label>Password <input type=password name=pw></label>
<label>Colour <select name=colour><option value=r>Red</option><option value=g>Green</option></select></label>
<label><input type=checkbox name=ok value=1> Agree</label>
<button>Send</button></form><p id=echo></p>
<script>document.querySelector('[name=user]').oninput = e =>
  document.getElementById('echo').textContent = e.target.value
</script>"""


@dataclass
class Site:
    """`url` of a running site and the paths that it was asked for."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    # Further pages, by their paths.
    pages: dict[str, str] = field(default_factory=dict)


def _shop(request: web.Request) -> web.Response:
    page = int(request.query.get("page", "1"))
    items = "".join(
        f'<li class=item><a href="/detail?n={n}"><span class=name>Lamp {n}</span></a> '
        f"<b class=price>{n},50 €</b><i class=tag>a</i><i class=tag>b</i></li>"
        for n in range(page * 2 - 1, page * 2 + 1)
    )
    hide = "hidden" if page >= 3 else ""
    return _html(SHOP.format(items=items, next=page + 1, hide=hide))


def _html(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, content_type="text/html", status=status)


async def _never(_request: web.Request) -> web.Response:
    await asyncio.sleep(60)
    return web.Response()


def _redirect(request: web.Request) -> web.Response:
    raise web.HTTPFound(request.query["to"])


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    """A site on a free port of 127.0.0.1."""
    served = Site()

    @web.middleware
    async def remember(request: web.Request, handler: Any) -> web.StreamResponse:
        served.asked.append(request.path_qs)
        if request.path in served.pages:
            return _html(served.pages[request.path])
        return await handler(request)

    app = web.Application(middlewares=[remember])
    app.router.add_get("/shop", _answer(_shop))
    app.router.add_get("/form", _answer(lambda _: _html(FORM)))
    app.router.add_get("/done", _answer(lambda r: _html(f"<title>Done</title><p id=got>{sorted(r.query.items())}</p>")))
    app.router.add_get("/detail", _answer(lambda r: _html(f"<title>D</title><h2>Detail {r.query['n']}</h2>")))
    app.router.add_get("/search", _answer(lambda r: _html(f"<title>S</title><h2>Found {r.query.get('q')}</h2>")))
    app.router.add_get(
        "/find", _answer(lambda _: _html("<title>F</title><form action=/search><input name=q id=q></form>"))
    )
    app.router.add_get("/lazy", _answer(lambda _: _html(LAZY)))
    app.router.add_get("/frames", _answer(lambda _: _html("<iframe id=f src='/detail?n=5'></iframe>")))
    app.router.add_get("/files", _answer(lambda _: _html(FILES)))
    app.router.add_get("/report.csv", _answer(_report))
    app.router.add_get("/missing", _answer(lambda _: _html("<h1>gone</h1>", 404)))
    app.router.add_get("/many", _answer(lambda _: _html("".join(f"<a href=/{n}>n</a> " for n in range(10_020)))))
    app.router.add_get("/to", _answer(_redirect))
    app.router.add_get("/never", _never)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield served
    finally:
        await runner.cleanup()


FILES = """<!doctype html><title>Files</title><a id=get href="/report.csv">Report</a>
<input type=file id=up multiple><p id=list></p><h1>Top</h1>
<iframe name=inner srcdoc="<h2 id=deep>Inside</h2><button onclick=this.remove()>Away</button>"></iframe>
<script>document.getElementById('up').onchange = async event => {
  const texts = await Promise.all(Array.from(event.target.files).map(async one => one.name + '=' + await one.text()));
  document.getElementById('list').textContent = texts.join(';'); };
console.error('tea is cold'); setTimeout(() => { throw new Error('kettle broke') }, 0)</script>"""


def _report(_request: web.Request) -> web.Response:
    headers = {"Content-Disposition": 'attachment; filename="report 1.csv"'}
    return web.Response(text="a,b\n1,2\n", content_type="text/csv", headers=headers)


LAZY = """<!doctype html><title>Lazy</title><div id=list></div><script>
let n = 0; const list = document.getElementById('list');
function more() { for (let i = 0; i < 5 && n < 15; i++) {
  const d = document.createElement('div'); d.className = 'row'; d.style.height = '400px';
  d.textContent = 'Row ' + (++n);
  list.append(d) } }
setTimeout(more, 100);
addEventListener('scroll', () => {
  if (innerHeight + scrollY >= document.body.scrollHeight - 50) setTimeout(more, 30)
});
</script>"""


def _answer(make: Callable[[web.Request], web.Response]) -> Any:
    async def handle(request: web.Request) -> web.Response:
        return make(request)

    return handle


@dataclass
class FakeRun:
    """A `RunContext` that keeps all it is told."""

    job: Job
    logs: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    steps: list[tuple[int, int | None, str | None]] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)
    guarded: list[Guarded] = field(default_factory=list)
    problems: Problems = field(default_factory=Problems)
    trace: dict[str, Any] = field(default_factory=dict)

    def log(self, level: str, message: str, **data: Any) -> None:
        self.logs.append((level, message, data))

    def problem(self, what: str, where: str, message: str, *, example: str = "", count: int = 1) -> None:
        self.problems.note(what, where, message, example=example, count=count)

    def progress(self, done: int, total: int | None = None, step: str | None = None) -> None:
        self.steps.append((done, total, step))

    async def emit(self, items: Sequence[Item]) -> None:
        self.items.extend(items)

    async def save_checkpoint(self, state: Any) -> None:
        raise AssertionError("steps save no checkpoint")

    def guard(self, what: Guarded) -> None:
        self.guarded.append(what)

    async def save_blob(self, name: str, data: bytes, content_type: str, *, replace: bool = False) -> str:
        if name == "trace.json":
            self.trace = json.loads(data)
            return name
        if not replace and self.blobs.get(name, data) != data:
            name = f"{len(self.blobs)}-{name}"
        self.blobs[name] = data
        return name

    async def read_blob(self, name: str) -> tuple[bytes, str]:
        if name not in self.blobs:
            raise ExecutorError("no such file", code="NO_SUCH_FILE", retryable=False)
        return self.blobs[name], "text/plain"

    def said(self) -> str:
        """Everything that left the run, as one text."""
        return repr((self.logs, self.steps, self.items, list(self.blobs), self.trace))


def run_of(parameters: dict[str, Any], task_name: str = "OZON_data") -> FakeRun:
    """A run of the rpa executor."""
    job = Job(run_id=1, task_id=1, task_name=task_name, executor="rpa", attempt=1, parameters=parameters)
    return FakeRun(job)


def pool_in(directory: Path, **settings: Any) -> BrowserPool:
    """A pool that may reach loopback."""
    return BrowserPool(PoolSettings(work_dir=directory, marker="test-worker", **settings), ANYWHERE)


SECRETS = {"SHOP_PASSWORD": "s3cret&Wert"}


async def do(
    pool: BrowserPool, parameters: dict[str, Any], task_name: str = "OZON_data", **parts: Any
) -> tuple[FakeRun, Any]:
    """Run and answer what was said and the result."""
    run = run_of(parameters, task_name)
    return run, await RpaExecutor(pool, SECRETS.get, **parts).run(run)


async def until(true: Callable[[], bool], seconds: float = 40.0) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.02)
