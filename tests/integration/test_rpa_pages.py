"""Steps on files, tabs, frames and custom handlers in a real Chromium, and the trace of what was done."""

import asyncio
import hashlib

import pytest
import pytest_asyncio
from integration.browser_kit import do, pool_in, run_of, site, until
from scraper.custom_actions import RegisteredActions
from scraper.executor import ExecutorError, Item
from scraper.executors.rpa import RpaExecutor

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shop():
    async with site() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pool(tmp_path_factory):
    pool = pool_in(tmp_path_factory.mktemp("work"), slots=2)
    yield pool
    await pool.close()


async def test_downloads_are_kept_and_uploads_come_from_kept_files_or_the_step(pool, shop):
    steps = [
        {"type": "download", "target": {"id": "get"}, "name": "report"},
        {"type": "download", "url": "/report.csv"},
        {"type": "upload", "target": {"id": "up"}, "value": ["report.csv", {"name": "{{row.n}}.txt", "text": "hi"}]},
        {"type": "wait_for", "target": {"css": "#list", "hasText": "hi"}},
        {"type": "extract", "name": "list", "target": {"id": "list"}},
    ]
    run, result = await do(pool, {"BASE_URL": f"{shop.url}/files", "steps": steps, "row": {"n": "note"}})
    assert run.blobs == {"report.csv": b"a,b\n1,2\n", "report-1.csv": b"a,b\n1,2\n"}
    assert result["report"] == {
        "file": "report.csv",
        "name": "report 1.csv",
        "bytes": 8,
        "type": "text/csv",
        "sha256": hashlib.sha256(b"a,b\n1,2\n").hexdigest(),
    }
    assert result["list"] == "report.csv=a,b 1,2 ;note.txt=hi"


async def test_a_file_that_nobody_asked_for_is_not_taken(pool, shop):
    steps = [{"type": "click", "target": {"id": "get"}}, {"type": "extract", "name": "h", "target": {"css": "h1"}}]
    run, result = await do(pool, {"BASE_URL": f"{shop.url}/files", "steps": steps})
    assert (result, run.blobs) == ({"h": "Top"}, {})


async def test_frames_and_tabs_are_switched_to_and_back(pool, shop):
    steps = [
        {"type": "switch_frame", "target": {"css": "iframe"}},
        {"type": "extract", "name": "deep", "target": {"id": "deep"}},
        {"type": "if", "when": {"text": "Inside"}, "then": [{"type": "click", "target": {"text": "Away"}}]},
        {"type": "switch_frame"},
        {"type": "extract", "name": "top", "target": {"css": "h1"}},
        {"type": "navigate", "url": "/shop"},
        {"type": "click", "target": {"id": "tab"}, "newTab": "stay"},
        {"type": "switch_tab", "url": "detail?n=9"},
        {"type": "extract", "name": "other", "target": {"css": "h2"}},
        {"type": "switch_tab", "index": 0},
        {"type": "extract", "name": "first", "target": {"css": "h1"}},
        {"type": "switch_tab", "title": "D"},
        {"type": "switch_tab"},
        {"type": "extract", "name": "back", "target": {"css": "h1"}},
        {"type": "switch_tab", "index": 7, "timeoutMs": 100, "onError": "continue"},
    ]
    run, result = await do(pool, {"BASE_URL": f"{shop.url}/files", "steps": steps})
    assert result == {"deep": "Inside", "top": "Top", "other": "Detail 9", "first": "Lamps", "back": "Lamps"}
    assert run.trace["steps"][-1]["code"] == "TARGET_NOT_FOUND"


