"""A run's filmstrip and Playwright trace, and where both end."""

import asyncio
import io
import zipfile

import pytest
import pytest_asyncio
from integration.browser_kit import SECRETS, do, pool_in, run_of, site, until
from PIL import Image
from scraper.executor import ExecutorError, InvalidParameters
from scraper.executors.rpa import RpaExecutor
from scraper.filmstrip import Film
from scraper.rpa_parameters import parse_rpa

pytestmark = pytest.mark.asyncio(loop_scope="module")
BOTH = {"filmstrip": "always", "playwrightTrace": "always"}
HOVER = {"type": "hover", "target": {"css": "form"}}
FILL = {"type": "input", "target": {"label": "User"}, "value": "ann"}
PASSWORD = {"type": "input", "target": {"label": "Password"}, "value": "typed-pass"}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shop():
    async with site() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def work(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pool(work):
    pool = pool_in(work)
    yield pool
    await pool.close()


def members(run):
    with zipfile.ZipFile(io.BytesIO(run.blobs["playwright-trace.zip"])) as trace:
        return {name: trace.read(name) for name in trace.namelist()}


async def test_both_are_kept_and_the_trace_says_what_is_in_them(pool, shop, work):
    run, _ = await do(pool, {"BASE_URL": f"{shop.url}/form", "steps": [FILL, HOVER]} | BOTH)
    with Image.open(io.BytesIO(run.blobs["filmstrip.webp"])) as film:
        assert film.n_frames == len(run.trace["filmstrip"]["frames"])
    # A very slow machine may miss one; never all.
    assert {one["step"] for one in run.trace["filmstrip"]["frames"]} & {"BASE_URL[0]", "steps[0]", "steps[1]"}
    assert run.trace["playwrightTrace"] == {"file": "playwright-trace.zip", "endedBefore": None}
    found = members(run)
    assert b'"fill"' in found["trace.trace"]
    assert b"/form" in found["trace.network"]
    raw = [path for path in work.rglob("*") if path.is_file() and path.parent.name == "traces"]
    assert raw == [], "the browser lives on, the raw parts do not"


@pytest.mark.parametrize(
    "secret",
    [
        PASSWORD,
        {"type": "input", "target": {"label": "User"}, "value": "{{secret:SHOP_PASSWORD}}"},
        {"type": "if", "when": {"text": "{{secret:SHOP_PASSWORD}}"}},
    ],
)
async def test_the_playwright_trace_ends_before_the_first_secret(pool, shop, secret):
    steps = [FILL, secret, {"type": "press", "key": "Enter", "target": {"label": "User"}}]
    run, _ = await do(pool, {"BASE_URL": f"{shop.url}/form", "steps": steps} | BOTH)
    assert run.trace["playwrightTrace"]["endedBefore"] == "steps[1]"
    everything = b"".join(members(run).values())
    assert b"ann" in everything
    for hidden in (b"typed-pass", SECRETS["SHOP_PASSWORD"].encode(), b"s3cret%26Wert"):
        assert hidden not in everything
    assert [one["outcome"] for one in run.trace["steps"]] == ["done"] * 4


async def test_on_failure_means_neither_of_a_run_that_went_well_and_both_of_one_that_failed(pool, shop):
    wanted = {"filmstrip": "failure", "playwrightTrace": "failure", "screenshots": "never"}
    run, _ = await do(pool, {"BASE_URL": f"{shop.url}/form", "steps": [HOVER]} | wanted)
    assert run.blobs == {}
    run = run_of({"BASE_URL": f"{shop.url}/form", "steps": [{"type": "click", "target": {"id": "n"}, "timeoutMs": 50}]})
    run.job.parameters.update(wanted)
    with pytest.raises(ExecutorError):
        await RpaExecutor(pool, {}.get).run(run)
    assert sorted(run.blobs) == ["filmstrip.webp", "playwright-trace.zip"]


async def test_a_stopped_run_has_its_filmstrip_and_pictures_come_while_a_step_goes_on(pool, shop, monkeypatch):
    taken, add = [], Film.add
    monkeypatch.setattr(Film, "add", lambda film, frame: (taken.append(frame), add(film, frame)))
    steps = [{"type": "wait_for", "target": {"css": "#hit"}, "timeoutMs": 600_000}]
    run = run_of({"BASE_URL": f"{shop.url}/shop", "steps": steps} | BOTH)
    task = asyncio.create_task(RpaExecutor(pool, {}.get).run(run))
    await until(lambda: any(at and at.startswith("steps[0]") for _, _, at in run.steps), 60)
    await until(lambda: "steps[0]" in {frame.step for frame in taken}, 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list(run.blobs) == ["filmstrip.webp"]
    assert run.trace["filmstrip"]["frames"]


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"filmstrip": "sometimes"}, "filmstrip"),
        ({"playwrightTrace": True}, "playwrightTrace"),
        ({"playwrightTrace": "always", "adsPowerId": "h", "browserId": "b"}, "playwrightTrace"),
        ({"browser": {"proxyId": "p"}, "adsPowerId": "h", "browserId": "b"}, "browser.proxyId"),
        ({"browser": {"proxyId": "../x"}}, "browser.proxyId"),
    ],
)
async def test_wishes_that_can_not_be_met_are_named(parameters, field):
    with pytest.raises(InvalidParameters) as caught:
        parse_rpa({"BASE_URL": "http://x"} | parameters)
    assert caught.value.field == field
