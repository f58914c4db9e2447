"""The pipeline's task types through the whole system, against the stand-ins of the scholarly services."""

import contextlib
import json
import shlex
import shutil
import signal
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cell as cells
import psutil
import pytest
import stores
from trawl.scheduler.v1 import runs_pb2

SECONDS = 180.0
SOURCES = ("semantic_scholar", "arxiv", "openalex", "crossref")
EVERYTHING = "error"  # a word of every abstract


@dataclass
class Lab:
    """A cell with its gateway, the scholarly services beside it, and a gate in front of Tesseract."""

    cell: cells.Cell
    services: str
    gate: Path
    ocr_calls: Path
    projects: int = 0

    def new_project(self) -> int:
        """An id that no test has used."""
        self.projects += 1
        return self.projects

    def call(self, method: str, url: str, body: Any = None) -> tuple[int, Any]:
        """(status, JSON) of one request."""
        data = json.dumps(body).encode() if body is not None else (b"{}" if method != "GET" else None)
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def start(self, kind: str, project: int, **params: Any) -> int:
        """An accepted task's id."""
        body = {"project_id": project, "task_type": kind, "params": params}
        status, answer = self.call("POST", f"{self.cell.pipeline}/tasks", body)
        assert (status, answer["code"]) == (201, 201), answer
        return int(answer["data"]["id"])

    def task(self, task_id: int) -> dict[str, Any]:
        """The task in full."""
        status, answer = self.call("GET", f"{self.cell.pipeline}/tasks/{task_id}")
        assert status == 200, answer
        shown: dict[str, Any] = answer["data"]
        return shown

    def wait(self, task_id: int, *statuses: str) -> dict[str, Any]:
        """The task once it has one of the statuses; by default, once it has ended."""
        wanted = statuses or ("completed", "failed", "cancelled")
        until = time.monotonic() + SECONDS
        while (shown := self.task(task_id))["status"] not in wanted:
            assert time.monotonic() < until, shown
            time.sleep(0.05)
        return shown

    def run(self, kind: str, project: int, **params: Any) -> dict[str, Any]:
        """The result of a task that completes."""
        shown = self.wait(self.start(kind, project, **params))
        assert shown["status"] == "completed", shown
        assert shown["progress"] == shown["total"], shown
        result: dict[str, Any] = shown["result"]
        return result

    def papers(self, project: int) -> list[dict[str, Any]]:
        """All papers of a project."""
        status, answer = self.call("GET", f"{self.cell.pipeline}/projects/{project}/papers?limit=1000")
        assert status == 200, answer
        listed: list[dict[str, Any]] = answer["data"]
        return listed

    def search(self, project: int, words: str) -> list[dict[str, Any]]:
        """What the project's index finds."""
        url = f"{self.cell.pipeline}/projects/{project}/search?q={urllib.parse.quote(words)}"
        status, answer = self.call("GET", url)
        assert status == 200, answer
        found: list[dict[str, Any]] = answer["data"]
        return found

    def misbehave(self, source: str, **fault: Any) -> None:
        """Make a service misbehave, or well again."""
        status, answer = self.call("PUT", f"{self.services}/_faults/{source}", fault)
        assert status == 200, answer

    def asked(self, source: str) -> int:
        """How often a service was asked."""
        return len(self.call("GET", f"{self.services}/_log")[1][source]["requests"])

    def starts(self) -> list[int]:
        """At which byte files were asked for."""
        listed: list[int] = self.call("GET", f"{self.services}/_log")[1]["files"]["starts"]
        return listed

    def truth(self) -> Any:
        """What the corpus knows."""
        return self.call("GET", f"{self.services}/_truth")[1]

    def work_of(self, paper: dict[str, Any]) -> Any:
        """The corpus' work behind a paper."""
        truth = self.truth()
        source = paper["sources"][0]
        return truth["works"][str(truth["records"][f"{source['source']}:{source['id']}"])]

    def until(self, condition: Callable[[], Any]) -> None:
        """Wait until it holds."""
        until = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < until
            time.sleep(0.02)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One system for all tests of this module."""
    folder = tmp_path_factory.mktemp("lab")
    gate, calls, wrapper = folder / "closed", folder / "calls", folder / "tesseract"
    real = shutil.which("tesseract")
    assert real, "tesseract is needed for the tests: install tesseract-ocr"
    wrapper.write_text(
        f"#!/bin/sh\necho called >> {shlex.quote(str(calls))}\n"
        f"while test -e {shlex.quote(str(gate))}; do sleep 0.05; done\n"
        f'exec {shlex.quote(real)} "$@"\n'
    )
    wrapper.chmod(0o755)
    calls.touch()
    port = stores.free_port()
    command = [sys.executable, "-m", "simulators.scholar", "--port", str(port), "--pace", "0", "--works", "300"]
    services = stores.Program("scholar", command, port, folder, {"PYTHONPATH": str(Path.cwd())})
    base = f"http://127.0.0.1:{port}"
    environment = {
        "SEMANTIC_SCHOLAR_BASE_URL": base, "ARXIV_BASE_URL": base, "OPENALEX_BASE_URL": f"{base}/openalex",
        "CROSSREF_BASE_URL": f"{base}/crossref", "SCHOLAR_TIMEOUT_SECONDS": "300", "PATIENCE_SECONDS": "0.5",
        "TESSERACT_PATH": str(wrapper), "LEASE_SECONDS": "8", "HEARTBEAT_SECONDS": "1.5",
        "CRAWL_INTERVAL_SECONDS": "0.01", "PROCESS_SLOTS": "8",
    } | {f"{source.upper()}_INTERVAL_SECONDS": "0.01" for source in SOURCES}  # fmt: skip
    try:
        services.start()
        with cells.running_cell(folder, *cells.ALL, "gateway", **environment) as cell:
            yield Lab(cell, base, gate, calls)
    finally:
        services.kill()


def children_of(run_id: int) -> list[psutil.Process]:
    """Living processes that carry the run's mark."""
    found = []
    for process in psutil.process_iter():
        try:
            if f":{run_id}:" in process.environ().get("TRAWL_RUN", "") and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def workers_of(run_id: int) -> list[psutil.Process]:
    """Those of them that do the work; the wrapper around each is what passes a kill on."""
    found = []
    for process in children_of(run_id):
        with contextlib.suppress(psutil.Error):
            if "scraper.paper_child" in process.cmdline()[:4]:
                found.append(process)
    return found


