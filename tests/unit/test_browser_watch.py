"""Which renderers give way to others, and which are ended."""

import asyncio
from typing import Any

import pytest
from scraper import browser_watch
from scraper.browser_process import Member
from scraper.browser_watch import BrowserWatch

MEGABYTE = 2**20


class Silent:
    """A browser that answers nothing. Processes 11 and 12 are its renderers."""

    pid, driver_pid, dead, ended, ended_at = 10, 9, False, "", 0.0

    async def answers(self) -> bool:
        await asyncio.Event().wait()
        return True


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What was done to which process, and what each takes: processor seconds in all, and bytes."""
    seen: dict[str, Any] = {"ended": [], "slowed": [], "takes": {10: (0.0, 0), 11: (0.0, 0), 12: (0.0, 0)}}
    monkeypatch.setattr(browser_watch, "end_renderer", seen["ended"].append)
    monkeypatch.setattr(browser_watch, "give_way", seen["slowed"].append)
    monkeypatch.setattr(
        browser_watch, "members", lambda *_: [Member(pid, pid > 10, *takes) for pid, takes in seen["takes"].items()]
    )
    return seen


async def looks(watch: BrowserWatch, browser: Silent, seen: dict[str, Any], count: int, **seconds: float) -> None:
    """Each look finds that the processes have taken so many seconds more, far more than have passed."""
    for _ in range(count):
        for name, more in seconds.items():
            pid = int(name.removeprefix("p"))
            used, size = seen["takes"][pid]
            seen["takes"][pid] = (used + more, size)
        await watch.look([browser])  # type: ignore[list-item]


async def test_a_renderer_that_is_busy_look_after_look_gives_way(watched: dict[str, Any]) -> None:
    watch = BrowserWatch(None)
    await looks(watch, Silent(), watched, 3, p11=5, p10=5)
    assert watched["slowed"] == []
    await looks(watch, Silent(), watched, 1, p11=5, p10=5)
    assert watched["slowed"] == [11], "never the browser itself"
    assert watched["ended"] == []


async def test_a_browser_that_is_kept_from_answering_loses_its_busiest_renderer(
    watched: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browser_watch, "ANSWER_SECONDS", 0)
    watch, browser = BrowserWatch(None), Silent()
    await looks(watch, browser, watched, 5)
    assert watched["ended"] == [], "a machine that is slow is nobody's fault"
    await looks(watch, browser, watched, 1, p10=60, p11=10, p12=30)
    assert watched["ended"] == [12]
    assert "no longer answered" in browser.ended


async def test_the_largest_renderer_is_ended_when_one_or_all_take_too_much(watched: dict[str, Any]) -> None:
    watch = BrowserWatch(1000 * MEGABYTE)
    watched["takes"] |= {10: (0, 300 * MEGABYTE), 11: (0, 200 * MEGABYTE), 12: (0, 450 * MEGABYTE)}
    await looks(watch, Silent(), watched, 1)
    assert watched["ended"] == []
    watched["takes"][12] = (0, 501 * MEGABYTE)
    await looks(watch, Silent(), watched, 1)
    watched["takes"] |= {10: (0, 500 * MEGABYTE), 11: (0, 301 * MEGABYTE), 12: (0, 250 * MEGABYTE)}
    await looks(watch, Silent(), watched, 1)
    assert watched["ended"] == [12, 11]
