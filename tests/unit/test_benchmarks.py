"""The benchmarks' pure parts: statistics, tables, the page, which stage a sample belongs to."""

import json
from pathlib import Path

import pytest
from scraper.documents import parse_document
from scraper.scrape_definition import read_definition
from scraper.scrape_plan import PagePlan

from benchmarks import crawlers, page_site, show, stages, statistics
from benchmarks.report import Bars, Goal, Report, Table, markdown_table, paragraphs, shown
from benchmarks.trawl_system import program_name


def test_a_percentile_is_one_of_the_values_and_not_exceeded_by_its_share() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert statistics.percentile(values, 50) == 50
    assert statistics.percentile(values, 99) == 99
    assert statistics.percentile(values, 100) == 100
    assert statistics.percentile([7.0], 99) == 7
    assert statistics.percentile([1.0, 2.0, 3.0], 50) == 2


def test_a_percentile_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no values"):
        statistics.percentile([], 50)


def test_latencies_are_told_in_milliseconds() -> None:
    assert statistics.latency_ms([0.001, 0.002, 0.004]) == {"p50_ms": 2.0, "p99_ms": 4.0, "samples": 3}


def test_medians_keep_the_shape_and_leave_out_what_a_round_lacks() -> None:
    rounds = [
        {"rate": 10, "cpu": {"gateway": 1.0, "redis": 5.0}, "name": "x"},
        {"rate": 30, "cpu": {"gateway": 3.0}, "name": "x"},
        {"rate": 11, "cpu": {"gateway": 2.0, "redis": 6.0}, "name": "x"},
    ]
    assert statistics.medians(rounds) == {"rate": 11, "cpu": {"gateway": 2.0}}


def test_what_is_new_grew_from_nought() -> None:
    assert statistics.difference({"a": 1.0, "gone": 9.0}, {"a": 3.0, "new": 2.0}) == {"a": 2.0, "new": 2.0}


def test_a_ratio_to_nought_is_none() -> None:
    assert statistics.ratio(3, 2) == 1.5
    assert statistics.ratio(3, 0) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), ("x", "x"), (0, "0"), (0.0, "0"), (12345.6, "12,346"), (99.44, "99.4"), (1.005, "1.00"),
     (0.0314, "0.031"), (-2.5, "-2.50"), (7, "7")],
)  # fmt: skip
def test_figures_are_shown_with_the_digits_that_matter(value: float | str | None, text: str) -> None:
    assert shown(value) == text


def test_a_markdown_table_sets_figures_right_and_escapes_bars() -> None:
    table = Table("t", ("system", "a|b"), [["Trawl", 1200], ["other", None]])
    assert markdown_table(table).splitlines() == [
        "| system | a\\|b |",
        "|---|---:|",
        "| Trawl | 1,200 |",
        "| other | – |",
    ]


def test_a_goal_is_met_on_its_own_side_of_the_limit() -> None:
    assert Goal("rate", 2.0, 2.0, at_least=True).met
    assert not Goal("rate", 1.9, 2.0, at_least=True).met
    assert Goal("cost", 1.2, 1.2).met
    assert not Goal("cost", 1.3, 1.2).met


def test_paragraphs_lose_their_line_breaks_only() -> None:
    assert paragraphs("one\ntwo\n\nthree\n") == ["one two", "three"]


def _report() -> Report:
    return Report(
        "sample", "A sample", {"rounds": 3}, [Table("medians", ("", "runs"), [["Trawl", 2]])],
        [Bars("runs", "per second", {"Trawl": 2.0})], [Goal("runs", 2, 1, at_least=True)], ["A note."], {"raw": [1, 2]},
    )  # fmt: skip


MACHINE = {"cores": 2, "memory_gb": 4.0, "python": "3.11.2", "packages": {"grpcio": "1.0"}}


def test_a_report_survives_being_kept() -> None:
    kept = json.loads(json.dumps(_report().to_json(MACHINE, "2020-01-02")))
    assert Report.of_json(kept).to_json(MACHINE, "2020-01-02") == kept


def test_rendering_replaces_what_is_between_the_marks_and_nothing_else(tmp_path: Path) -> None:
    page, kept = tmp_path / "page.md", tmp_path / "kept"
    kept.mkdir()
    page.write_text(f"before\n{show.BEGIN}\nold\n{show.END}\nafter\n")
    show.render_page(page, kept)
    assert page.read_text() == f"before\n{show.BEGIN}\n{show.NOTHING}\n{show.END}\nafter\n"
    (kept / "sample.json").write_text(json.dumps(_report().to_json(MACHINE, "2020-01-02")))
    show.render_page(page, kept)
    first = page.read_text()
    assert first.startswith(f"before\n{show.BEGIN}\n### A sample\n")
    assert first.endswith(f"A note.\n{show.END}\nafter\n")
    assert "![A sample](performance/sample.png)" in first
    assert "| runs | 2 | at least 1 | met |" in first
    show.render_page(page, kept)
    assert page.read_text() == first


def test_a_page_without_marks_is_refused_and_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("no marks here\n")
    with pytest.raises(ValueError, match="results: begin"):
        show.render_page(page, tmp_path)
    assert page.read_text() == "no marks here\n"


def _sample(*frames: str, thread: int = 1, count: int = 1) -> stages.Sample:
    (sample,) = stages.parse(f"thread ({thread}): MainThread;{';'.join(frames)} {count}")
    return sample


MAIN = "run_service (/srv/trawl/libs/chassis/chassis/run.py:74)"