def test_from_search_to_the_words_of_a_scanned_page(lab: Lab) -> None:
    """Words that stand only in a page's picture are found; every type run twice changes nothing; others see nothing."""
    project, neighbour = lab.new_project(), lab.new_project()
    first = lab.run("search", project, query="traffic forecasting", limit=200)
    assert first["imported"] == first["papers_found"] > 5
    assert first["errors"] == {}
    again = lab.run("search", project, query="traffic forecasting", limit=200)
    assert (again["papers_found"], again["imported"]) == (first["papers_found"], 0)
    merged = lab.run("dedup", project)
    assert merged["merged"] > 0
    assert merged["remaining"] == first["imported"] - merged["merged"]
    assert lab.run("dedup", project) == {"groups": 0, "merged": 0, "remaining": merged["remaining"]}
    # What dedup has merged away does not come back.
    assert lab.run("search", project, query="traffic forecasting", limit=200)["imported"] == 0
    papers = lab.papers(project)
    assert len(papers) == merged["remaining"]
    scanned = next(paper for paper in papers if paper["pdf_url"] and lab.work_of(paper)["pdf"] == "mixed")
    ids = [scanned["id"]]
    assert lab.run("crawl", project, paper_ids=ids)["downloaded"] == 1
    assert lab.run("crawl", project, paper_ids=ids)["skipped"] == 1
    read = lab.run("ocr", project, paper_ids=ids)
    assert (read["pages"], read["ocr_pages"], read["failed"]) == (2, 1, 0)
    calls = lab.ocr_calls.read_text()
    assert lab.run("ocr", project, paper_ids=ids) == read
    assert lab.ocr_calls.read_text() == calls
    indexed = lab.run("index", project)
    assert indexed["indexed"] == len(papers)
    assert indexed["terms"] > 50
    assert lab.run("index", project) == indexed | {"changed": 0}
    secret = lab.work_of(scanned)["secret"]
    hits = lab.search(project, f'"{secret}"')
    assert [hit["id"] for hit in hits] == ids
    assert f"<em>{secret}</em>" in hits[0]["highlights"]["body"]
    assert lab.search(neighbour, secret) == []
    assert lab.papers(neighbour) == []
    terms = lab.run("keyword_expand", project, keywords=["traffic forecasting"], limit=10)["keywords"]
    assert 3 <= len(terms) <= 10
    assert terms == lab.run("keyword_expand", project, keywords=["traffic forecasting"], limit=10)["keywords"]


