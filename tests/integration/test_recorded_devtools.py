"""Chrome DevTools recordings by their effect: each page writes down what it saw, and the order it saw it in."""

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


def recording(site, page, *steps, **head):
    """The canonical list of a recording that opens the page and does the steps; addresses are filled in."""
    address = f"{site.url}/{page}"
    opened = {"type": "navigate", "url": address, "assertedEvents": [arrival(address, page)]}
    filled = [
        {key: value.replace("BASE", site.url).replace("OTHER", site.other) if isinstance(value, str) else value
         for key, value in step.items()}
        for step in steps
    ]  # fmt: skip
    return canonical({"sortedData": {"title": page, "steps": [opened, *filled], **head}})


def arrival(url, title=""):
    return {"type": "navigation", "url": url, "title": title}


def click(*selectors, **more):
    return {"type": "click", "target": "main", "selectors": [[one] for one in selectors], **more}


def at(x, y):
    return {"offsetX": x, "offsetY": y}


def key(kind, name):
    return {"type": f"key{kind}", "target": "main", "key": name}


def wait(selector, **more):
    return {"type": "waitForElement", "target": "main", "selectors": [[selector]], **more}


def chain(*links, **more):
    return {"type": "click", "target": "main", "selectors": [list(links)], **more}


READY = "jobs 0 done enough busy false ready veil gone"


@pytest.mark.parametrize(
    ("page", "steps", "seen"),
    [
        # --- pointers
        ("board", [click("#ash", **at(11, 70))], ["ash 11,70"]),
        ("board", [click("#ash", **at(2, 3))], ["ash 2,3"]),
        ("board", [click("aria/Yew", **at(30, 20), button="secondary")], ["menu yew 30,20"]),
        ("board", [click("#yew", **at(30, 20), button="auxiliary")], ["middle yew"]),
        ("board", [click("#yew", **at(30, 20), button="forward")], ["button 4"]),
        ("board", [click("#yew", **at(30, 20), duration=600)], ["long", "yew 30,20"]),
        ("board", [click("#low", **at(9, 9), deviceType="pen")], ["by pen", "low 9,9"]),
        ("board", [click("#ash", **at(9, 9), deviceType="touch"), click("#ash", **at(8, 8))],
         ["by touch", "ash 9,9", "ash 8,8"]),
        ("board", [{**click("#ash", **at(40, 50)), "type": "doubleClick"}], ["ash 40,50", "ash 40,50", "double"]),
        ("board", [key("Down", "Shift"), click("#ash", **at(9, 9)), key("Up", "Shift"), click("#yew", **at(9, 9))],
         ["ash 9,9 shift", "yew 9,9"]),
        # --- keys
        ("keys", [click("#field"), key("Down", "Control"), key("Down", "a"), key("Up", "a"), key("Up", "Control"),
                  key("Down", "Shift"), key("Down", "B"), key("Up", "B"), click("#aim"), key("Up", "Shift")],
         ["down Control ctrl", "down a ctrl", "up a", "up Control", "down Shift shift", "down B shift", "up B",
          "aim shift B", "up Shift"]),
        ("keys", [click("#field"), key("Down", "ArrowUp"), click("#aim"), key("Up", "ArrowUp")],
         ["down ArrowUp", "aim ", "up ArrowUp"]),
        ("keys", [click("#field"), key("Down", "ß"), key("Up", "ß"), click("#aim")], ["aim ß"]),
        # --- names, texts and chains
        ("names", [click("aria/Send")], ["send"]),
        ("names", [click("aria/Sen", "aria/Street map", **at(5, 5))], ["map"]),
        ("names", [click('aria/Volume[role="slider"]')], ["loud"]),
        ("names", [click("aria/Day of birth", **at(4, 4)), click("aria/Secret")], ["day", "secret"]),
        ("names", [click("aria/Only one", **at(5, 5))], ["inner"]),
        ("names", [click("text/the whole")], ["part"]),
        ("names", [click("aria/Don't >> \"ask\"")], ["odd"]),
        ("boxes", [{**chain("#two", "input.word"), "type": "change", "value": "fern"}, chain("#two", "aria/Take")],
         ["took two fern"]),
        ("boxes", [chain("#shelf", "my-box:nth-of-type(2)", "button")], ["took right "]),
        ("boxes", [chain("pierce/#shelf", "pierce/[name=left] button")], ["took left "]),
        ("boxes", [wait("my-box", operator="==", count=2), chain("#one", "button")], ["took one "]),
        # --- waits
        ("queue", [wait(".done", operator=">=", count=4), click("#tell")], [READY]),
        ("queue", [wait(".job", operator="==", count=0), wait(".done", count=4), click("#tell")],
         [READY]),
        ("queue", [wait(".job", operator="<=", count=2), wait("#tell", attributes={"aria-busy": "false"}),
                   wait("#tell", properties={"dataset": {"state": "ready"}}), wait(".done", count=4), click("#tell")],
         [READY]),
        ("queue", [wait("#veil", visible=False), wait("#tell", visible=False, attributes={"aria-busy": "true"}),
                   wait(".done", count=4), click("#tell")], [READY]),
        # --- screens
        ("screen", [{"type": "setViewport", "width": 412, "height": 700, "deviceScaleFactor": 2, "isMobile": True,
                     "hasTouch": True, "isLandscape": False}, click("#look"),
                    {"type": "setViewport", "width": 800, "height": 500, "deviceScaleFactor": 1, "isMobile": False,
                     "hasTouch": False, "isLandscape": False}, click("#look")],
         ["412x700 at 2 touch", "800x500 at 1"]),
        # --- frames and windows
        ("frames", [click("#go", frame=[0]), click("aria/Go", frame=[1, 0])], ["go a", "go deep"]),
        ("frames", [{"type": "scroll", "target": "main", "frame": [0], "y": 33}], ["scrolled a 33"]),
        ("outer", [click("#pay", target="OTHER/till"), click("#home")], ["paid", "home"]),
        ("opener", [click("#open"), click("#yes", target="BASE/popup?n=1"),
                    {"type": "close", "target": "BASE/popup?n=1"}, click("#back")], ["open", "yes", "shut", "back"]),
        ("opener", [click("#open"), click("#back"), click("#yes", target="BASE/popup?n=1")], ["back", "yes"]),
        # --- fields
        ("fields", [{**click(selector), "type": "change", "value": value} for selector, value in (
            ("#size", "1"), ("aria/Agree", "true"), ("#day", "2033-02-01"), ("aria/Volume", "64"), ("#note", "a\nb"),
            ("#free", "new"))] + [click("#tell")], ["1|true|2033-02-01|64|a\nb|new"]),
    ],
)  # fmt: skip
async def test_a_page_sees_what_was_recorded(pool, site, page, steps, seen):
    saw, _ = await replay(pool, recording(site, page, *steps), seen[-1].replace("\n", "\\n"))
    # A window tells in its own time that it is open.
    assert [word for word in saw if word != "open" or "open" in seen] == seen


