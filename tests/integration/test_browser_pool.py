"""The browser pool against a real Chromium: crashes, slots, recycling, idleness, and what is left behind."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from integration.browser_kit import do, pool_in, run_of, site, until
from scraper.browser_options import BrowserOptions, Viewport
from scraper.browser_process import browser_processes, group_alive, reap_browsers
from scraper.executor import ExecutorError
from scraper.executors.rpa import RpaExecutor
from scraper.renderer import BrowserRenderer
from scraper.rendering import PageOptions, Scrolling
from scraper.tab import Tab


def nothing(_what: object) -> None:
    """A guard for tests that need none."""


def profiles(work: Path) -> list[Path]:
    return list((work / "browsers").glob("*"))


def living_children() -> set[int]:
    """Children of this process that are no zombies: stores of the session's fixtures are among them."""
    return {child.pid for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE}


@pytest.mark.parametrize("victim", ["browser", "driver"])
async def test_a_killed_browser_fails_the_run_at_once_and_the_next_run_gets_a_new_one(tmp_path, victim):
    before = living_children()
    pool = pool_in(tmp_path)
    async with site() as shop:
        run = run_of({"BASE_URL": f"{shop.url}/shop", "steps": [{"type": "wait_for", "target": {"id": "never"}}]})
        task = asyncio.create_task(RpaExecutor(pool, {}.get).run(run))
        await until(lambda: any(at == "steps[0] wait_for" for _, _, at in run.steps), 60)
        pid = pool.process_id
        os.kill(pid if victim == "browser" else psutil.Process(pid).ppid(), signal.SIGKILL)
        start = time.monotonic()
        with pytest.raises(ExecutorError) as caught:
            await task
        # Long before the step would have given up by itself.
        assert time.monotonic() - start < 15
        assert (caught.value.code, caught.value.retryable) == ("BROWSER_CRASHED", True)
        await until(lambda: not run.guarded[0].alive())
        _, result = await do(pool, {"BASE_URL": f"{shop.url}/detail?n=1"})
        assert result["text"] == "Detail 1"
        assert pool.process_id != pid
        await until(lambda: not group_alive(pid) and len(profiles(tmp_path)) == 1)
        last = pool.process_id
        await pool.close()
        assert not group_alive(last)
        assert profiles(tmp_path) == []
        await until(lambda: living_children() <= before)


async def test_slots_recycling_and_idleness(tmp_path):
    """At most `slots` contexts at once; a browser is replaced after its runs; an idle pool has no process."""
    pool = pool_in(tmp_path, slots=1, recycle_runs=2, idle_seconds=1.5)
    assert pool.process_id is None
    async with pool.lease(BrowserOptions(), nothing):
        first = pool.process_id
        waiting = asyncio.create_task(pool.lease(BrowserOptions(), nothing).__aenter__())
        await asyncio.sleep(0.2)
        assert not waiting.done()
        waiting.cancel()
    async with pool.lease(BrowserOptions(), nothing):
        assert pool.process_id == first
    await until(lambda: not group_alive(first))
    async with pool.lease(BrowserOptions(), nothing):
        assert pool.process_id not in (None, first)
        second = pool.process_id
    await until(lambda: not group_alive(second) and profiles(tmp_path) == [])
    assert pool.process_id is None
    async with pool.lease(BrowserOptions(), nothing) as lease:
        assert lease.kill() == 1
        await until(lambda: not lease.alive())
        assert lease.kill() == 0
        assert pool.process_id is not None, "only the context is ended"
    await pool.close()
    with pytest.raises(ExecutorError):
        async with pool.lease(BrowserOptions(), nothing):
            pass


@pytest.mark.parametrize("worn", [{"recycle_seconds": 0.0}, {"recycle_bytes": -(2**40)}], ids=["age", "size"])
async def test_a_browser_that_is_too_old_or_too_large_goes_with_its_last_run(tmp_path, worn):
    """Runs that are still in it end in it, new ones get another; then nothing of it is left."""
    pool = pool_in(tmp_path, slots=3, **worn)
    async with pool.lease(BrowserOptions(), nothing) as kept:
        first = pool.process_id
        async with pool.lease(BrowserOptions(), nothing):
            assert pool.process_id == first
        async with pool.lease(BrowserOptions(), nothing):
            assert pool.process_id not in (None, first)
            assert await (await kept.context.new_page()).evaluate("1 + 1") == 2
    await until(lambda: not group_alive(first), 60)
    await pool.close()
    assert profiles(tmp_path) == []


