"""Files that pages bring, in a real Chromium: what counts as one, how it is bounded, and how it is named in the run."""

import asyncio
import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from executor_kit import serve
from integration.browser_kit import do, pool_in, until
from scraper import file_catch, page_downloads
from scraper.browser import BrowserPool
from scraper.executor import ExecutorError

pytestmark = pytest.mark.asyncio(loop_scope="module")

PDF = b"%PDF-1.4\n%%EOF"
START = """<h1>Tides</h1><a id=pdf href=/chart>Chart</a><a id=text href=/note>Note</a><a id=moved href=/moved>Moved</a>
<a id=tab target=_blank href=/chart>Tab</a><button id=window onclick="window.open('/chart')">Window</button>
<form method=post target=_blank action=/made><input name=q value=7><button id=post>Make</button></form>
<a id=later href=/later>Later</a><a id=marked download href=/chart>Save</a><iframe name=inner src=/blank></iframe>
<a id=framed target=inner href=/chart>Framed</a><a id=blob download=made.csv>Blob</a><a id=page href=/later/page>
Page</a><script>blob.href = URL.createObjectURL(new Blob(['a,b\\n'], {type: 'text/csv'}))</script>"""


class Endless:
    """Sends until nobody takes it any more."""

    def __init__(self) -> None:
        self.cut = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        kind = {"Content-Type": "application/zip"}
        if "named" in request.query:
            kind["Content-Disposition"] = "attachment; filename=all.zip"
        response = web.StreamResponse(headers=kind)
        await response.prepare(request)
        try:
            while True:
                await response.write(bytes(64 * 1024))
        except ConnectionError:
            self.cut.set()
            raise


async def _made(request: web.Request) -> web.Response:
    body = f"{request.method} {await request.text()} {request.headers.get('Content-Type')}".encode()
    return web.Response(body=body, content_type="application/pdf")


async def _moved(_: web.Request) -> web.Response:
    raise web.HTTPFound("/sheet?n=1")


async def _sheet(request: web.Request) -> web.Response:
    headers = {"Content-Disposition": "attachment; filename*=UTF-8''%E6%BD%AE.csv"}
    return web.Response(text=f"sheet {request.query['n']}", content_type="text/csv", headers=headers)


async def _packed(_: web.Request) -> web.Response:
    headers = {"Content-Encoding": "gzip", "Content-Disposition": "attachment"}
    return web.Response(body=gzip.compress(b"packed" * 100), content_type="text/csv", headers=headers)


async def _short(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/zip", "Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b"half")
    assert request.transport is not None
    request.transport.close()
    return response


async def _long(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/zip", "Content-Length": "99000000"})
    await response.prepare(request)
    return response


def _bytes(body: bytes, kind: str) -> object:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type=kind)

    return answer


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def endless():
    return Endless()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site(endless):
    routes = {
        "/start": START, "/blank": "<p>blank</p>", "/chart": _bytes(PDF, "application/pdf"), "/made": _made,
        "/note": _bytes("Ebbe, Flut: grün".encode(), "text/plain"), "/moved": _moved, "/sheet": _sheet,
        "/later": "<p>soon</p><script>location = '/sheet?n=2'</script>", "/later/page": "<p>only a page</p>",
        "/packed": _packed, "/short": _short, "/long": _long, "/endless": endless.answer,
    }  # fmt: skip
    async with serve(routes) as base:
        yield base


@dataclass
class Lab:
    """A browser pool and the site that its runs begin at."""

    pool: BrowserPool
    site: str
    work_dir: Path

    def on_disk(self) -> list[Path]:
        return [path for path in self.work_dir.glob("browsers/*/downloads/*") if path.is_file()]

    async def run(self, *steps, **parameters):
        return await do(self.pool, {"BASE_URL": f"{self.site}/start", "steps": list(steps), **parameters})

    async def download(self, step):
        step = {"type": "download", "timeoutMs": 120_000, **step}
        return await self.run(step, screenshots="never")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def lab(tmp_path_factory, site):
    work_dir = tmp_path_factory.mktemp("work")
    pool = pool_in(work_dir, slots=2)
    yield Lab(pool, site, work_dir)
    await pool.close()


@pytest.mark.parametrize(
    ("step", "name", "sent"),
    [
        ({"target": {"id": "pdf"}}, "chart.pdf", ("application/pdf", PDF)),
        ({"target": {"id": "text"}}, "note.txt", ("text/plain", "Ebbe, Flut: grün".encode())),
        ({"target": {"id": "tab"}}, "chart.pdf", ("application/pdf", PDF)),
        ({"target": {"id": "window"}}, "chart.pdf", ("application/pdf", PDF)),
        ({"target": {"id": "framed"}}, "chart.pdf", ("application/pdf", PDF)),
        ({"target": {"id": "marked"}}, "chart.pdf", ("application/pdf", PDF)),
        ({"target": {"id": "moved"}}, "潮.csv", ("text/csv", b"sheet 1")),
        ({"target": {"id": "later"}}, "潮.csv", ("text/csv", b"sheet 2")),
        ({"target": {"id": "blob"}}, "made.csv", ("text/csv", b"a,b\n")),
        (
            {"target": {"id": "post"}}, "made.pdf", ("application/pdf", b"POST q=7 application/x-www-form-urlencoded")
        ),
        ({"url": "/chart"}, "chart.pdf", ("application/pdf", PDF)),
        ({"url": "/packed"}, "packed.csv", ("text/csv", b"packed" * 100)),
    ],
)  # fmt: skip
async def test_what_is_no_page_is_a_file_however_it_comes(lab, step, name, sent):
    kind, data = sent
    run, result = await lab.download(step)
    digest = hashlib.sha256(data).hexdigest()
    kept = result["download"]
    assert kept == {"file": kept["file"], "name": name, "bytes": len(data), "type": kind, "sha256": digest}
    assert run.blobs == {kept["file"]: data}
    assert lab.on_disk() == []


