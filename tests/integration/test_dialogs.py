"""What the dialogs of pages are answered, in steps and while pages are rendered, and that it is logged."""

import pytest
import pytest_asyncio
from executor_kit import serve
from integration.browser_kit import do, pool_in, run_of
from scraper.dialogs import MAX_LINES
from scraper.executor import InvalidParameters
from scraper.renderer import BrowserRenderer
from scraper.rendering import PageOptions

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASK = """<p id=said></p><button id=ask>Ask</button><script>ask.onclick = () => {
  alert('Mind the tide'); const sure = confirm('Sell the boat?');
  said.textContent = sure + ' ' + prompt('Its name?', 'Gull'); }</script>"""
AT_ONCE = "<p id=said></p><script>said.textContent = confirm('Now?') + ' ' + prompt('Who?', 'Gull')</script>"
STAY = """<input id=i><a id=go href=/left>Go</a><script>let touched = false; i.oninput = () => touched = true;
addEventListener('beforeunload', event => { if (touched) event.preventDefault(); });</script>"""
MANY = "<p id=said>-</p><script>for (let n = 0; n < 150; n++) alert(n); said.textContent = 'through'</script>"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pool(tmp_path_factory):
    pool = pool_in(tmp_path_factory.mktemp("work"), slots=2)
    yield pool
    await pool.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site():
    routes = {"/ask": ASK, "/now": AT_ONCE, "/stay": STAY, "/left": "<p id=said>left</p>", "/many": MANY}
    async with serve(routes) as base:
        yield base


def answers(run):
    return [(data["dialog"], data["answer"]) for _, _, data in run.logs if "dialog" in data]


@pytest.mark.parametrize(
    ("dialogs", "said", "answer"),
    [
        (None, "false null", "dismissed"),
        ("dismiss", "false null", "dismissed"),
        ("accept", "true Gull", "accepted"),
        ({"text": "{{row.boat}}"}, "true Tern", "answered"),
    ],
)
async def test_a_run_says_what_dialogs_are_answered(pool, site, dialogs, said, answer):
    steps = [{"type": "click", "target": {"id": "ask"}}, {"type": "extract", "name": "said", "target": {"id": "said"}}]
    browser = {} if dialogs is None else {"dialogs": dialogs}
    parameters = {"BASE_URL": f"{site}/ask", "steps": steps, "browser": browser, "row": {"boat": "Tern"}}
    run, result = await do(pool, parameters)
    assert result == {"said": said}
    assert answers(run) == [("alert", answer), ("confirm", answer), ("prompt", answer)]
    assert any("Sell the boat?" in message for _, message, _ in run.logs)


async def test_a_page_that_asks_to_stay_is_left_all_the_same(pool, site):
    steps = [
        {"type": "type_keys", "target": {"id": "i"}, "value": "a"},
        {"type": "click", "target": {"id": "go"}},
        {"type": "extract", "name": "said", "target": {"id": "said"}},
    ]
    run, result = await do(pool, {"BASE_URL": f"{site}/stay", "steps": steps})
    assert result == {"said": "left"}
    assert answers(run) == [("beforeunload", "left")]


async def test_secrets_in_a_dialog_are_not_logged(pool, site):
    steps = [{"type": "click", "target": {"id": "ask"}}]
    row = {"password": "Sell the boat?"}
    run, _ = await do(pool, {"BASE_URL": f"{site}/ask", "steps": steps, "row": row})
    assert "Sell the boat" not in run.said()
    assert len(answers(run)) == 3


async def test_a_page_with_many_dialogs_fills_no_log(pool, site):
    steps = [{"type": "extract", "name": "said", "target": {"id": "said"}}]
    run, result = await do(pool, {"BASE_URL": f"{site}/many", "steps": steps})
    assert result == {"said": "through"}
    assert len(answers(run)) == MAX_LINES


@pytest.mark.parametrize(
    ("dialogs", "said"), [("dismiss", "false null"), ("accept", "true Gull"), ({"text": "Tern"}, "true Tern")]
)
async def test_rendered_pages_get_the_same_answers(pool, site, dialogs, said):
    run = run_of({})
    async with BrowserRenderer(pool, {}.get).session(run, {"dialogs": dialogs}) as session:
        page = await session.load(f"{site}/now", PageOptions(timeout_seconds=120))
        assert f'<p id="said">{said}</p>' in page.html
        click = [{"type": "click", "target": {"id": "ask"}}]
        page = await session.load(f"{site}/ask", PageOptions(steps=click, timeout_seconds=120))
        assert f'<p id="said">{said}</p>' in page.html
    assert len(answers(run)) == 5


@pytest.mark.parametrize("dialogs", ["yes", {"text": 5}, {"words": "a"}, {"text": "a" * 2001}])
async def test_an_answer_that_is_none_is_refused_by_name(pool, dialogs):
    with pytest.raises(InvalidParameters, match=r"browser\.dialogs"):
        await do(pool, {"steps": [], "BASE_URL": "http://a.example/", "browser": {"dialogs": dialogs}})
