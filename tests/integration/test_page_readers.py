"""Pages are read in processes that end when they must, and take nothing else with them."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from executor_kit import until
from scrape_kit import page_readers
from scraper.executor import ExecutorError, InvalidParameters
from scraper.http_page_reader import HttpPageReader
from scraper.page_reader import MAX_PAGES
from scraper.page_readers import PageReaders, RunReader
from scraper.reading import Source
from scraper.scrape_definition import read_definition
from scraper.scrape_reads import LISTS, Plan
from scraper.scrape_state import digest_of
from scraper.step_error import StepError, TargetMissingError

PAGE = Source("http://h/", b"<title>T</title><p>one</p><p>two</p>", "text/html")
ENDLESS = "count(//*[" * 40 + "true()" + "])" + " > 0])" * 39


def reader_of(readers: PageReaders, **field: Any) -> RunReader:
    fields = {"a": field or {"css": "p"}}
    plan = Plan(read_definition({"start_urls": ["http://h/"], "items": {"fields": fields}}))
    return RunReader(readers, plan.parts(), digest_of(plan.parts()))


async def read(reader: RunReader, source: Source = PAGE) -> Any:
    return (await reader.read(source, LISTS, look=False)).read.items[0].data["a"]


def has_ended(pid: int) -> bool:
    """Whether the process is gone, or waits for nothing but to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


async def test_page_readers_that_are_killed_cost_the_page_they_had() -> None:
    readers = PageReaders(1)
    try:
        reader = reader_of(readers)
        assert await read(reader) == "one"
        process = readers._free[0]._process
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(ExecutorError) as caught:
            await read(reader)
        assert caught.value.code == "READER_ENDED"
        assert await read(reader) == "one"
    finally:
        readers.close()


async def test_page_readers_give_no_page_the_answer_of_one_that_was_cancelled() -> None:
    readers = page_readers()
    slow = "".join(f"<p><i>{n}</i></p>" for n in range(3000))
    expensive = reader_of(readers, xpath="string(count(//p[count(//p[i > ../p[1]/i]) > 1]))")
    task = asyncio.create_task(read(expensive, Source("http://h/slow", slow.encode(), "text/html")))
    await until(lambda: bool(readers._busy))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [await read(reader_of(readers)) for _ in range(3)] == ["one"] * 3


async def test_page_readers_refuse_a_selector_whose_compilation_does_not_end() -> None:
    """It is tried on a page of two elements when it is compiled, and even that can take for ever."""
    with pytest.raises(InvalidParameters, match="items: the selectors cost too much"):
        await reader_of(page_readers(page_seconds=0.5), xpath=ENDLESS).check()


async def test_page_readers_name_the_place_of_a_selector_that_is_wrong() -> None:
    with pytest.raises(InvalidParameters) as caught:
        await reader_of(page_readers(), xpath="//a[").check()
    assert caught.value.field == "items.fields.a.xpath"
    assert caught.value.message.startswith("items.fields.a.xpath: '//a[' is not an XPath")


async def test_page_readers_keep_a_page_for_the_questions_of_a_run_and_take_it_again_when_it_is_forgotten() -> None:
    readers = page_readers()
    pages = [
        HttpPageReader(readers, Source(f"http://h/{n}", f"<title>t{n}</title><p>p{n}</p>".encode(), "text/html"))
        for n in range(MAX_PAGES + 3)
    ]
    for _ in range(2):
        for n, page in enumerate(pages):
            _, _, found = await page.find([{"css": "p"}], None)
            assert await page.ask("texts", elements=found) == [f"p{n}"]
            assert await page.ask("title") == f"t{n}"
    with pytest.raises(TargetMissingError, match="no target found; tried css 'i'"):
        await pages[0].find([{"css": "i"}], None)


async def test_page_readers_tell_pages_apart_that_differ_in_address_or_encoding_alone() -> None:
    """Long addresses that begin alike bring the same bytes: their links lead to different places."""
    readers = page_readers()
    start = "http://h/" + "long/" * 20
    body = "<p>é</p><a href='next'>on</a>".encode()
    pages = [HttpPageReader(readers, Source(f"{start}{name}/", body, "text/html; charset=utf-8")) for name in "ab"]
    for name, page in zip("ab", pages, strict=True):
        _, _, found = await page.find([{"css": "a"}], None)
        assert await page.ask("link", element=found[0]) == f"{start}{name}/next"
    other = HttpPageReader(readers, Source(f"{start}a/", body, "text/html; charset=utf-8", charset="windows-1252"))
    _, _, found = await other.find([{"css": "p"}], None)
    assert await other.ask("texts", elements=found) == ["Ã©"]


async def test_page_readers_end_a_step_whose_selector_does_not_end_and_no_other_run() -> None:
    readers = page_readers(page_seconds=0.5)
    page, other = (HttpPageReader(readers, Source(f"http://h/{n}", PAGE.body, "text/html")) for n in range(2))
    with pytest.raises(StepError) as caught:
        await page.find([{"xpath": ENDLESS}], None)
    assert (caught.value.code, caught.value.fatal) == ("PAGE_COSTS_TOO_MUCH", True)
    assert await other.ask("title") == "T"


async def test_page_readers_end_with_their_parent() -> None:
    """The parent is killed while a page of it is being read: nobody could ask the reader to end."""
    program = """
import asyncio, os, signal
from integration.test_page_readers import *
async def main():
    readers = PageReaders(1, 600)
    asyncio.create_task(read(reader_of(readers, xpath=ENDLESS)))
    await until(lambda: bool(readers._busy))
    print(next(iter(readers._busy))._process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    path = os.pathsep.join(one for one in sys.path if one)
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        check=False,
        timeout=120,
    )
    assert done.returncode == -signal.SIGKILL
    reader = int(done.stdout)
    await until(lambda: has_ended(reader))
