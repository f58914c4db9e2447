"""Result items are there exactly once, whatever happens to the worker that emits them."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import cell as cells
import pytest
from trawl.scheduler.v1 import runs_pb2

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]
PAGES, PER_PAGE = 60, 10
PAGE_SECONDS = 0.05


class Site(BaseHTTPRequestHandler):
    """List pages, each with a link to the next, a little slow so that there is time to kill somebody."""

    def do_GET(self) -> None:
        """Serve one page."""
        number = int(parse_qs(urlsplit(self.path).query).get("page", ["0"])[0])
        items = "".join(f"<li class=item><b>{number * PER_PAGE + index}</b></li>" for index in range(PER_PAGE))
        following = f"<a class=next href='/list?page={number + 1}'>next</a>" if number + 1 < PAGES else ""
        body = f"<html><body><ul>{items}</ul>{following}</body></html>".encode()
        time.sleep(PAGE_SECONDS)
        self.send_response(404 if self.path == "/robots.txt" else 200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[str]:
    """The site's address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_scrape_that_is_killed_twice_and_loses_its_store_has_every_item_once(site: str, tmp_path: Path) -> None:
    """The attempts after a kill go on from the checkpoint; nothing is missing, nothing is there twice."""
    definition = {
        "start_urls": [f"{site}/list?page=0"],
        "render": "http",
        "items": {"select": {"css": "li.item"}, "fields": {"n": {"css": "b", "type": "integer"}}},
        "next": {"css": "a.next"},
    }
    with cells.running_cell(tmp_path) as cell:
        task = cell.create_task("walk", "scrape", parameters=json.dumps(definition).encode(), retry_count=10)
        run_id = cell.start_run(task)
        for victim, items in (("scraper", 80), ("mongodb", 200), ("scraper", 350)):
            await_items(cell, run_id, items)
            cell.restart(victim)
        run = cell.await_run(run_id, seconds=120)
        assert run.status == runs_pb2.RUN_STATUS_COMPLETED, run.error_message
        assert run.attempt == 3
        stored = [json.loads(item.data_json)["n"] for item in cell.items(run_id)]
        assert sorted(stored) == list(range(PAGES * PER_PAGE))
        result = json.loads(run.result_json)
        assert result["stop_reason"] == "finished"


def await_items(cell: cells.Cell, run_id: int, count: int) -> None:
    """Return when the run has reported at least so many items."""
    until = time.monotonic() + 90
    while cell.run(run_id).item_count < count:
        assert time.monotonic() < until, cell.run(run_id)
        time.sleep(0.05)
