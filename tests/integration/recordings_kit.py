"""What the tests of recordings share: pages that write down what they saw, and the replay of a recording on them."""

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from integration.browser_kit import FakeRun, run_of
from scraper.browser import BrowserPool
from scraper.executors.rpa import RpaExecutor
from scraper.step_check import check_definition

# Kept over the pages and windows of an origin, and shown in #saw.
_HEAD = """<!doctype html><meta charset=utf-8><title>{title}</title><script>
const words = () => JSON.parse(localStorage.words || '[]');
function saw(word) { localStorage.words = JSON.stringify([...words(), word]); show(); }
function show() { const at = document.getElementById('saw'); if (at) at.textContent = localStorage.words || '[]'; }
addEventListener('DOMContentLoaded', show); addEventListener('storage', show);
</script><body>"""
_FOOT = "<pre id=saw></pre>"

PAGES = {
    # Borders and paddings: a place counts from the outer corner.
    "board": """<style>.tile { width: 160px; height: 80px; border: 6px solid; padding: 4px; margin: 5px }</style>
<div class=tile id=ash role=button aria-label=Ash></div><div class=tile id=yew role=button aria-label=Yew></div>
<div style="height: 2000px"></div><div class=tile id=low></div><script>
const held = e => ['ctrl', 'shift', 'alt', 'meta'].filter(one => e[one + 'Key']).map(one => ' ' + one).join('');
const place = e => { const box = e.target.getBoundingClientRect();
  return Math.round(e.clientX - box.x) + ',' + Math.round(e.clientY - box.y) };
for (const tile of document.querySelectorAll('.tile')) {
  let since = 0;
  tile.onpointerdown = e => { since = e.timeStamp; if (e.pointerType !== 'mouse') saw('by ' + e.pointerType); };
  tile.onpointerup = e => { if (e.timeStamp - since >= 400) saw('long'); if (e.button > 2) saw('button ' + e.button); };
  tile.onclick = e => saw(`${tile.id} ${place(e)}${held(e)}`);
  tile.oncontextmenu = e => { e.preventDefault(); saw(`menu ${tile.id} ${place(e)}`); };
  tile.onauxclick = e => { if (e.button === 1) saw(`middle ${tile.id}`); };
  tile.ondblclick = () => saw('double');
  tile.onmousemove = e => { tile.last = place(e); };
  tile.onmouseenter = () => setTimeout(() => { tile.title = 'over'; }, 0);
}</script>""",
    "keys": """<input id=field aria-label=Field><button id=aim>Aim</button><script>
const held = e => (e.ctrlKey ? ' ctrl' : '') + (e.shiftKey ? ' shift' : '');
addEventListener('keydown', e => saw('down ' + e.key + held(e))); addEventListener('keyup', e => saw('up ' + e.key));
aim.onclick = e => saw('aim' + held(e) + ' ' + field.value);</script>""",
    "names": """<button>Send all</button> <button id=send>Send</button> <img id=map alt="Street map" width=50 height=40>
<input id=day type=date aria-label="Day of birth"> <label>Secret <input id=secret type=password></label>
<div role=slider id=loud aria-label=Volume tabindex=0>x</div>
<table><tr><td id=cell><a id=inner href="#x">Only one</a></td></tr></table> <p id=part>Read the whole story</p>
<button id=odd>Don't &gt;&gt; "ask"</button><script>
for (const one of document.querySelectorAll('[id]')) one.addEventListener('click', e => {
  if (e.target === one) saw(one.id) });</script>""",
    "boxes": """<my-box id=one></my-box><my-box id=two></my-box><my-shelf id=shelf></my-shelf><script>
customElements.define('my-box', class extends HTMLElement { connectedCallback() {
  const root = this.attachShadow({mode: 'open'}), name = this.id || this.getAttribute('name');
  root.innerHTML = '<input class=word aria-label=Word><button>Take</button>';
  root.querySelector('button').onclick = () => saw(`took ${name} ${root.querySelector('input').value}`); } });
customElements.define('my-shelf', class extends HTMLElement { connectedCallback() {
  this.attachShadow({mode: 'open'}).innerHTML = '<my-box name=left></my-box><my-box name=right></my-box>'; } });
</script>""",
    # Everything changes after a while, in steps.
    "queue": """<ul id=list></ul><button id=tell aria-busy=true>Tell</button><p id=veil>wait</p><script>
let ticks = 0; const jobs = () => document.querySelectorAll('.job').length;
for (let n = 0; n < 3; n++) list.insertAdjacentHTML('beforeend', '<li class=job>job</li>');
const timer = setInterval(() => { ticks++;
  document.querySelector('.job')?.remove();
  list.insertAdjacentHTML('beforeend', '<li class=done>done</li>');
  if (ticks === 3) { tell.setAttribute('aria-busy', 'false'); tell.dataset.state = 'ready'; veil.hidden = true; }
  if (ticks === 5) clearInterval(timer); }, 150);
tell.onclick = () => saw(`jobs ${jobs()} done ${document.querySelectorAll('.done').length >= 4 ? 'enough' : 'few'} `
  + `busy ${tell.getAttribute('aria-busy')} ${tell.dataset.state || 'new'} veil ${veil.hidden ? 'gone' : 'there'}`);
</script>""",
    "long": """<style>#box { width: 150px; height: 100px; overflow: auto } #big { width: 800px; height: 800px }
html { scroll-behavior: smooth }</style><div id=box><div id=big></div></div><div style="width: 3000px; height: 3000px">
</div><script>box.onscroll = () => saw(`box ${box.scrollLeft},${box.scrollTop}`);
addEventListener('scroll', () => saw(`page ${scrollX},${scrollY}`));</script>""",
    "screen": """<meta name=viewport content="width=device-width"><button id=look>Look</button><script>
look.onclick = () => saw(`${innerWidth}x${innerHeight} at ${devicePixelRatio}`
  + (navigator.maxTouchPoints ? ' touch' : ''));
</script>""",
    # A link by script, after a while, as many shops do it.
    "first": "<button id=on>On</button><script>on.onclick = () => { saw('on'); setTimeout(() => "
    "{ location.href = 'second?from=first' }, 700) }</script>",
    "second": "<button id=on>On</button><script>saw('second'); on.onclick = () => saw('on in second')</script>",
    "opener": "<button id=open>Open</button><button id=back>Back</button><script>"
    "document.getElementById('open').onclick = () => window.open('popup?n=1', 'p', 'width=400,height=300');"
    "back.onclick = () => saw('back');</script>",
    "popup": "<button id=yes>Yes</button><script>saw('open'); yes.onclick = () => saw('yes');"
    "addEventListener('pagehide', () => saw('shut'));</script>",
    "frames": "<iframe src='inner?a'></iframe><iframe src='nest'></iframe>",
    "nest": "<iframe src='inner?deep'></iframe>",
    "inner": "<button id=go>Go</button><div style='height: 900px'></div><script>"
    "go.onclick = () => saw('go ' + location.search.slice(1));"
    "addEventListener('scroll', () => saw('scrolled ' + location.search.slice(1) + ' ' + scrollY));</script>",
    "outer": "<script>const other = location.hostname === '127.0.0.1' ? '127.0.0.2' : '127.0.0.1';"
    "document.write(`<iframe id=f src='//${other}:${location.port}/till'></iframe>`);"
    "addEventListener('message', e => saw(e.data));</script><button id=home>Home</button>"
    "<script>home.onclick = () => saw('home')</script>",
    "till": "<button id=pay>Pay</button><script>pay.onclick = () => parent.postMessage('paid', '*')</script>",
    "fields": "<label>Size <select id=size><option value=2>1</option><option value=1>2</option></select></label>"
    "<label><input id=agree type=checkbox> Agree</label><input id=day type=date aria-label=Day>"
    "<input id=loud type=range min=0 max=100 value=5 aria-label=Volume><textarea id=note aria-label=Note></textarea>"
    "<div id=free contenteditable aria-label=Free>old</div><button id=tell>Tell</button><script>"
    "tell.onclick = () => saw([size.value, agree.checked, day.value, loud.value, note.value, free.textContent]"
    ".join('|'));</script>",
    "shop": """<input id=q class="box wide" placeholder="Search lamps"> <button class=go>Find</button>
<ul id=all><li class=lamp>Reed <b>7.50</b></li><li class=lamp>Moss <b>9.00</b></li></ul>
<button id=a>Alpha</button><button id=b>Beta</button><div style="height: 3000px"></div><script>
saw('shop'); document.querySelector('.go').onclick = () => saw('find ' + q.value);
a.onclick = () => saw('a'); b.onclick = () => saw('b');
addEventListener('scroll', () => saw('scrolled'), {once: true});</script>""",
}


