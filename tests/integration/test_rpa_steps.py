"""The rpa executor in a real Chromium: what each step does, and what leaves a run."""

import pytest
import pytest_asyncio
from integration.browser_kit import PNG, do, pool_in, run_of, site
from scraper.executor import ExecutorError, InvalidParameters

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


async def failure(pool, parameters):
    run = run_of(parameters)
    from scraper.executors.rpa import RpaExecutor

    with pytest.raises(ExecutorError) as caught:
        await RpaExecutor(pool, {"SHOP_PASSWORD": "s3cret&Wert"}.get).run(run)
    return run, caught.value


async def test_extracted_lists_become_the_result_and_items(pool, shop):
    extract = {
        "type": "extract",
        "name": "lamps",
        "list": True,
        "dataType": "product",
        "target": {"css": "li.item"},
        "fields": {
            "name": {"css": ".name"},
            "price": {"css": ".price", "type": "number"},
            "url": {"css": "a", "attribute": "href", "type": "url"},
            "tags": {"xpath": ".//i", "list": True},
            "none": {"css": ".nothing"},
        },
    }
    run, result = await do(pool, {"BASE_URL": f"{shop.url}/shop", "steps": [extract]})
    first = {"name": "Lamp 1", "price": 1.5, "url": f"{shop.url}/detail?n=1", "tags": ["a", "b"], "none": None}
    assert result["lamps"][0] == first
    assert [(item.data["name"], item.data_type, item.key) for item in run.items] == [
        ("Lamp 1", "product", None),
        ("Lamp 2", "product", None),
    ]


async def test_what_an_extraction_has_no_room_for_is_counted(pool, shop, monkeypatch):
    monkeypatch.setattr("scraper.step_extract.MAX_ELEMENTS", 1)
    monkeypatch.setattr("scraper.step_extract.MAX_VALUES", 1)
    monkeypatch.setattr("scraper.step_extract.MAX_TEXT", 4)
    fields = {"name": {"css": ".name"}, "tags": {"css": ".tag", "list": True}}
    extract = {"type": "extract", "name": "lamps", "target": {"css": ".item"}, "list": True, "fields": fields}
    run, result = await do(pool, {"BASE_URL": f"{shop.url}/shop", "steps": [extract]})
    assert result["lamps"] == [{"name": "Lamp", "tags": ["a"]}]
    assert [(one.what, one.where, one.count) for one in run.problems] == [
        ("values_cut", "steps[0].elements", 1),
        ("values_cut", "steps[0].values", 1),
        ("value_cut", "steps[0].texts", 1),
    ]


async def test_a_loop_goes_through_pages_until_its_condition_is_true(pool, shop):
    steps = [
        {"type": "navigate", "url": "/shop"},
        {
            "type": "loop",
            "until": {"target": {"css": "a.next"}, "visible": False},
            "steps": [
                {"type": "extract", "name": "names", "list": True, "target": {"css": ".name"}},
                {
                    "type": "if",
                    "when": {"target": {"css": "a.next"}},
                    "then": [{"type": "click", "target": {"css": "a.next"}}],
                },
            ],
        },
    ]
    _, result = await do(pool, {"BASE_URL": shop.url, "steps": steps})
    assert result["names"] == ["Lamp 1", "Lamp 2", "Lamp 3", "Lamp 4"]


async def test_loops_over_rows_elements_and_counts_know_where_they_are(pool, shop):
    steps = [
        {
            "type": "loop",
            "rows": True,
            "steps": [{"type": "output", "name": "row", "value": "{{row.k}}{{vars.index}}"}],
        },
        {
            "type": "loop",
            "target": {"css": "li.item"},
            "steps": [{"type": "extract", "name": "name", "target": {"css": ".name"}}],
        },
        {"type": "loop", "count": "{{row.n}}", "steps": [{"type": "set_variable", "name": "x", "value": "v"}]},
        {"type": "output", "name": "x", "value": "{{vars.x}}"},
    ]
    rows = [{"k": "a", "n": 2}, {"k": "b", "n": 0}]
    run, result = await do(pool, {"BASE_URL": f"{shop.url}/shop", "steps": steps, "row": rows})
    assert result == {"row": ["a0", "b1"], "name": ["Lamp 1", "Lamp 2"], "x": "v"}
    assert [item.data for item in run.items if "name" in item.data] == [{"name": "Lamp 1"}, {"name": "Lamp 2"}]
    done, total, _ = run.steps[-1]
    assert done == total == 1 + 4 + 2 + 2 + 2


