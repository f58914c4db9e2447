"""Which definitions the scraper refuses before any run has them, and which it lets wait for a trigger."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import orjson
import pytest
from chassis.grpc_server import GrpcServer
from scrape_kit import page_readers
from scraper.definition_checks import definition_checks
from scraper.grpc_definitions import DefinitionApi
from trawl.scraper.v1 import definitions_pb2 as pb
from trawl.scraper.v1 import definitions_pb2_grpc

ITEMS = {"fields": {"name": {"css": "h1"}}}
CLICK = {"type": "click", "target": {"css": "#buy"}}


@pytest.fixture
async def definitions(tmp_path: Path) -> AsyncIterator[Any]:
    server = GrpcServer("127.0.0.1", 0)
    (tmp_path / "there.py").write_text("print()")
    api = DefinitionApi(definition_checks(page_readers(), tmp_path))
    server.add(definitions_pb2_grpc.add_DefinitionServiceServicer_to_server, api)
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub: Any = definitions_pb2_grpc.DefinitionServiceStub(channel)
        yield stub
    await server.stop()


async def problem_of(definitions: Any, executor: str, parameters: Any) -> str:
    request = pb.CheckDefinitionRequest(executor=executor, parameters_json=orjson.dumps(parameters))
    answer = await definitions.CheckDefinition(request, timeout=60)
    assert answer.checked
    return "".join(f"{one.path}: {one.message}" for one in answer.problems)


@pytest.mark.parametrize(
    ("executor", "parameters", "problem"),
    [
        ("scrape", {"items": ITEMS, "limit": {}}, "limit: there is no such field; did you mean 'limits'?"),
        ("scrape", {}, "items: Field required"),
        ("scrape", {"items": {"fields": {"n": {"css": "a[["}}}}, "items.fields.n.css: 'a[['"),
        ("scrape", {"items": {"fields": {"n": {"regex": "("}}}}, "items.fields.n.regex: '('"),
        ("scrape", {"items": ITEMS, "start_urls": ["ftp://h/"]}, "start_urls[0]: "),
        ("scrape", {"items": ITEMS, "limits": {"pages": "many"}}, "limits.pages: "),
        ("scrape", {"items": ITEMS, "steps": [{"type": "clik"}]}, "steps[0].type: "),
        ("scrape", {"items": ITEMS, "detail": {"follow": "x", "fields": ITEMS["fields"]}}, "detail.follow: 'x' is not"),
        ("rpa", {"steps": [{"type": "clik"}]}, "steps[0].type: "),
        ("rpa", {"steps": "click"}, "steps: "),
        ("rpa_base", {"steps": [{"type": "hover", "target": {"css": "a"}}]}, "steps[0]: hover needs a browser"),
    ],
)
async def test_definitions_that_no_run_could_use_are_refused_with_a_path(
    definitions: Any, executor: str, parameters: Any, problem: str
) -> None:
    assert (await problem_of(definitions, executor, parameters)).startswith(problem)


@pytest.mark.parametrize(
    ("executor", "parameters"),
    [
        ("scrape", {"items": ITEMS}),
        ("scrape", {"items": ITEMS, "crawl": {"sitemap": ["http://h/sitemap.xml"]}}),
        ("rpa", {"steps": [CLICK]}),
        ("rpa", {"row": {"keyword": "lamp"}}),
        ("rpa_base", {"BASE_URL": "http://h/"}),
    ],
)
async def test_definitions_may_leave_to_a_trigger_what_is_missing(
    definitions: Any, executor: str, parameters: Any
) -> None:
    assert await problem_of(definitions, executor, parameters) == ""


async def test_definitions_of_executors_without_one_are_not_checked(definitions: Any) -> None:
    assert not (await definitions.CheckDefinition(pb.CheckDefinitionRequest(executor="shell"), timeout=60)).checked


@pytest.mark.parametrize("raw", [b"{", b"[1]", b"\xff", b'{"a": NaN}'])
async def test_definitions_that_are_no_json_object_are_an_error_of_the_caller(definitions: Any, raw: bytes) -> None:
    request = pb.CheckDefinitionRequest(executor="scrape", parameters_json=raw)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await definitions.CheckDefinition(request, timeout=60)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("command", "arguments", "problem"),
    [
        ("bulbs", [], "command: is no address: write http://bulbs/"),
        ("ftp://shop.example/", [], "command: 'ftp://shop.example/' is not an http or https URL"),
        ("http://shop.example:70000/", [], "command: 'http://shop.example:70000/' is not a URL"),
        ("http:///list", [], "command: 'http:///list' names no host"),
        ("http://a b.example/", [], "command: 'http://a b.example/' names no host"),
        ("http://shop.example/", ["-X"], "arguments[0]: -X needs a value"),
        ("http://shop.example/", ["GET", "-H", "no colon"], "arguments[1]: --header 'no colon'"),
        ("shop.example/list", ["-L"], ""),
        ("localhost:8080", [], ""),
        ("{{url}}", ["-X", "{{method}}"], ""),
        ("", [], ""),
    ],
)
async def test_http_tasks_have_an_address_and_options_that_can_be_read(
    definitions: Any, command: str, arguments: list[str], problem: str
) -> None:
    request = pb.CheckDefinitionRequest(executor="http", command=command, arguments=arguments)
    problems = (await definitions.CheckDefinition(request, timeout=60)).problems
    assert "".join(f"{one.path}: {one.message}" for one in problems).startswith(problem)
    assert bool(problems) == bool(problem)
    assert all(one.of_task for one in problems)


@pytest.mark.parametrize(("command", "doubt"), [("not-there.py", "command"), ("there.py", ""), ("{{which}}.py", "")])
async def test_a_script_that_is_not_there_yet_is_doubtful(definitions: Any, command: str, doubt: str) -> None:
    request = pb.CheckDefinitionRequest(executor="python", command=command)
    answer = await definitions.CheckDefinition(request, timeout=60)
    assert not answer.problems
    assert "".join(one.path for one in answer.warnings) == doubt