async def test_a_context_waits_while_there_is_no_memory_for_it_and_the_first_never_does(tmp_path):
    pool = pool_in(tmp_path, slots=5, memory_bytes=1)
    async with pool.lease(BrowserOptions(), nothing):
        waiting = [asyncio.create_task(pool.lease(BrowserOptions(), nothing).__aenter__()) for _ in range(2)]
        await asyncio.sleep(0.3)
        assert not any(task.done() for task in waiting)
        waiting[0].cancel()
    # Its memory is free again: who waits is told at once, and who went away is not waited for.
    lease = await asyncio.wait_for(waiting[1], 60)
    assert not lease.chromium.dead
    await lease.close()
    await until(lambda: not lease.alive(), 60)
    await pool.close()


async def test_a_context_that_will_not_close_takes_its_browser_down(tmp_path):
    pool = pool_in(tmp_path)
    async with pool.lease(BrowserOptions(), nothing) as lease:
        pid = pool.process_id
        os.kill(pid, signal.SIGSTOP)
        lease.kill()
        await until(lambda: not lease.alive(), 20)
        await until(lambda: not group_alive(pid), 20)
    async with pool.lease(BrowserOptions(), nothing) as lease:
        assert await (await lease.context.new_page()).evaluate("1 + 1") == 2
    await pool.close()


async def test_options_shape_the_context_and_contexts_share_nothing(tmp_path):
    pool = pool_in(tmp_path)
    options = BrowserOptions(
        user_agent="Trawl/1", viewport=Viewport(width=640, height=480), locale="de-DE", timezone="Asia/Shanghai",
        block=frozenset({"image"}),
    )  # fmt: skip
    async with site() as shop, pool.lease(options, nothing) as one, pool.lease(BrowserOptions(), nothing) as two:
        page = await one.context.new_page()
        await page.goto(f"{shop.url}/detail?n=1")
        seen = await page.evaluate(
            """async () => { document.cookie = 'a=1'; const image = new Image(); image.src = '/shop?image';
            const failed = await new Promise(done => {
              image.onerror = () => done(true); image.onload = () => done(false) });
            return [navigator.userAgent, innerWidth, navigator.language, new Date(0).getHours(), failed] }"""
        )
        assert seen == ["Trawl/1", 640, "de-DE", 8, True]
        assert "/shop?image" not in shop.asked
        other = await two.context.new_page()
        await other.goto(f"{shop.url}/detail?n=1")
        assert await other.evaluate("document.cookie") == ""
        assert "Chrome/" in await other.evaluate("navigator.userAgent")
    await pool.close()


def renderers(browser: int) -> int:
    count = 0
    for process in psutil.Process(browser).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it may end meanwhile
            count += "--type=renderer" in process.cmdline()
    return count


async def test_a_browser_has_a_renderer_for_each_page_and_none_beside(tmp_path):
    """Neither the address bar's pages nor one in reserve; and what Playwright disables stays disabled."""
    pool = pool_in(tmp_path)
    async with (
        site() as shop,
        pool.lease(BrowserOptions(), nothing) as one,
        pool.lease(BrowserOptions(), nothing) as two,
    ):
        for lease in (one, two):
            await (await lease.context.new_page()).goto(f"{shop.url}/detail?n=1")
        browser = one.chromium.pid
        await until(lambda: renderers(browser) == 2, 40)
        given = [part for part in psutil.Process(browser).cmdline() if part.startswith("--disable-features=")]
        disabled = [set(part.partition("=")[2].split(",")) for part in given]
        assert len(disabled) > 1
        assert set().union(*disabled) == disabled[-1], "the last one counts"
    await pool.close()