@dataclass(frozen=True)
class Site:
    """One server under two names, which are two sites to a browser."""

    url: str
    other: str


@asynccontextmanager
async def recorded_site() -> AsyncIterator[Site]:
    """Serves `PAGES` by their names."""

    async def page(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in PAGES:
            raise web.HTTPNotFound
        return web.Response(text=_HEAD.replace("{title}", name) + PAGES[name] + _FOOT, content_type="text/html")

    app = web.Application()
    app.router.add_get("/{name}", page)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    first = socket.create_server(("127.0.0.1", 0))
    port = first.getsockname()[1]
    try:
        for listener in (first, socket.create_server(("127.0.0.2", port))):
            await web.SockSite(runner, listener).start()
        yield Site(f"http://127.0.0.1:{port}", f"http://127.0.0.2:{port}")
    finally:
        await runner.cleanup()


def canonical(parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """The canonical list that a dry run shows."""
    checked = check_definition(parameters)
    assert not [one for one in checked.findings if one.level == "error"], checked.findings
    return list(checked.steps)


async def replay(
    pool: BrowserPool, steps: list[dict[str, Any]], last: str, *, fails: int | None = None
) -> tuple[list[str], FakeRun]:
    """What the page has seen once it has seen `last`. `fails`: the step that must fail, which is then gone on from."""
    if fails is not None:
        steps = [{**step, "onError": "continue"} if index == fails else step for index, step in enumerate(steps)]
    shown = {"type": "wait_for", "target": {"css": "#saw", "hasText": f'"{last}"'}} if last else None
    read = {"type": "extract", "name": "saw", "target": {"css": "#saw"}}
    run = run_of({"steps": [*steps, *([shown] if shown else []), read]})
    result = await RpaExecutor(pool, {}.get).run(run)
    if fails is not None:
        assert run.trace["steps"][fails]["outcome"] == "continued", run.trace["steps"][fails]
    return json.loads(result["saw"] or "[]"), run
