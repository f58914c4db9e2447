"""What an attempt stores through its context: an item that can't be stored costs itself."""

from pathlib import Path

from chassis.settings import ServiceSettings
from chassis.stores import mongo_client, mongo_database
from executor_kit import context_of
from pydantic import SecretStr
from scraper.blobs import LocalBlobs
from scraper.executor import Item
from scraper.mongo_results import Results
from scraper.run_context import Context


async def test_an_item_that_can_not_be_stored_costs_itself_and_is_counted(
    mongodb_uri: str, mongodb_prefix: str, tmp_path: Path
) -> None:
    settings = ServiceSettings(mongodb_uri=SecretStr(mongodb_uri), mongodb_prefix=mongodb_prefix)
    client = mongo_client(settings)
    try:
        results = Results(mongo_database(client, settings, "scraper"))
        await results.prepare()
        context = Context(context_of("scrape").job, results, LocalBlobs(tmp_path))
        items = [Item({"n": n}, key=str(n)) for n in range(300)]
        items[7] = Item({"n": 48151623424815162342481516}, key="7")
        items[150] = Item({"n": {"a", "set"}}, key="150")
        await context.emit(items)
        await context.complete()
        rows, count = await results.find(context.job.run_id, data_type="", offset=0, limit=400)
    finally:
        client.close()
    assert count == 299
    assert {row["data"]["n"] for row in rows} == {*range(300)} - {7, 150} | {"48151623424815162342481516"}
    problems = context.result({"items": 299})["problems"]
    assert [(one["what"], one["where"], one["count"]) for one in problems] == [
        ("value_changed", "n", 1),
        ("item_left_out", "items", 1),
    ]
    assert context.result({"items": 299, "problems": problems})["problems"] == problems