def test_sources_that_are_down_lie_or_talk_rubbish_are_reported_and_harm_nobody(lab: Lab) -> None:
    project = lab.new_project()
    lab.misbehave("semantic_scholar", kind="down")
    lab.misbehave("openalex", kind="rubbish")
    lab.misbehave("crossref", kind="total")
    try:
        result = lab.run("search", project, query="traffic forecasting", limit=100)
        assert set(result["errors"]) == {"semantic_scholar", "openalex", "crossref"}
        assert "status 500" in result["errors"]["semantic_scholar"]
        assert "not JSON" in result["errors"]["openalex"]
        assert "98765" in result["errors"]["crossref"]
        assert result["by_source"]["arxiv"]["found"] > 0
        assert result["by_source"]["crossref"]["imported"] > 0
        assert result["by_source"]["semantic_scholar"]["found"] == 0
        lab.misbehave("crossref", kind="repeat")
        result = lab.run("search", project, query=EVERYTHING, limit=300, sources=["crossref", "arxiv"])
        assert "again and again" in result["errors"]["crossref"]
    finally:
        for source in SOURCES:
            lab.misbehave(source)


def test_when_every_source_fails_the_task_fails_and_says_why(lab: Lab) -> None:
    lab.misbehave("arxiv", kind="rubbish")
    try:
        parameters = {"project_id": lab.new_project(), "query": "traffic forecasting", "sources": ["arxiv"]}
        task = lab.cell.create_task("fails", "search", parameters=json.dumps(parameters).encode(), retry_count=0)
        shown = lab.wait(lab.cell.start_run(task))
        assert shown["status"] == "failed"
        assert "arxiv: the answer is not" in shown["error_message"]
        assert shown["result"] is None
    finally:
        lab.misbehave("arxiv")


def test_a_pause_that_a_source_asks_for_parks_the_task_and_holds_back_every_other(lab: Lab) -> None:
    lab.misbehave("openalex", kind="limit", seconds=3, times=1)
    before = lab.asked("openalex")
    first = lab.start("search", lab.new_project(), query="traffic forecasting", sources=["openalex"])
    lab.until(lambda: lab.asked("openalex") == before + 1)
    second = lab.start("search", lab.new_project(), query="traffic forecasting", sources=["openalex"])
    for task in (first, second):
        assert lab.wait(task)["status"] == "completed"
    refused_at, *later = lab.call("GET", f"{lab.services}/_log")[1]["openalex"]["requests"][before:]
    assert len(later) >= 2
    assert min(later) - refused_at > 2.5
    # It went on in another attempt, from its checkpoint.
    assert lab.cell.run(first).attempt == 2


@pytest.mark.parametrize("kind", ["search", "crawl"])
def test_a_task_that_waits_for_a_slow_host_is_cancelled_within_two_seconds(lab: Lab, kind: str) -> None:
    project = lab.new_project()
    lab.run("search", project, query="traffic forecasting", limit=100, sources=["semantic_scholar"])
    slow = "arxiv" if kind == "search" else "files"
    lab.misbehave(slow, kind="slow", seconds=300)
    try:
        before = lab.asked(slow)
        params = {"query": "traffic forecasting", "sources": ["arxiv"]} if kind == "search" else {}
        task = lab.start(kind, project, **params)
        lab.until(lambda: lab.asked(slow) > before)
        cancel_in_time(lab, task)
    finally:
        lab.misbehave(slow)