@pytest.mark.parametrize(
    ("selectors", "place", "last"),
    [
        (["#box"], {"x": 0, "y": 120}, "box 0,120"),
        (None, {"x": 210, "y": 80}, "page 210,80"),
        (None, {"y": 9}, "page 0,9"),
    ],
)
async def test_a_scroll_says_where_things_stand_afterwards(pool, site, selectors, place, last):
    further = {"type": "scroll", "target": "main", "x": 400, "y": 400} | ({"selectors": selectors} if selectors else {})
    steps = recording(site, "long", further, {**further, "x": 0, "y": 0} | place)
    saw, _ = await replay(pool, steps, last)
    assert saw[-1] == last


async def test_a_page_that_a_step_leads_to_is_waited_for_and_the_step_is_done_once(pool, site):
    told = arrival(f"{site.url}/second?from=first", "second")
    steps = recording(site, "first", click("#on", assertedEvents=[told]), click("#on"))
    saw, _ = await replay(pool, steps, "on in second")
    assert saw == ["on", "second", "on in second"]


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (("/third", ""), "did not lead to the page"),
        (("/second?from=elsewhere", ""), "did not lead to the page"),
        (("/second?from=first", "third"), "with the title 'third'"),
    ],
)
async def test_a_page_that_never_comes_fails_its_step_which_is_not_done_again(pool, site, told, message):
    path, title = told
    asserted = click("#on", assertedEvents=[arrival(site.url + path, title)], timeout=3000)
    steps = recording(site, "first", asserted)
    steps[-1]["retries"] = 3
    saw, run = await replay(pool, steps, "second", fails=1)
    assert saw == ["on", "second"]
    assert run.trace["steps"][1]["code"] == "ASSERTION_FAILED"
    assert message in run.trace["steps"][1]["error"]


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (wait("#tell", operator="==", count=9), "STEP_TIMEOUT"),
        (wait("#tell", attributes={"aria-busy": "perhaps"}), "STEP_TIMEOUT"),
        (wait("#tell", visible=False), "STEP_TIMEOUT"),
        (wait("#none"), "TARGET_NOT_FOUND"),
        (click("aria/Tel"), "TARGET_NOT_FOUND"),
        (chain("#list", "button"), "TARGET_NOT_FOUND"),
    ],
)
async def test_what_never_comes_fails_its_step_by_the_recordings_time_limit(pool, site, step, code):
    steps = recording(site, "queue", step, timeout=900)
    steps[0]["timeoutMs"] = 30_000
    _, run = await replay(pool, steps, "", fails=1)
    assert run.trace["steps"][1]["code"] == code


async def test_a_slow_network_is_slow(pool, site):
    slow = {"type": "emulateNetworkConditions", "target": "main", "download": -1, "upload": -1, "latency": 700}
    steps = recording(site, "first", slow, {"type": "navigate", "url": f"{site.url}/second"})
    _, run = await replay(pool, steps, "second")
    assert run.trace["steps"][2]["durationMs"] >= 600
