"""SmartRPA lists by their effect: raw exports, loops, chords, actions of one's own, canonical steps among events."""

import pytest
import pytest_asyncio
from integration.browser_kit import pool_in
from integration.recordings_kit import canonical, recorded_site, replay

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site():
    async with recorded_site() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pool(tmp_path_factory):
    pool = pool_in(tmp_path_factory.mktemp("work"), slots=2)
    yield pool
    await pool.close()


def element(tag, **more):
    return {"tagName": tag, "id": "", "className": "", "name": "", "innerText": "", **more}


def clicked(name, **more):
    return {"type": "click", "element": element("BUTTON", id=name), **more}


def at(second):
    return f"2032-05-06T07:08:{second:02}.000Z"


FIELD = element("INPUT", id="q", className="box wide")
FIND = {"type": "click", "element": element("BUTTON", className="go", innerText="Find")}
TYPED = {"type": "input", "element": FIELD, "value": "fern"}


@pytest.mark.parametrize(
    ("events", "seen"),
    [
        ({"clicks": [FIND | {"time": at(7)}], "inputs": [TYPED | {"time": at(5)}], "keydowns": [],
          "navigations": [{"url": "BASE", "time": at(1)}],
          "scrolls": [{"action": "scroll", "direction": "down", "distance": 200, "time": at(9)}]},
         ["shop", "find fern", "scrolled"]),
        ([{"type": "loop", "loopCount": 2, "time": at(2),
           "loopEvents": [clicked("b", time=at(9)), clicked("a", time=at(5))]},
          {"type": "navigation", "url": "BASE", "time": at(1)}], ["shop", "b", "a", "b", "a"]),
        ([{"type": "navigation", "url": "BASE"}, TYPED, {"type": "keydown", "key": "Control"},
          {"type": "keydown", "key": "c"}, FIND], ["shop", "find fern"]),
        ([{"type": "navigation", "url": "BASE", "time": at(1)}, {"type": "wait_for", "target": {"css": "#all"}},
          clicked("b", time=at(9)), clicked("a", time=at(5))], ["shop", "b", "a"]),
        ([{"type": "navigation", "url": "BASE"}, {"type": "if", "when": {"target": {"css": "#b"}}, "then": [
            {"type": "click", "target": {"css": "#b"}, "button": "left"}, clicked("a")]}], ["shop", "b", "a"]),
    ],
)  # fmt: skip
async def test_a_page_sees_what_was_recorded(pool, site, events, seen):
    filled = _addressed(events, f"{site.url}/shop")
    saw, _ = await replay(pool, canonical({"sortedData": filled, "task_name": "lamps"}), seen[-1])
    assert saw == seen


def _addressed(value, address):
    if isinstance(value, dict):
        return {key: _addressed(inner, address) for key, inner in value.items()}
    if isinstance(value, list):
        return [_addressed(inner, address) for inner in value]
    return address if value == "BASE" else value


async def test_an_action_of_ones_own_is_never_a_click(pool, site):
    own = clicked("a")
    own["element"]["leixing"] = "自定义2.1"
    steps = canonical({"sortedData": [{"type": "navigation", "url": f"{site.url}/shop"}, own], "task_name": "lamps"})
    # It can't be borne: the run ends there.
    with pytest.raises(Exception, match=r"steps\[1\] \(sortedData\[1\]\) custom .*'lamps:自定义2.1' is not supported"):
        await replay(pool, steps, "shop")


async def test_events_and_an_extract_make_one_run(pool, site):
    read = {
        "type": "extract",
        "name": "lamps",
        "list": True,
        "target": {"css": ".lamp"},
        "fields": {"eur": {"css": "b"}},
    }
    events = [{"type": "navigation", "url": f"{site.url}/shop"}, clicked("a"), read]
    _, run = await replay(pool, canonical({"sortedData": events}), "a")
    assert [item.data for item in run.items] == [{"eur": "7.50"}, {"eur": "9.00"}]