@pytest.mark.parametrize(
    ("process", "frames", "stage"),
    [
        ("gateway", ["Edge.__call__ (/srv/trawl/services/gateway/gateway/edge.py:78)"], stages.GATEWAY),
        ("gateway", ["run_asgi (/v/lib/python3.11/site-packages/uvicorn/protocols/http/h.py:1)"], stages.GATEWAY),
        ("gateway", ["Backend._send (/srv/trawl/services/gateway/gateway/backend.py:1)"], stages.GRPC),
        ("scheduler", ["call (/srv/trawl/libs/chassis/chassis/grpc_server.py:4)"], stages.GRPC),
        ("scheduler", ["StartRuns._build (/srv/trawl/services/scheduler/scheduler/start_runs.py:4)"], stages.ACCEPT),
        ("scheduler", ["Events.publish_all (/srv/trawl/libs/chassis/chassis/events.py:9)"], stages.PUBLISH),
        ("scraper", ["Events.publish_all (/srv/trawl/libs/chassis/chassis/events.py:9)"], stages.END),
        ("scheduler", ["send (/v/lib/python3.11/site-packages/nats/aio/client.py:9)"], stages.PUBLISH),
        ("scraper", ["parse (/v/lib/python3.11/site-packages/nats/protocol/parser.py:9)"], stages.CLAIM),
        ("scraper", ["Worker._claim (/srv/trawl/services/scraper/scraper/worker.py:9)"], stages.CLAIM),
        ("scraper", ["NoopExecutor.run (/srv/trawl/services/scraper/scraper/executors/noop.py:9)"], stages.EXECUTE),
        ("scheduler", ["LiveRuns.claim (/srv/trawl/services/scheduler/scheduler/redis_runs.py:9)"], stages.REDIS),
        ("scheduler", ["Archive.add (/srv/trawl/services/scheduler/scheduler/mongo_runs.py:9)"], stages.ARCHIVE),
        ("scheduler", ["FinishRuns._apply (/srv/trawl/services/scheduler/scheduler/finish_runs.py:9)"], stages.END),
        ("scheduler", [], stages.LOOP),
        ("redis", [], stages.REDIS),
        ("mongodb", [], stages.ARCHIVE),
    ],
)
def test_a_sample_belongs_to_the_stage_of_its_innermost_telling_frame(
    process: str, frames: list[str], stage: str
) -> None:
    assert stages.stage_of(process, _sample(MAIN, *frames)) == stage


def test_the_project_s_innermost_frame_counts_more_than_the_library_below_it() -> None:
    sample = _sample(
        MAIN,
        "StartRuns.start (/srv/trawl/services/scheduler/scheduler/start_runs.py:4)",
        "Archive.add (/srv/trawl/services/scheduler/scheduler/mongo_runs.py:9)",
        "sendall (/v/lib/python3.11/site-packages/pymongo/network_layer.py:4)",
    )
    assert str(stages.key_frame(sample)) == "scheduler.mongo_runs:Archive.add"


def test_the_stubs_are_modules_below_trawl() -> None:
    sample = _sample("x (/srv/trawl/protos/gen/trawl/scheduler/v1/runs_pb2.py:4)")
    assert str(stages.key_frame(sample)) == "trawl.scheduler.v1.runs_pb2:x"


def test_lines_that_are_no_samples_are_left_out() -> None:
    assert stages.parse("\nnot a sample\n12\n") == []


def test_each_thread_s_time_is_shared_out_by_its_own_samples() -> None:
    loop = _sample(MAIN, thread=1, count=3)
    redis = _sample(MAIN, "run (/srv/services/scheduler/scheduler/redis_runs.py:1)", thread=1, count=1)
    asleep = _sample("wait (/v/lib/python3.11/site-packages/pymongo/pool.py:1)", thread=2, count=400)
    spent = {1: 8.0, 2: 0.0, 3: 0.5}
    found = stages.seconds_by_stage("scheduler", [loop, redis, asleep], spent)
    assert found == {stages.REDIS: 2.0, stages.LOOP: 6.0, stages.OTHER: 0.5}
    assert stages.seconds_by_stage("redis", [], {0: 1.5}) == {stages.REDIS: 1.5}


def test_the_busiest_functions_come_first() -> None:
    loop = _sample(MAIN, count=3)
    redis = _sample(MAIN, "run (/srv/services/scheduler/scheduler/redis_runs.py:1)", count=1)
    assert stages.busiest("scheduler", [redis, loop], {1: 4.0}, 5) == [
        (stages.LOOP, "event loop and native code", 3.0),
        (stages.REDIS, "scheduler.redis_runs:run", 1.0),
    ]


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["/usr/sbin/nats-server", "-c", "nats.conf"], "nats"),
        (["redis-server 127.0.0.1:20001"], "redis"),
        (["/v/bin/python", "-P", "-m", "trawl_local.mongo_standin", "--port", "1"], "mongodb"),
        (["/v/bin/python", "-P", "-m", "worker_registry"], "worker-registry"),
        (["/v/bin/python", "-P", "-m", "scheduler"], "scheduler"),
        (["/usr/bin/chromium", "--type=renderer"], ""),
        ([], ""),
    ],
)
def test_a_program_of_the_stack_is_known_by_its_command_line(command: list[str], name: str) -> None:
    assert program_name(command) == name


def test_the_pages_benchmark_checks_what_its_site_serves() -> None:
    """Its definition reads from a product's page the row that counts as right, and another product's doesn't."""
    plan = PagePlan(read_definition(crawlers.definition("http://h", render="http", concurrency=4)))
    for number in (0, 7, 999):
        page = parse_document(page_site.product_page(number), url="http://h/lamp", content_type="text/html")
        row = plan.read("detail", page)[0].data
        assert page_site.is_right(number, row)
        assert not page_site.is_right(number + 1, row)
    assert page_site.page_count(1_000) == 1_050
    assert page_site.page_count(21) == 23
