"""Logins whose form is found: in the page, in frames of other sites, in web components, on two pages."""

import orjson
import pytest
import pytest_asyncio
from aiohttp import web
from integration.browser_kit import SECRETS, pool_in, run_of
from scraper import login
from scraper.executor import ExecutorError
from scraper.executors.rpa import RpaExecutor
from scraper.login import SEALED_FOR
from scraper.sealing import Sealer
from scraper.secret_box import SecretBox

pytestmark = pytest.mark.asyncio(loop_scope="module")
SEALER = Sealer(SecretBox(["a key for these tests"]))
PASSWORD = "k7-Wolkenkuckucksheim"
FORM = """<form method=post action="/enter" target=_top><input name=user autocomplete=username>
<input type=password name=pw><button>Sign in</button></form>"""
NEWSLETTER = "<form><input type=email name=newsletter placeholder='Your e-mail'><button>Subscribe</button></form>"
PAGES = {
    "/plain": NEWSLETTER + FORM,
    # The form is two frames deep, the inner one at another site; a hidden frame holds one that must not be used.
    "/framed": NEWSLETTER + "<iframe src=/hidden style='display:none'></iframe><iframe src=/outer></iframe>",
    "/outer": "<iframe src='{other}/inner'></iframe>",
    "/inner": FORM.replace("/enter", "{here}/enter"),
    "/hidden": "<form action=/trap><input name=user><input type=password name=pw><button>Log in</button></form>",
    "/component": """<x-login></x-login><script>customElements.define('x-login', class extends HTMLElement {
      connectedCallback() { setTimeout(() => this.attachShadow({mode: 'open'}).innerHTML = `""" + FORM + """`, 200) }
      })</script>""",
    "/two": "<form action=/second><input name=account><button>Next</button></form>",
    "/second": FORM.replace("<input name=user autocomplete=username>", "<input name=user value=visitor>"),
    # Success shows in a frame only, and the page around it never moves.
    "/app": "<iframe src='/inside'></iframe>",
    "/inside": FORM.replace(" target=_top", ""),
    "/none": "<p>Nothing to fill in</p><input name=q placeholder=Search>",
}  # fmt: skip


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site():
    """Its address; the same pages are another site under the other name of this machine."""

    async def page(request):
        port = request.url.port
        html = PAGES[request.path].replace("{other}", f"http://localhost:{port}")
        return web.Response(text=html.replace("{here}", f"http://127.0.0.1:{port}"), content_type="text/html")

    async def enter(request):
        form = await request.post()
        if (form["user"], form["pw"]) != ("visitor", PASSWORD):
            return web.Response(text=FORM, content_type="text/html", status=401)
        return web.Response(text="<h1 id=in>Hello visitor</h1>", content_type="text/html")

    app = web.Application()
    for path in PAGES:
        app.router.add_get(path, page)
    app.router.add_post("/enter", enter)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pool(tmp_path_factory):
    pool = pool_in(tmp_path_factory.mktemp("work"))
    yield pool
    await pool.close()


async def log_in(pool, url, selectors=("#in",), password=PASSWORD):
    order = {"url": url, "username": "visitor", "password": password, "sortedData": None, "row": None, "browser": None}
    sealed = {"sealed": SEALER.seal(SEALED_FOR, orjson.dumps(order)), "successSelectors": list(selectors)}
    run = run_of({"login": sealed})
    return run, await RpaExecutor(pool, SECRETS.get, sealer=SEALER).run(run)


@pytest.mark.parametrize(
    ("path", "selectors"),
    [
        ("/plain", ["#in"]), ("/framed", ["#in"]), ("/framed", []), ("/component", ["#in"]), ("/two", ["#in"]),
        ("/app", ["#in"]), ("/app", []),
    ],
)  # fmt: skip
async def test_the_form_is_found_wherever_it_is(pool, site, path, selectors):
    run, result = await log_in(pool, site + path, selectors)
    assert result == {"loggedIn": True, "browserId": "default"}
    assert PASSWORD not in run.said()


async def test_without_a_form_or_with_a_wrong_password_it_says_so(pool, site, monkeypatch):
    monkeypatch.setattr(login, "FIND_SECONDS", 1.0)
    with pytest.raises(ExecutorError) as caught:
        await log_in(pool, f"{site}/none")
    assert (caught.value.code, caught.value.message) == ("LOGIN_FAILED", "no login form was found on the page")
    with pytest.raises(ExecutorError) as caught:
        await log_in(pool, f"{site}/framed", (), password="wrong-one")
    assert caught.value.code == "LOGIN_FAILED"
    assert "the password is still asked for" in caught.value.message