async def test_the_first_alternative_with_one_visible_element_wins_and_the_trace_says_which(pool, shop):
    target = {"css": "li.item", "xpath": "//nothing", "id": "none", "text": "Find", "placeholder": "Search"}
    steps = [
        {"type": "input", "target": {"label": "Search box"}, "value": "x"},
        {"type": "click", "target": target},
        {"type": "extract", "name": "hit", "target": {"id": "hit"}},
    ]
    run, result = await do(pool, {"BASE_URL": f"{shop.url}/shop", "steps": steps})
    assert result == {"hit": "x"}
    assert [data["by"] for _, _, data in run.logs if "by" in data] == ["label", "text", "id"]


async def test_a_failed_step_names_its_place_target_and_page_and_keeps_a_picture(pool, shop):
    steps = [{"type": "hover", "target": {"css": "h1"}}, {"type": "click", "target": {"css": "li.item", "id": "no"}}]
    steps[1]["timeoutMs"] = 300
    run, error = await failure(pool, {"BASE_URL": f"{shop.url}/shop", "steps": steps})
    assert error.code == "TARGET_NOT_FOUND"
    assert error.retryable
    assert error.message.startswith(f"steps[1] click css 'li.item' on {shop.url}/shop: no target found")
    assert "css 'li.item' (2 matched); id 'no' (none matched)" in error.message
    assert {name: data[:8] for name, data in run.blobs.items()} == {"steps-1-failed.png": PNG}
    assert any(data.get("blob") == "steps-1-failed.png" for _, _, data in run.logs)


async def test_failures_are_borne_retried_or_left_out_as_the_step_says(pool, shop):
    missing = {"target": {"id": "none"}, "timeoutMs": 100}
    steps = [
        {"type": "click", **missing, "optional": True},
        {"type": "click", **missing, "onError": "continue"},
        {"type": "assert", "when": {"text": "Nowhere"}, "timeoutMs": 100, "onError": "continue"},
        {"type": "input", "target": {"id": "q"}, "value": "x"},
        {"type": "click", "target": {"id": "go"}},
        # Comes after 600 ms: the first attempt misses it.
        {"type": "extract", "name": "hit", "target": {"id": "hit"}, "timeoutMs": 30, "retries": 3},
        {"type": "if", "when": {"target": {"id": "hit"}}, "then": [{"type": "output", "value": "yes"}]},
    ]
    run, result = await do(pool, {"BASE_URL": f"{shop.url}/shop", "steps": steps})
    assert result == {"hit": "x", "output": "yes"}
    assert any("trying again" in message for _, message, _ in run.logs)
    assert sorted(run.blobs) == ["steps-1-failed.png", "steps-2-failed.png"]


async def test_forms_take_text_choices_ticks_and_keys(pool, shop):
    steps = [
        {"type": "navigate", "url": "form"},
        {"type": "type_keys", "target": {"label": "User"}, "value": "ann"},
        {"type": "select", "target": {"label": "Colour"}, "value": "Green"},
        {"type": "check", "target": {"role": "checkbox", "name": "Agree"}},
        {"type": "press", "key": "Enter", "target": {"label": "User"}},
        {"type": "wait_for", "url": "*/done?*"},
        {"type": "extract", "name": "got", "target": {"id": "got"}},
        {"type": "screenshot", "name": "../end/图"},
    ]
    run, result = await do(pool, {"BASE_URL": f"{shop.url}/", "steps": steps})
    assert result["got"] == "[('colour', 'g'), ('ok', '1'), ('pw', ''), ('user', 'ann')]"
    assert result["../end/图"] == "end-图.png"
    assert run.blobs["end-图.png"].startswith(PNG)


