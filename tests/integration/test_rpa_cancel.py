"""Cancelling inside each type of step that there is: the executor comes back at once, and its context ends."""

import asyncio
import time
from typing import get_args

import pytest
import pytest_asyncio
from aiohttp import web
from integration.browser_kit import pool_in, run_of, until
from scraper import step_kinds
from scraper.custom_actions import RegisteredActions
from scraper.executors.rpa import RpaExecutor

pytestmark = pytest.mark.asyncio(loop_scope="module")
# Two, on a machine that has nothing else to do; by itself no step would end in this time.
SECONDS = 10.0
# Nothing on it ever gets ready: buttons are covered, fields disabled, and a font never comes.
STUCK = """<!doctype html><title>Stuck</title><style>
@font-face { font-family: late; src: url(/never.woff2) } body { font-family: late, serif }
#over { position: fixed; inset: 0; z-index: 9; background: #fff } </style>
<button id=b>Go</button><p id=p>Text</p><iframe src=/empty></iframe>
<input id=off disabled><select id=one disabled><option>a</select><input id=tick type=checkbox disabled>
<input id=typed><input id=file type=file><div id=over></div>
<script>document.fonts.load('10px late')</script>"""
MISSING = {"id": "never"}
FILE = {"name": "a.txt", "text": "b"}
NOWHERE = [{"url": "http://127.0.0.1/never"}]
WAIT = {"type": "wait_for", "timeMs": 600_000}
STEPS = [
    {"type": "navigate", "url": "/never"},
    {"type": "click", "target": {"id": "b"}},
    {"type": "click", "target": MISSING, "onError": "retry", "timeoutMs": 1},
    {"type": "double_click", "target": {"id": "b"}},
    {"type": "hover", "target": {"id": "b"}},
    {"type": "input", "target": {"id": "off"}, "value": "x"},
    {"type": "type_keys", "target": {"id": "typed"}, "value": "abcdefghij" * 10, "delayMs": 1000},
    {"type": "press", "key": "Enter", "target": MISSING},
    {"type": "select", "target": {"id": "one"}, "value": "a"},
    {"type": "check", "target": {"id": "tick"}},
    {"type": "scroll", "target": MISSING},
    {"type": "wait_for", "target": MISSING},
    {"type": "wait_for", "url": "never"},
    {"type": "wait_for", "networkIdle": True},
    {"type": "wait_for", "timeMs": 1, "pauseMs": 120_000},
    WAIT,
    {"type": "extract", "name": "x", "target": MISSING},
    {"type": "screenshot"},
    {"type": "set_variable", "name": "v", "target": MISSING},
    {"type": "output", "target": MISSING},
    {"type": "assert", "when": {"text": "never"}},
    {"type": "if", "when": {"url": "stuck"}, "then": [WAIT]},
    {"type": "loop", "count": 100_000, "steps": []},
    {"type": "loop", "rows": True, "steps": [WAIT]},
    {"type": "loop", "until": {"text": "never"}, "steps": [{"type": "wait_for", "timeMs": 50}]},
    {"type": "loop", "target": MISSING, "steps": []},
    {"type": "loop", "target": {"id": "b"}, "steps": [WAIT]},
    {"type": "upload", "target": MISSING, "value": FILE},
    {"type": "download", "url": "/never"},
    {"type": "download", "target": {"id": "b"}},
    {"type": "switch_tab", "url": "never"},
    {"type": "switch_frame", "target": MISSING},
    {"type": "custom", "name": "forever"},
    # These are done at once, and then wait for a page that never comes; a tab that is to be closed waits before it.
    {"type": "key_down", "key": "Shift", "expectNavigation": NOWHERE},
    {"type": "key_up", "key": "Shift", "expectNavigation": NOWHERE},
    {"type": "set_viewport", "width": 500, "height": 400, "expectNavigation": NOWHERE},
    {"type": "emulate_network", "latencyMs": 5, "expectNavigation": NOWHERE},
    {"type": "close_tab", "pauseMs": 120_000},
]


def all_types():
    union = get_args(get_args(step_kinds.Step)[0])
    return {name for kind in union for name in get_args(kind.model_fields["type"].annotation)}


async def forever(_call):
    await asyncio.Event().wait()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site():
    ended = asyncio.Event()

    async def page(request):
        if "never" in request.path:
            await ended.wait()
        return web.Response(text=STUCK if request.path == "/stuck" else "", content_type="text/html")

    app = web.Application()
    app.router.add_get("/{path}", page)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    ended.set()
    await runner.cleanup()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def executor(tmp_path_factory):
    pool = pool_in(tmp_path_factory.mktemp("work"))
    yield RpaExecutor(pool, {}.get, custom=RegisteredActions({"forever": forever}))
    await pool.close()


async def test_no_type_of_step_is_left_out_here():
    assert {step["type"] for step in STEPS} == all_types()


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step["type"])
async def test_cancelling_inside_a_step_stops_it_within_two_seconds(executor, site, step):
    run = run_of({"BASE_URL": f"{site}/stuck", "steps": [step], "row": [{"n": 1}]})
    task = asyncio.create_task(executor.run(run))
    inside = "steps[0].steps[0]" if step.get("steps") else "steps[0].then[0]" if step.get("then") else "steps[0]"
    await until(lambda: task.done() or any(at and at.startswith(inside) for _, _, at in run.steps), 60)
    # Into what the step does after it was announced; none of them ends by itself.
    await asyncio.sleep(0.1)
    assert not task.done(), task
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - began < SECONDS
    await until(lambda: not run.guarded[0].alive(), 60)
    # A pause comes before its step, and between two rounds of a loop nothing is under way.
    assert {one["outcome"] for one in run.trace["steps"]} <= {"stopped", "done"}
