"""What a rendered page is read as: shadow roots, frames, and an ordinary page as it is."""

import pytest
import pytest_asyncio
from aiohttp import web
from executor_kit import serve
from integration.browser_kit import pool_in, run_of
from lxml import html
from scraper.renderer import BrowserRenderer
from scraper.rendering import PageOptions

pytestmark = pytest.mark.asyncio(loop_scope="module")

CARD = """<script>customElements.define('tea-card', class extends HTMLElement { connectedCallback() {
  this.attachShadow({mode: 'open'}).innerHTML = `<style>b { color: red }</style><b class=x>${this.dataset.tea}</b>
  <slot name=note><i class=x>no note</i></slot><slot></slot>`; } });</script>"""
PAGES = {
    "open": "<tea-box></tea-box><p class=x>milk</p><script>customElements.define('tea-box', class extends HTMLElement {"
    "connectedCallback() { this.attachShadow({mode: 'open'}).innerHTML = '<p class=x>oolong</p>'; } })</script>",
    "declared": "<div><template shadowrootmode=open><p class=x>first</p><slot></slot><p class=x>last</p></template>"
    "<p class=x>between</p></div>",
    "slots": f"{CARD}<tea-card data-tea=assam><u class=x slot=note>strong</u><p class=x>rest</p></tea-card>"
    "<tea-card data-tea=sencha></tea-card>",
    "unslotted": "<div id=h><p class=x>before it was made</p><script type=application/json>{}</script></div><script>"
    "h.attachShadow({mode: 'open'}).innerHTML = '<p class=x>made</p>'</script>",
    "late": f"{CARD}<div id=h></div><script>h.attachShadow({{mode: 'open'}}); fetch('/slow').then(() => {{"
    "h.shadowRoot.innerHTML = '<tea-card data-tea=mint></tea-card>'; })</script>",
    "closed": "<div id=h></div><p class=x>seen</p><script>"
    "h.attachShadow({mode: 'closed'}).innerHTML = '<p class=x>hidden</p>'</script>",
    "frame": "<p>Before <iframe src=/in/links></iframe><span class=x>behind</span></p>",
    "nested": "<iframe src=/frame></iframe>",
    "written": "<iframe srcdoc='<p class=x>written</p>'></iframe>",
    "rooted": "<div id=h></div><script>"
    "h.attachShadow({mode: 'open'}).innerHTML = '<iframe src=/open></iframe><p class=x>under</p>'</script>",
    "foreign": "<iframe src='{other}/written'></iframe><p class=x>own</p>",
    "frameset": "<frameset cols='50%,50%'><frame src=/written><frame src=/open></frameset>",
    "object": "<object type=text/html data=/written><p class=x>fallback</p></object>",
    "in/links": "<base href=/sub/><a class=x href=one>one</a><img class=x src=2.gif srcset='2.gif 1x, 4.gif 2x'>"
    "<form class=x action=send></form><a class=x href='#top'>top</a>",
}
SPECIAL = (
    "<!doctype html><html lang='en'><head><title>a &amp; b</title></head><body data-q='&quot;<'>1 &lt; 2 &nbsp;<br>"
    "<template><p>kept</p></template><!-- note --><script>if (1 < 2 && true) {}</script><svg viewBox='0 0 1 1'>"
    "<linearGradient></linearGradient></svg><textarea>\n\nx</textarea><noscript><p>none</p></noscript></body></html>"
)
PAGES["special"] = SPECIAL
PAGES["special/composed"] = SPECIAL.replace(
    "</body>", "<div><template shadowrootmode=open><b></b></template></div></body>"
)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def session(tmp_path_factory):
    pool = pool_in(tmp_path_factory.mktemp("work"))
    async with BrowserRenderer(pool, {}.get).session(run_of({}), {}) as session:
        yield session
    await pool.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site():
    async def page(request: web.Request) -> web.Response:
        other = f"http://localhost:{request.url.port}"
        text = PAGES[request.path[1:]].replace("{other}", other) if request.path[1:] in PAGES else ""
        return web.Response(text=text, content_type="text/html")

    async with serve({"/{path:.*}": page}) as base:
        yield base


async def read(session, url, **options):
    page = await session.load(url, PageOptions(timeout_seconds=120, **options))
    assert page.status == 200
    assert not page.cut
    return html.document_fromstring(page.html)


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("open", ["oolong", "milk"]),
        ("declared", ["first", "between", "last"]),
        ("slots", ["assam", "strong", "rest", "sencha", "no note"]),
        ("unslotted", ["made"]),
        ("closed", ["seen"]),
        ("written", ["written"]),
        ("foreign", ["own"]),
        ("frameset", ["written", "oolong", "milk"]),
        ("rooted", ["oolong", "milk", "under"]),
        ("object", ["written"]),
    ],
)
async def test_open_roots_and_own_frames_are_read_where_they_are(session, site, name, texts):
    document = await read(session, f"{site}/{name}")
    assert [one.text_content() for one in document.cssselect(".x")] == texts
    assert not document.cssselect("template, slot")


async def test_what_a_root_gets_later_is_waited_for(session, site):
    document = await read(session, f"{site}/late", wait_for=".x")
    assert [one.text_content() for one in document.cssselect(".x")] == ["mint", "no note"]


async def test_what_is_waited_for_may_be_in_a_frame(session, site):
    document = await read(session, f"{site}/nested", wait_for="form.x")
    assert document.cssselect("form.x")


@pytest.mark.parametrize("name", ["frame", "nested", "in/links"])
async def test_addresses_in_a_frame_are_those_of_its_own_document(session, site, name):
    document = await read(session, f"{site}/{name}", wait_for="form.x")
    link, picture, form, top = document.cssselect(".x")[:4]
    if name == "in/links":
        assert (link.get("href"), picture.get("src")) == ("one", "2.gif")  # The page's own stay as they are.
        return
    assert link.get("href") == f"{site}/sub/one"
    assert picture.get("src") == f"{site}/sub/2.gif"
    assert picture.get("srcset") == f"{site}/sub/2.gif 1x, {site}/sub/4.gif 2x"
    assert form.get("action") == f"{site}/sub/send"
    assert top.get("href") == f"{site}/sub/#top"
    assert not document.cssselect("base"), "the frame's base is not the page's"


async def test_data_in_scripts_stays_with_a_component_that_does_not_show_it(session, site):
    document = await read(session, f"{site}/unslotted")
    assert [one.get("type") for one in document.cssselect("#h script")] == ["application/json"]


async def test_a_page_in_several_trees_is_written_like_one_in_one(session, site):
    plain = await session.load(f"{site}/special", PageOptions(timeout_seconds=120))
    composed = await session.load(f"{site}/special/composed", PageOptions(timeout_seconds=120))
    assert composed.html == plain.html.replace("</body>", "<div><b></b></div></body>")


async def test_what_is_longer_than_the_bound_is_cut_by_whole_characters(session, site):
    page = await session.load(f"{site}/special", PageOptions(max_bytes=60, timeout_seconds=120))
    assert page.cut
    assert len(page.html.encode()) <= 60
    whole = await session.load(f"{site}/special", PageOptions(timeout_seconds=120))
    assert whole.html.startswith(page.html)