async def test_secrets_and_passwords_leave_no_trace(pool, shop):
    steps = [
        {"type": "navigate", "url": "/form"},
        {"type": "input", "target": {"label": "User"}, "value": "{{secret:SHOP_PASSWORD}}"},
        {"type": "input", "target": {"label": "Password"}, "value": "typed-pass"},
        {"type": "extract", "name": "echo", "target": {"id": "echo"}},
        {"type": "extract", "name": "field", "target": {"css": "[name=pw]"}},
        {"type": "output", "name": "direct", "value": "is {{secret:SHOP_PASSWORD}}"},
        {"type": "click", "target": {"text": "Send"}},
        {"type": "wait_for", "url": "/done"},
        {"type": "extract", "name": "list", "list": True, "target": {"id": "got"}},
        {"type": "click", "target": {"text": "no {{secret:SHOP_PASSWORD}}"}, "timeoutMs": 100},
    ]
    run, error = await failure(pool, {"BASE_URL": shop.url, "steps": steps})
    said = run.said() + error.message
    for hidden in ("s3cret", "Wert", "typed-pass"):
        assert hidden not in said
    assert "user=***" in error.message
    assert any("pw=%" in path or "pw=typed-pass" in path for path in shop.asked), "the page itself got it"
    run, result = await do(pool, {"BASE_URL": shop.url, "steps": steps[:6]})
    assert result == {"echo": "***", "field": "***", "direct": "is ***"}


async def test_pictures_show_no_secret_wherever_the_page_repeats_it(pool, shop):
    steps = [
        {"type": "navigate", "url": "/form"},
        {"type": "input", "target": {"label": "User"}, "value": "{{row.password}}"},
        {"type": "screenshot", "name": "typed"},
        {"type": "click", "target": {"text": "Send"}},
        {"type": "wait_for", "url": "/done"},
        {"type": "screenshot", "name": "sent", "fullPage": True},
    ]
    one, other, seen = [
        (await do(pool, {"BASE_URL": shop.url, "steps": steps, "row": {"password": value}}))[0].blobs
        for value in ("first-secret", "other-SECRET", "x" * 40)
    ]
    for name in ("typed.png", "sent.png"):
        assert one[name].startswith(PNG)
        assert one[name] == other[name] == seen[name], name


async def test_an_unknown_template_ends_the_run_by_its_name(pool, shop):
    for template in ("{{row.none}}", "{{secret:PATH}}", "{{os.environ}}", "{{vars.__class__}}"):
        steps = [{"type": "output", "value": template, "onError": "continue"}]
        _, error = await failure(pool, {"BASE_URL": f"{shop.url}/detail?n=1", "steps": steps})
        assert template in error.message
        assert (error.code, error.retryable) == ("UNKNOWN_TEMPLATE", False)


async def test_a_click_goes_on_in_the_tab_that_it_opens(pool, shop):
    for target in ({"id": "tab"}, {"text": "Popup"}):
        steps = [{"type": "click", "target": target}, {"type": "extract", "name": "h", "target": {"css": "h2"}}]
        _, result = await do(pool, {"BASE_URL": f"{shop.url}/shop", "steps": steps})
        assert result["h"].startswith("Detail")


async def test_targets_in_frames_are_found(pool, shop):
    steps = [{"type": "extract", "name": "h", "target": {"css": "h2", "frame": "#f"}}]
    _, result = await do(pool, {"BASE_URL": f"{shop.url}/frames", "steps": steps})
    assert result == {"h": "Detail 5"}


@pytest.mark.parametrize(
    ("step", "code"),
    [
        ({"type": "custom", "name": "x"}, "UNSUPPORTED_CUSTOM_ACTION"),
        ({"type": "upload", "target": {"id": "q"}, "value": "1/none.txt"}, "NO_SUCH_FILE"),
        ({"type": "navigate", "url": "file:///etc/passwd"}, "INVALID_URL"),
        ({"type": "navigate", "url": "javascript:alert(1)"}, "INVALID_URL"),
        ({"type": "click", "target": {"css": "##"}}, "INVALID_SELECTOR"),
        ({"type": "press", "key": "NoSuchKey"}, "STEP_FAILED"),
    ],
)
async def test_what_can_not_be_done_says_so(pool, shop, step, code):
    _, error = await failure(pool, {"BASE_URL": f"{shop.url}/shop", "steps": [step]})
    assert error.code == code
    assert error.message.startswith(f"steps[0] {step['type']}")