@pytest.mark.parametrize("kind", ["dedup", "index", "keyword_expand", "ocr"])
def test_a_task_whose_child_process_hangs_is_cancelled_within_two_seconds(lab: Lab, kind: str) -> None:
    """However busy or stuck the child is, nothing of it is left."""
    project = lab.new_project()
    lab.run("search", project, query="traffic forecasting", limit=30, sources=["semantic_scholar"])
    if kind == "ocr":
        lab.run("crawl", project)
    task = lab.start(kind, project, **({"keywords": ["traffic"]} if kind == "keyword_expand" else {}))
    lab.until(lambda: workers_of(task))
    for process in workers_of(task):
        process.send_signal(signal.SIGSTOP)
    cancel_in_time(lab, task)
    assert children_of(task) == []


def cancel_in_time(lab: Lab, task: int) -> None:
    """Cancel a running task; the answer, which waits for the proof, comes within two seconds."""
    status, answer = lab.call("POST", f"{lab.cell.pipeline}/tasks/{task}/cancel")
    assert (status, answer) == (200, {"code": 200, "message": "Task cancelled", "data": None})
    assert lab.task(task)["status"] == "cancelled"
    stop = lab.cell.run(task).stop
    # Two seconds, on a machine that has nothing else to do.
    assert stop.stopped_ms - stop.requested_ms < 10_000
    status, answer = lab.call("POST", f"{lab.cell.pipeline}/tasks/{task}/cancel")
    assert (status, answer["code"], answer["data"]) == (400, 400, None)


def test_a_killed_workers_search_crawl_and_ocr_go_on_where_they_were(lab: Lab) -> None:
    """The page, the PDFs and the page of text before the kill are not had again, nor the bytes of half a PDF."""
    project = lab.new_project()
    lab.run("search", project, query="traffic forecasting", limit=30, sources=["semantic_scholar"])
    papers = [paper for paper in lab.papers(project) if paper["pdf_url"]]
    scanned = next(paper["id"] for paper in papers if lab.work_of(paper)["pdf"] == "scanned")
    fetched = [paper["id"] for paper in papers if lab.work_of(paper)["pdf"] in ("text", "mixed")][:2]
    lab.run("crawl", project, paper_ids=[scanned])
    before, calls = lab.asked("semantic_scholar"), lab.ocr_calls.read_text().count("called")
    files = len(lab.starts())
    lab.misbehave("semantic_scholar", kind="slow", seconds=300, pages=1)
    lab.misbehave("files", kind="stall", seconds=300, pages=1)
    try:
        search = lab.start("search", project, query=EVERYTHING, sources=["semantic_scholar"], limit=1000)
        crawl = lab.start("crawl", project, paper_ids=fetched)
        lab.until(lambda: lab.asked("semantic_scholar") >= before + 2)
        parts = lab.cell.directory / "blobs" / f"papers-{project}"
        lab.until(lambda: any(part.stat().st_size for part in parts.glob("*.download")))
        ocr = lab.start("ocr", project, paper_ids=[scanned])
        lab.until(lambda: lab.task(ocr)["progress"] >= 1)
        lab.gate.touch()
        lab.until(lambda: lab.ocr_calls.read_text().count("called") >= calls + 2)
        for task in (search, crawl, ocr):
            lab.until(lambda task=task: 0 < lab.task(task)["progress"] < lab.task(task)["total"])
        lab.cell.programs["scraper"].kill()
    finally:
        lab.misbehave("semantic_scholar")
        lab.misbehave("files")
        lab.gate.unlink(missing_ok=True)
    lab.cell.programs["scraper"].start()
    read = lab.wait(ocr)
    assert (read["status"], read["result"]["ocr_pages"]) == ("completed", 2), read
    # Each attempt after the first reads the second page, and no other.
    assert lab.ocr_calls.read_text().count("called") <= calls + 1 + lab.cell.run(ocr).attempt
    found = lab.wait(search)
    assert found["status"] == "completed", found
    assert found["result"]["papers_found"] == found["result"]["by_source"]["semantic_scholar"]["total"] > 100
    # The first page and the second before the kill; the second again, and none besides.
    assert lab.asked("semantic_scholar") <= before + 1 + lab.cell.run(search).attempt
    assert lab.wait(crawl)["result"]["downloaded"] == 2
    starts = lab.starts()[files:]
    assert starts.count(0) <= 2 < len(starts), starts
    assert lab.run("ocr", project, paper_ids=fetched)["failed"] == 0
    assert list(parts.glob("*.download*")) == []


