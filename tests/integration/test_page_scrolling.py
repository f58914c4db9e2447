"""How pages are gone through before they are read, and what is said when that ends too early."""

import pytest
import pytest_asyncio
from aiohttp import web
from executor_kit import serve
from integration.browser_kit import pool_in, run_of
from scraper.renderer import BrowserRenderer
from scraper.rendering import PageOptions, Scrolling

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Rows of 200 pixels come ten at a time, `delay` ms after the end of `port` is near.
ROWS = """<div id=box {style}><ul id=list></ul></div><script>
const box = document.getElementById('box'), list = document.getElementById('list');
let shown = 0, busy = false;
function add() { for (let i = 0; i < 10 && shown < {total}; i++) { const li = document.createElement('li');
  li.className = 'x'; li.style.height = '200px'; li.textContent = ++shown; list.append(li); } busy = false; }
function look() { const end = list.lastElementChild.getBoundingClientRect().bottom;
  if (busy || end > {port} + 100) return; busy = true; {more}; }
add(); {watched}.addEventListener('scroll', look);
</script>"""
BOX, BOTTOM = "style='height:400px;overflow-y:auto'", "box.getBoundingClientRect().bottom"


def rows(style="", port="innerHeight", watched="window", total=40, more="setTimeout(add, 300)"):
    text = ROWS
    for name, value in {"style": style, "port": port, "watched": watched, "total": str(total), "more": more}.items():
        text = text.replace("{" + name + "}", value)
    return text


# Filled once it has been seen.
SECTIONS = """<div style='{style}'>{sections}</div><script>
const seen = new IntersectionObserver(all => all.forEach(one => { if (one.isIntersecting) {
  seen.unobserve(one.target); one.target.innerHTML = '<p class=x></p>'; } }));
document.querySelectorAll('section').forEach(one => seen.observe(one));</script>"""


def sections(style="", count=12):
    return SECTIONS.replace("{style}", style).replace("{sections}", "<section style='height:700px'></section>" * count)


SHADOW = (
    "<div id=h></div><script>const root = h.attachShadow({mode: 'open'}); root.innerHTML ="
    "\"<div id=box style='height:400px;overflow-y:scroll'><ul></ul></div>\"; const box = root.firstChild;"
    "let n = 0; function add() { for (let i = 0; i < 5 && n < 20; i++) box.firstChild.insertAdjacentHTML('beforeend',"
    "`<li class=x style='height:200px'>${++n}</li>`); } add(); box.onscroll = () => {"
    "if (box.scrollTop + box.clientHeight > box.scrollHeight - 50) add(); }</script>"
)
# A list that has only those of its 300 rows that are in view.
VIRTUAL = """<div id=all style='height:30000px;position:relative'></div><script>
function draw() { const first = Math.floor(scrollY / 100); all.innerHTML = '';
  for (let n = first; n < Math.min(first + 10, 300); n++) all.insertAdjacentHTML('beforeend',
    `<p class=x style='position:absolute;top:${n * 100}px'>row ${n}</p>`); }
draw(); addEventListener('scroll', draw);</script>"""
PAGES = {
    "virtual": VIRTUAL,
    "window": rows(),
    "box": rows(BOX, BOTTOM, "box"),
    "asked": rows(more="fetch('/rows').then(add)"),
    "sections": sections(),
    "below": f"<div style='height:3000px'></div>{sections('height:500px;overflow:auto')}"
    "<div style='height:900px'></div>",
    "frame": "<div style='height:1500px'></div><iframe src=/sections width=600 height=500></iframe>",
    "shadow": SHADOW,
    "endless": rows(total=1_000_000, more="add()"),
}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def session(tmp_path_factory):
    pool = pool_in(tmp_path_factory.mktemp("work"))
    async with BrowserRenderer(pool, {}.get).session(run_of({}), {}) as session:
        yield session
    await pool.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site():
    async def page(request: web.Request) -> web.Response:
        return web.Response(text="<!doctype html>" + PAGES.get(request.path[1:], ""), content_type="text/html")

    async with serve({"/{path:.*}": page}) as base:
        yield base


async def gone_through(session, url, scroll, seconds=300.0):
    page = await session.load(url, PageOptions(scroll=scroll, timeout_seconds=seconds))
    return page.html.count('class="x"'), [one["message"] for one in page.problems.to_json()]


@pytest.mark.parametrize(
    ("name", "count"),
    [("window", 40), ("box", 40), ("asked", 40), ("sections", 12), ("below", 12), ("frame", 12), ("shadow", 20)],
)
async def test_every_place_of_a_page_is_passed_and_what_comes_late_is_waited_for(session, site, name, count):
    last = f"li.x:nth-child({count})" if count != 12 else "section:last-of-type .x"
    # So long only where it would not come.
    scroll = Scrolling(wait=60, until=last)
    assert await gone_through(session, f"{site}/{name}", scroll) == (count, [])


async def test_the_end_of_a_page_is_found_by_itself(session, site):
    assert await gone_through(session, f"{site}/sections", Scrolling(wait=0.2)) == (12, [])
    assert await gone_through(session, f"{site}/empty", Scrolling(wait=0)) == (0, [])


async def test_a_page_that_never_ends_is_stopped_and_says_so(session, site):
    count, said = await gone_through(session, f"{site}/endless", Scrolling(steps=7))
    assert count >= 20
    assert said == ["scrolling was stopped after 7 steps: more steps are not allowed"]
    _, said = await gone_through(session, f"{site}/endless", Scrolling(), seconds=12)
    assert len(said) == 1
    assert said[0].endswith(": the page's time was up")


async def test_what_a_page_takes_away_while_it_is_scrolled_is_said(session, site):
    page = await session.load(f"{site}/virtual", PageOptions(scroll=Scrolling(step=2000, wait=0), timeout_seconds=300))
    assert page.html.count('class="x"') <= 10
    (problem,) = page.problems.to_json()
    assert problem["where"] == "scroll.removed"
    assert problem["message"].startswith("10 texts were taken away")


async def test_a_step_can_be_told_and_what_it_ends_with(session, site):
    count, said = await gone_through(
        session, f"{site}/window", Scrolling(step=100, until="li.x:nth-child(11)", wait=60)
    )
    assert (10 < count <= 30, said) == (True, [])
    _, said = await gone_through(session, f"{site}/sections", Scrolling(until=".never", wait=0))
    assert said == [said[0]]
    assert ".never did not come" in said[0]


async def test_what_did_not_come_in_time_is_said(session, site):
    page = await session.load(f"{site}/sections", PageOptions(wait_for=".never", timeout_seconds=8))
    assert [one["where"] for one in page.problems.to_json()] == ["wait_for"]