async def test_a_tab_is_replaced_after_some_pages_and_its_session_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("scraper.tab.PAGES_IN_A_TAB", 2)
    pool = pool_in(tmp_path)
    async with site() as shop, pool.lease(BrowserOptions(), nothing) as lease:
        opened = 0

        def count(_page: object) -> None:
            nonlocal opened
            opened += 1

        lease.context.on("page", count)
        await lease.context.add_cookies([{"name": "kept", "value": "1", "url": shop.url}])
        tab = Tab(lease)
        for number in range(5):
            page = await tab.load(f"{shop.url}/detail?n={number}", PageOptions())
            assert f"Detail {number}" in page.html
            assert len(lease.context.pages) == 1
        assert opened == 3
        assert await lease.context.pages[0].evaluate("document.cookie") == "kept=1"
    await pool.close()


async def test_a_renderer_keeps_its_page_and_answers_what_scripts_made(tmp_path):
    pool = pool_in(tmp_path)
    run = run_of({})
    async with site() as shop, BrowserRenderer(pool, {}.get).session(run, {"block": ["image"]}) as session:
        page = await session.load(f"{shop.url}/to?to=/lazy", PageOptions())
        assert (page.url, page.status) == (f"{shop.url}/lazy", 200)
        assert page.html.count('class="row"') == 5
        page = await session.load(f"{shop.url}/lazy", PageOptions(scroll=Scrolling()))
        assert page.html.count('class="row"') == 15
        steps = [{"type": "input", "target": {"id": "q"}, "value": "hi"}, {"type": "click", "target": {"id": "go"}}]
        steps.append({"type": "wait_for", "target": {"id": "hit"}})
        page = await session.load(f"{shop.url}/shop", PageOptions(steps=steps, wait_for="#q"))
        assert '<p id="hit">hi</p>' in page.html
        page = await session.load(f"{shop.url}/missing", PageOptions(wait_for=".no", timeout_seconds=1.5))
        assert (page.status, "gone" in page.html) == (404, True)
        with pytest.raises(ExecutorError) as caught:
            await session.load(f"{shop.url}/never", PageOptions(timeout_seconds=0.5))
        assert caught.value.code == "PAGE_TIMEOUT"
        page = await session.load(f"{shop.url}/detail?n=1", PageOptions())
        assert "Detail 1" in page.html
        with pytest.raises(ExecutorError) as caught:
            await session.load("file:///etc/passwd", PageOptions())
        assert caught.value.code == "INVALID_URL"
    assert len(run.guarded) == 1
    assert not run.guarded[0].alive()
    await pool.close()


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def read_until_pid(lines):
    """Log lines come before it."""
    for line in lines:
        yield line
        if line.startswith("PID"):
            return


SCRAPER = """
import asyncio, sys
from pathlib import Path
from scraper.browser import BrowserPool, PoolSettings
from scraper.browser_options import BrowserOptions
from scraper.addresses import AddressGuard
async def main():
    pool = BrowserPool(PoolSettings(work_dir=Path(sys.argv[1]), marker="w1"), AddressGuard())
    async with pool.lease(BrowserOptions(), lambda _: None) as lease:
        await lease.context.new_page()
        print("PID", pool.process_id, flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


async def test_a_killed_scraper_leaves_no_browser_and_the_next_one_clears_its_profile(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", SCRAPER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    lines = await asyncio.to_thread(lambda: list(read_until_pid(process.stdout)))
    pid = int(lines[-1].split()[1])
    driver = psutil.Process(pid).ppid()
    process.kill()
    process.wait()
    process.stdout.close()
    await until(lambda: not group_alive(pid), 60)
    await until(lambda: is_gone(driver))
    reap_browsers(tmp_path, "w1")
    assert profiles(tmp_path) == []


async def test_reaping_kills_only_browsers_of_the_same_marker(tmp_path):
    mine, other = tmp_path / "browsers" / "w1.abc", tmp_path / "browsers" / "w10.abc"
    started = []
    for profile in (mine, other):
        profile.mkdir(parents=True)
        line = ["sleep", "60"]
        code = f"import subprocess, sys; subprocess.run({line!r})"
        started.append(
            subprocess.Popen([sys.executable, "-c", code, f"--user-data-dir={profile}"], start_new_session=True)
        )
    try:
        await until(lambda: len(list(browser_processes(str(tmp_path)))) == 2)
        assert reap_browsers(tmp_path, "w1") == 1
        assert started[0].wait(60) == -signal.SIGKILL
        assert started[1].poll() is None
        assert (mine.exists(), other.exists()) == (False, True)
    finally:
        for process in started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