def hold(lab: Lab, kind: str, project: int, params: Callable[[int], dict[str, Any]]) -> int:
    """A task whose child process is stopped in the middle; one that was too quick is followed by another."""
    for number in range(20):
        task = lab.start(kind, project, **params(number))
        ended = ("completed", "failed", "cancelled")
        while not (children := workers_of(task)) and lab.task(task)["status"] not in ended:
            pass
        for process in children:
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGSTOP)
        if children and lab.task(task)["status"] not in ended:
            return task
    raise AssertionError(f"{kind} could not be held")


def hold_in_second_slice(lab: Lab, project: int) -> int:
    """A rebuild of the index whose child process is stopped when one slice is in it and another is not."""
    for _ in range(20):
        task = lab.start("index", project, rebuild=True)
        while (shown := lab.task(task))["status"] in ("pending", "running"):
            if not 200 <= shown["progress"] < shown["total"]:
                continue
            children = workers_of(task)
            for process in children:
                with contextlib.suppress(psutil.Error):
                    process.send_signal(signal.SIGSTOP)
            if children and [process.pid for process in workers_of(task)] == [process.pid for process in children]:
                shown = lab.task(task)
                if shown["status"] == "running" and shown["progress"] < shown["total"]:
                    return task
            for process in children:
                with contextlib.suppress(psutil.Error):
                    process.send_signal(signal.SIGCONT)
    raise AssertionError("index could not be held")


def test_a_killed_workers_dedup_index_and_keywords_are_done_once(lab: Lab) -> None:
    """Papers that were in the new index before the kill are not indexed again; nothing is merged twice or left."""
    project, other = lab.new_project(), lab.new_project()
    for one in (project, other):
        assert lab.run("search", one, query=EVERYTHING, limit=1000)["imported"] > 300
    dedup = hold(lab, "dedup", project, lambda number: {"threshold": 0.9 + number / 1000})
    terms = hold(lab, "keyword_expand", project, lambda _: {"keywords": ["traffic forecasting"]})
    lab.until(lambda: lab.task(dedup)["progress"] > 0)
    lab.until(lambda: lab.task(terms)["progress"] > 0)
    index = hold_in_second_slice(lab, other)
    lab.cell.programs["scraper"].kill()
    lab.cell.programs["scraper"].start()
    for task in (dedup, terms, index):
        shown = lab.wait(task)
        assert (shown["status"], shown["progress"]) == ("completed", shown["total"]), shown
    assert len(lab.wait(terms)["result"]["keywords"]) > 3
    assert lab.wait(index)["result"]["documents"] == shown["total"] == len(lab.papers(other))
    already = [line for line in lab.cell.logs(index) if "are in the index already" in line]
    assert int(already[-1].split()[0]) >= 200, already
    assert lab.search(other, "traffic")
    left = len(lab.papers(project))
    assert lab.wait(dedup)["result"]["remaining"] == left
    assert lab.run("dedup", project, threshold=0.9)["remaining"] <= left
    of_record = lab.truth()["records"]
    sources = [paper["sources"][0] for paper in lab.papers(project)]
    works = [of_record[f"{one['source']}:{one['id']}"] for one in sources]
    # Each work is there once, but for what the rules can't tell.
    assert len(works) <= 1.02 * len(set(works))
    assert lab.run("dedup", project, threshold=0.9) == {"groups": 0, "merged": 0, "remaining": len(works)}