async def test_without_steps_the_page_is_read(pool, shop):
    _, result = await do(pool, {"BASE_URL": f"{shop.url}/shop"})
    assert (result["title"], result["url"], result["status"]) == ("Shop", f"{shop.url}/shop", 200)
    assert "Lamp 1" in result["text"]
    assert {"text": "Lamp 2", "url": f"{shop.url}/detail?n=2"} in result["links"]
    assert "truncated" not in result
    _, result = await do(pool, {"BASE_URL": f"{shop.url}/many"})
    assert (len(result["links"]), result["truncated"]) == (10_000, {"links": 10_020})
    _, result = await do(pool, {"BASE_URL": f"{shop.url}/missing"})
    assert (result["status"], result["text"]) == (404, "gone")


async def test_a_run_without_steps_says_what_its_summary_leaves_out(pool, shop, monkeypatch):
    monkeypatch.setattr("scraper.page_reading.MAX_LINKS", 2)
    monkeypatch.setattr("scraper.page_reading.MAX_TEXT", 10)
    _, result = await do(pool, {"BASE_URL": f"{shop.url}/shop"})
    assert len(result["links"]) == 2
    assert len(result["text"]) == 10
    assert result["truncated"]["links"] > 2
    assert result["truncated"]["text"] > 10


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({}, "steps"),
        ({"BASE_URL": "ftp://x"}, "BASE_URL"),
        ({"BASE_URL": 7}, "BASE_URL"),
        ({"BASE_URL": "http://x", "adsPowerId": "10.1.1.1"}, "浏览器id"),
        ({"BASE_URL": "http://x", "adsPowerId": 7}, "adsPowerId"),
        ({"BASE_URL": "http://x", "screenshots": "all"}, "screenshots"),
        ({"BASE_URL": "http://x", "browserId": "a\nb"}, "browserId"),
        ({"BASE_URL": "http://x", "row": "text"}, "row"),
        ({"BASE_URL": "http://x", "browser": {"timezone": "Mars"}}, "browser.timezone"),
        ({"steps": [{"type": "click"}], "sortedData": [{}]}, "steps"),
    ],
)
async def test_wrong_parameters_are_named_before_a_browser_starts(parameters, field):
    from scraper.executors.rpa import parse_rpa

    with pytest.raises(InvalidParameters) as caught:
        parse_rpa(parameters)
    assert caught.value.field == field


async def test_recorded_events_run_with_the_rows_values(pool, shop):
    events = [
        {"type": "navigation", "url": f"{shop.url}/find"},
        {"type": "input", "element": {"tagName": "INPUT", "id": "q", "name": "q", "label": ""}, "value": "keyword"},
        {"type": "keydown", "key": "Enter", "code": "Enter"},
        {"type": "navigation", "url": f"{shop.url}/search?q=recorded"},
        {"type": "output", "element": {"tagName": "H2", "leixing": "title"}, "value": "recorded text"},
        {"type": "scroll", "distance": 100, "direction": "down"},
    ]
    shop.asked.clear()
    events[4]["element"]["className"] = ""
    events[4]["element"]["innerText"] = "Found smartphone"
    _, result = await do(pool, {"sortedData": events, "row": {"keyword": "smartphone"}})
    assert result == {"title": "Found smartphone"}
    assert [path for path in shop.asked if path.startswith("/search")] == ["/search?q=smartphone"]


async def test_a_recorded_navigation_that_enter_did_not_cause_is_made(pool, shop):
    events = [
        {"type": "input", "element": {"tagName": "INPUT", "id": "q"}, "value": "x"},
        {"type": "keydown", "key": "Enter"},
        {"type": "navigation", "url": "/detail?n=3"},
        {"type": "loop_new", "loopEvents": [{"type": "navigation", "url": "where"}]},
        {"type": "output", "element": {"tagName": "H2", "innerText": "Detail 3", "leixing": "t"}},
    ]
    shop.asked.clear()
    rows = [{"where": "/detail?n=1"}, {"where": "/detail?n=2"}]
    _, result = await do(pool, {"BASE_URL": f"{shop.url}/shop", "sortedData": events, "row": rows})
    assert result == {"t": "Detail 3"}
    assert [path for path in shop.asked if "detail" in path] == ["/detail?n=3", "/detail?n=1", "/detail?n=2"]
