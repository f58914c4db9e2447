"""Result items are there exactly once, whatever happens to the worker that emits them."""

import contextlib
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
# Leaves from this one on are only served once the first kill is over.
GATED = 30


class Server(ThreadingHTTPServer):
    gate: threading.Event


class Site(BaseHTTPRequestHandler):
    """List pages, each with a link to the next, a little slow so that there is time to kill somebody; and a page with
    links to leaves.
    """

    server: Server

    def do_GET(self) -> None:
        """Serve one page."""
        parts = urlsplit(self.path)
        number = int(parse_qs(parts.query).get("page", ["0"])[0])
        if parts.path == "/leaf" and number >= GATED:
            self.server.gate.wait(120)
        items = "".join(f"<li class=item><b>{number * PER_PAGE + index}</b></li>" for index in range(PER_PAGE))
        following = f"<a class=next href='/list?page={number + 1}'>next</a>" if number + 1 < PAGES else ""
        if parts.path == "/leaves":
            items, following = "", "".join(f"<a class=leaf href='/leaf?page={leaf}'>leaf</a>" for leaf in range(PAGES))
        body = f"<html><body><ul>{items}</ul>{following}</body></html>".encode()
        time.sleep(PAGE_SECONDS)
        self.send_response(404 if self.path == "/robots.txt" else 200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):  # who asked may have been killed
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """One site."""
    server = Server(("127.0.0.1", 0), Site)
    server.gate = threading.Event()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()


def definition(server: Server, path: str, **more: object) -> bytes:
    """What to scrape of a site."""
    parts = {
        "start_urls": [f"http://127.0.0.1:{server.server_port}{path}"],
        "render": "http",
        "items": {"select": {"css": "li.item"}, "fields": {"n": {"css": "b", "type": "integer"}}},
    }
    return json.dumps(parts | more).encode()


def test_scrapes_that_are_killed_twice_and_lose_their_store_have_every_item_once(tmp_path: Path) -> None:
    """A chain of lists and a crawl at once: the attempts after a kill go on from the checkpoint; nothing is missing,
    nothing is there twice.
    """
    with (
        serving() as lists,
        serving() as leaves,
        cells.running_cell(tmp_path) as cell,
    ):
        chain = definition(lists, "/list?page=0", next={"css": "a.next"})
        walk = cell.start_run(cell.create_task("walk", "scrape", parameters=chain, retry_count=10))
        over_links = definition(leaves, "/leaves", crawl={"links": {"css": "a.leaf"}}, page_seconds=120)
        crawl = cell.start_run(cell.create_task("crawl", "scrape", parameters=over_links, retry_count=10))
        for victim, items in (("scraper", 80), ("mongodb", 200), ("scraper", 350)):
            await_items(cell, walk, items)
            if not leaves.gate.is_set():
                await_items(cell, crawl, GATED * PER_PAGE // 3)
            cell.restart(victim)
            leaves.gate.set()
        for run_id, attempts in ((walk, {3}), (crawl, {2, 3})):
            run = cell.await_run(run_id, seconds=120)
            assert run.status == runs_pb2.RUN_STATUS_COMPLETED, run.error_message
            assert run.attempt in attempts
            stored = [json.loads(item.data_json)["n"] for item in cell.items(run_id)]
            assert sorted(stored) == list(range(PAGES * PER_PAGE))
            assert json.loads(run.result_json)["stop_reason"] == "finished"


def await_items(cell: cells.Cell, run_id: int, count: int) -> None:
    """Return when the run has reported at least so many items."""
    until = time.monotonic() + 90
    while cell.run(run_id).item_count < count:
        assert time.monotonic() < until, cell.run(run_id)
        time.sleep(0.05)