async def test_the_page_stays_where_it_was(lab):
    steps = [
        {"type": "download", "target": {"id": "pdf"}},
        {"type": "download", "target": {"id": "tab"}},
        {"type": "extract", "name": "title", "target": {"css": "h1"}},
        {"type": "switch_tab", "timeoutMs": 50, "onError": "continue"},
    ]
    run, result = await lab.run(*steps)
    assert result["title"] == "Tides"
    assert run.trace["steps"][-1]["code"] == "TARGET_NOT_FOUND", "the tab of the second is closed"


async def test_a_tab_that_is_being_closed_counts_no_longer(lab, monkeypatch):
    monkeypatch.setattr(file_catch, "CLEAN_SECONDS", 0)
    steps = [
        {"type": "download", "target": {"id": "tab"}},
        {"type": "switch_tab", "timeoutMs": 50, "onError": "continue"},
    ]
    run, _ = await lab.run(*steps)
    assert run.trace["steps"][-1]["code"] == "TARGET_NOT_FOUND"


@pytest.mark.parametrize(
    ("step", "code", "words"),
    [
        ({"url": "/short"}, "STEP_FAILED", "the file ended after 4 of 1000 bytes"),
        ({"url": "/long"}, "FILE_TOO_LARGE", "the file has 99000000 bytes, more than 52428800"),
        (
            {"target": {"id": "page"}, "timeoutMs": 6000},
            "STEP_TIMEOUT",
            "no file came in time; the last answer was 200",
        ),
        ({"target": {"id": "none"}, "timeoutMs": 300}, "TARGET_NOT_FOUND", "id 'none'"),
        ({"url": "http://no-such-host.invalid/"}, "NAVIGATION_FAILED", "the host name can't be resolved"),
    ],
)
async def test_a_file_that_does_not_come_whole_fails_the_step(lab, step, code, words):
    with pytest.raises(ExecutorError) as caught:
        await lab.download(step)
    assert caught.value.code == code
    assert words in caught.value.message
    assert lab.on_disk() == []


@pytest.mark.parametrize("query", ["", "?named"])
async def test_a_file_without_end_is_cut_while_it_comes(lab, endless, monkeypatch, query):
    monkeypatch.setattr(page_downloads, "MAX_FILE_BYTES", 2_000_000)
    endless.cut.clear()
    with pytest.raises(ExecutorError) as caught:
        await lab.download({"url": f"/endless{query}"})
    assert caught.value.code == "FILE_TOO_LARGE"
    assert "the file has more than 2000000 bytes" in caught.value.message
    await until(endless.cut.is_set, 60)
    assert lab.on_disk() == []


async def test_a_blob_that_is_too_large_is_not_kept(lab, monkeypatch):
    monkeypatch.setattr(page_downloads, "MAX_FILE_BYTES", 3)
    with pytest.raises(ExecutorError) as caught:
        await lab.download({"target": {"id": "blob"}})
    assert "the file has 4 bytes, more than 3" in caught.value.message
    await until(lambda: lab.on_disk() == [], 60)


async def test_names_are_filled_in_and_no_file_takes_another_ones_place(lab):
    inner = [
        {"type": "download", "url": "/sheet?n={{row.n}}", "name": "tide {{row.place}}"},
        {"type": "download", "url": "/sheet?n={{row.n}}"},
        {"type": "screenshot", "name": "at {{row.place}}"},
        {"type": "extract", "name": "title {{row.place}}", "target": {"css": "h1"}},
    ]
    rows = [{"n": 1, "place": "Oban"}, {"n": 2, "place": "礁"}]
    run, result = await lab.run({"type": "loop", "rows": True, "steps": inner}, row=rows)
    assert [result[name]["bytes"] for name in ("tide Oban", "tide 礁")] == [7, 7]
    assert (result["title Oban"], result["title 礁"]) == ("Tides", "Tides")
    files = [result["tide Oban"], result["tide 礁"], *result["download"]]
    assert [run.blobs[one["file"]] for one in files] == [b"sheet 1", b"sheet 2", b"sheet 1", b"sheet 2"]
    assert "at-Oban.png" in run.blobs
    items = [item.data for item in run.items if "sha256" in item.data]
    assert [one["file"] for one in items] == [files[0]["file"], files[2]["file"], files[1]["file"], files[3]["file"]]
