"""One flow on the sample shop, in all three formats: search by script, pages of a list, a detail page."""

import pytest
from integration.browser_kit import do, pool_in
from scraper.custom_actions import RegisteredActions
from scraper.executor import Item
from trawl_local.shop import items, search, serve_shop

WORDS = "brass"
CUSTOM = [("自定义1", "li.deal .name"), ("自定义2", "li.item .name"), ("自定义3", "h1")]


def reader(selector):
    async def read(call):
        found = call.page.locator(selector)
        await found.first.wait_for()
        await call.emit([Item({"name": name}) for name in await found.all_inner_texts()])

    return read


def canonical(shop):
    read = [{"type": "custom", "name": f"flow:{name}"} for name, _ in CUSTOM]
    return {"steps": [
        {"type": "navigate", "url": f"{shop}/search"},
        {"type": "input", "target": {"css": "input[name=q]"}, "value": "{{row.words}}"},
        {"type": "press", "key": "Enter"},
        {"type": "wait_for", "target": {"css": "li.deal"}},
        read[0],
        {"type": "navigate", "url": f"{shop}/lamps?page=1"},
        read[1],
        {"type": "click", "target": {"css": "a.next"}},
        read[1],
        {"type": "click", "target": {"css": "li.item a", "hasText": items()[12].name}},
        read[2],
    ]}  # fmt: skip


def recorded(shop):
    read = [{"type": "click", "element": {"leixing": name}} for name, _ in CUSTOM]
    return {"sortedData": [
        {"type": "navigation", "url": f"{shop}/search"},
        {"type": "input", "element": {"tagName": "INPUT", "name": "q"}, "value": "words"},
        {"type": "keydown", "key": "Enter", "code": "Enter"},
        {"type": "navigation", "url": f"{shop}/search?q={WORDS}"},
        read[0],
        {"type": "navigation", "url": f"{shop}/lamps?page=1"},
        read[1],
        {"type": "click", "element": {"tagName": "A", "innerText": "Next", "className": "next"}},
        read[1],
        {"type": "click", "element": {"tagName": "A", "innerText": items()[12].name}},
        read[2],
    ]}  # fmt: skip


def devtools(shop):
    read = [{"type": "customStep", "name": f"flow:{name}", "parameters": {}} for name, _ in CUSTOM]
    return {"sortedData": {"title": "flow", "steps": [
        {"type": "setViewport", "width": 1200, "height": 800},
        {"type": "navigate", "url": f"{shop}/search"},
        {"type": "change", "value": WORDS, "selectors": [["aria/none"], ["input[name=q]"]], "target": "main"},
        {"type": "keyDown", "key": "Enter", "target": "main"},
        {"type": "keyUp", "key": "Enter", "target": "main"},
        {"type": "waitForElement", "selectors": ["li.deal"]},
        read[0],
        {"type": "navigate", "url": f"{shop}/lamps?page=1"},
        read[1],
        {"type": "click", "selectors": [["aria/Next"], ["a.next"]], "target": "main"},
        read[1],
        {"type": "click", "selectors": [[f"text/{items()[12].name}"]], "target": "main"},
        read[2],
    ]}}  # fmt: skip


@pytest.fixture
async def pool(tmp_path):
    pool = pool_in(tmp_path)
    yield pool
    await pool.close()


async def test_one_flow_gives_the_same_items_in_all_three_formats(pool):
    expected = [lamp.name for lamp in (*search(WORDS), *items()[:24], items()[12])]
    custom = RegisteredActions({f"flow:{name}": reader(selector) for name, selector in CUSTOM})
    async with serve_shop() as shop:
        for make in (canonical, recorded, devtools):
            parameters = make(shop) | {"row": {"words": WORDS}, "task_name": "flow"}
            run, _ = await do(pool, parameters, task_name="flow", custom=custom)
            assert [item.data["name"] for item in run.items] == expected, make.__name__