async def test_custom_steps_call_registered_handlers_by_name(pool, shop):
    async def count(call):
        await call.emit([Item({"seen": call.value})])
        call.variables["n"] = await call.page.locator("li.item").count()
        return {"row": call.row["k"], "name": call.name}

    async def broken(call):
        raise KeyError("private detail")

    custom = RegisteredActions({"OZON_data:自定义1": count, "broken": broken})
    events = [{"type": "click", "element": {"leixing": "自定义1"}, "value": "v"}]
    run, result = await do(pool, {"BASE_URL": f"{shop.url}/shop", "sortedData": events, "row": {"k": 5}}, custom=custom)
    assert result == {"OZON_data:自定义1": {"row": 5, "name": "OZON_data:自定义1"}}
    assert run.items == [Item({"seen": "v"})]
    steps = [{"type": "custom", "name": "broken"}]
    with pytest.raises(ExecutorError) as caught:
        await do(pool, {"BASE_URL": f"{shop.url}/shop", "steps": steps}, custom=custom)
    assert caught.value.code == "CUSTOM_ACTION_FAILED"
    assert "private detail" not in caught.value.message


async def test_the_trace_says_what_was_done_where_and_how_it_failed(pool, shop):
    steps = [
        {"type": "loop", "count": 2, "steps": [{"type": "hover", "target": {"id": "no", "css": "h1"}}]},
        {"type": "click", "target": {"id": "none"}, "timeoutMs": 100, "optional": True},
        {"type": "click", "target": {"id": "none"}, "timeoutMs": 100},
    ]
    run = run_of({"BASE_URL": f"{shop.url}/files", "steps": steps, "row": {"password": "geheim-9"}})
    with pytest.raises(ExecutorError):
        await RpaExecutor(pool, {}.get).run(run)
    trace = run.trace
    assert [(one["step"], one["outcome"]) for one in trace["steps"]] == [
        ("BASE_URL[0]", "done"), ("steps[0]", "done"), ("steps[0].steps[0]", "done"), ("steps[0].steps[0]", "done"),
        ("steps[1]", "left_out"), ("steps[2]", "failed"),
    ]  # fmt: skip
    hover, failed = trace["steps"][2], trace["steps"][-1]
    assert hover["matched"] == {"by": "css", "selector": "h1"}
    assert (failed["code"], failed["screenshot"], failed["url"]) == (
        "TARGET_NOT_FOUND", "steps-2-failed.png", f"{shop.url}/files",
    )  # fmt: skip
    assert all(one["durationMs"] >= 0 for one in trace["steps"])
    assert {"tea is cold", "kettle broke"} <= {one["text"] for one in trace["console"]}


async def test_pictures_can_be_had_of_every_step_or_of_none(pool, shop):
    steps = [{"type": "hover", "target": {"css": "h1"}}, {"type": "click", "target": {"id": "no"}, "timeoutMs": 50}]
    for wanted, kept in (("every", 3), ("never", 0)):
        run = run_of({"BASE_URL": f"{shop.url}/files", "steps": steps, "screenshots": wanted})
        with pytest.raises(ExecutorError):
            await RpaExecutor(pool, {}.get).run(run)
        assert len(run.blobs) == kept, wanted


async def test_a_stopped_run_keeps_its_trace(pool, shop):
    run = run_of({"BASE_URL": f"{shop.url}/shop", "steps": [{"type": "wait_for", "timeMs": 60_000}]})
    task = asyncio.create_task(RpaExecutor(pool, {}.get).run(run))
    await until(lambda: any(at and at.startswith("steps[0]") for _, _, at in run.steps), 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert run.trace["steps"][-1]["outcome"] == "stopped"


RECORDING = {
    "title": "search",
    "steps": [
        {"type": "setViewport", "width": 1200, "height": 800},
        {"type": "navigate", "url": "/find", "assertedEvents": [{"type": "navigation"}]},
        {"type": "click", "target": "main", "selectors": [["aria/Nothing"], ["#q"]]},
        {"type": "change", "value": "lamp", "selectors": [["#q"], ["xpath///*[@id='q']"]], "target": "main"},
        {"type": "keyDown", "key": "Enter", "target": "main"},
        {"type": "keyUp", "key": "Enter", "target": "main"},
        {"type": "waitForElement", "selectors": ["text/Found lamp"]},
    ],
}


async def test_a_chrome_recording_runs_like_any_other_list(pool, shop):
    shop.asked.clear()
    await do(pool, {"BASE_URL": shop.url, "sortedData": RECORDING})
    assert "/search?q=lamp" in shop.asked