def test_a_pdf_whose_line_breaks_is_gone_on_with(lab: Lab) -> None:
    project = lab.new_project()
    lab.run("search", project, query=EVERYTHING, sources=["openalex"], limit=100)
    paper = next(one["id"] for one in lab.papers(project) if one["pdf_url"] and lab.work_of(one)["pdf"] == "text")
    before = len(lab.starts())
    lab.misbehave("files", kind="cut", times=3)
    try:
        result = lab.run("crawl", project, paper_ids=[paper])
    finally:
        lab.misbehave("files")
    assert (result["downloaded"], result["failures"]) == (1, [])
    starts = lab.starts()[before:]
    assert len(starts) == 4
    assert starts == sorted(set(starts))
    assert lab.run("ocr", project, paper_ids=[paper])["failed"] == 0


def test_tasks_of_a_project_are_listed_whatever_contract_started_them(lab: Lab) -> None:
    project = lab.new_project()
    own = lab.start("dedup", project)
    parameters = json.dumps({"project_id": project, "keywords": ["traffic"]}).encode()
    task = lab.cell.create_task("from another contract", "keyword_expand", parameters=parameters)
    other = lab.cell.start_run(task)
    # As an internal service does, over gRPC.
    start = runs_pb2.StartRun(
        inline=runs_pb2.TaskDefinition(name="pipeline.crawl", task_type="crawl", executor="crawl"),
        parameters_json=json.dumps({"project_id": project}).encode(), contract="pipeline",
    )  # fmt: skip
    answer = lab.cell.runs.StartRuns(runs_pb2.StartRunsRequest(runs=[start]), timeout=60)
    internal = int(answer.results[0].run.spec.run_id)
    for run in (own, other, internal):
        assert lab.wait(run)["status"] == "completed"
    url = f"{lab.cell.pipeline}/tasks?project_id={project}"
    lab.until(lambda: len(lab.call("GET", f"{url}&status=completed")[1]["data"]) == 3)
    listed = lab.call("GET", url)[1]["data"]
    assert [(entry["id"], entry["task_type"]) for entry in listed] == [
        (internal, "crawl"), (other, "keyword_expand"), (own, "dedup")
    ]  # fmt: skip
    assert lab.task(other)["params"] == {"keywords": ["traffic"]}
    everything = lab.call("GET", f"{lab.cell.pipeline}/tasks?limit=2")[1]["data"]
    assert [entry["id"] for entry in everything] == [internal, other]


def test_a_pdf_that_is_none_and_one_that_robots_forbid_are_reported(lab: Lab) -> None:
    project = lab.new_project()
    lab.run("search", project, query=EVERYTHING, sources=["openalex"], limit=100)
    papers = lab.papers(project)
    kinds = {lab.work_of(paper)["pdf"]: paper["id"] for paper in papers if paper["pdf_url"]}
    wanted = {kind: kinds[kind] for kind in ("private", "html", "missing", "text")}
    result = lab.run("crawl", project, paper_ids=list(wanted.values()))
    assert (result["downloaded"], result["failed"]) == (1, 3)
    reasons = {entry["paper_id"]: entry["reason"] for entry in result["failures"]}
    assert "robots.txt" in reasons[wanted["private"]]
    assert "no PDF" in reasons[wanted["html"]]
    assert "404" in reasons[wanted["missing"]]


def test_parameters_that_no_edge_has_checked_fail_the_task_at_once(lab: Lab) -> None:
    run = lab.cell.await_run(lab.cell.start_run(lab.cell.create_task("no project", "ocr")))
    assert (run.error_code, run.attempt) == ("INVALID_PARAMETERS", 1)
    assert "project_id" in run.error_message
    parameters = json.dumps({"project_id": lab.new_project(), "paper_ids": ["0" * 24]}).encode()
    run = lab.cell.await_run(lab.cell.start_run(lab.cell.create_task("unknown", "crawl", parameters=parameters)))
    assert (run.error_code, run.attempt) == ("INVALID_PARAMETERS", 1)
    assert "paper_ids" in run.error_message
