"""keyword_expand against a local server that speaks the shape of OpenAI-compatible endpoints, well and badly."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import redis.asyncio as aioredis
from aiohttp import web
from executor_kit import RecordingContext, context_of, fetching, serve
from scraper.executor import ExecutorError, Parked
from scraper.keyword_endpoint import Endpoint
from scraper.paper_expand import ExpandRun
from scraper.pipeline_params import KeywordParams
from scraper.redis_rates import Rates

KEY = "not-a-real-key"


def said(content: Any) -> web.Response:
    """A chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    return web.json_response({"id": "1", "object": "chat.completion", "choices": [choice], "usage": {}})


@dataclass
class Model:
    """The server: what it was asked, and what it is to say in turn, the last for ever."""

    answers: list[Callable[[], web.Response]] = field(default_factory=list)
    asked: list[tuple[Any, str]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((await request.json(), request.headers.get("Authorization", "")))
        make = self.answers[min(len(self.asked), len(self.answers)) - 1]
        answer = make()
        if answer.headers.get("X-Slow"):
            await asyncio.sleep(600)
        return answer


@asynccontextmanager
async def expanding(
    redis_url: str, model: Model, *, checkpoint: Any = None, seconds: float = 60, limit: int = 3
) -> AsyncIterator[tuple[ExpandRun, RecordingContext]]:
    """A run that asks the model."""
    client = aioredis.Redis.from_url(redis_url)
    await client.flushdb()
    context = context_of("pipeline_keyword_expand", checkpoint=checkpoint)
    params = KeywordParams(project_id=1, keywords=["Graph networks"], limit=limit)
    async with (
        serve({"/v1/chat/completions": model.handle}) as base,
        fetching() as fetcher,
        fetcher.session() as session,
    ):
        endpoint, rates = Endpoint(f"{base}/v1", KEY, "a-model", seconds), Rates(client, patience_seconds=2)
        # Who has an endpoint needs no papers.
        nothing = cast("Any", None)
        yield (
            ExpandRun(context, params, papers=nothing, bench=nothing, session=session, endpoint=endpoint, rates=rates),
            context,
        )
    await client.aclose()


async def test_the_endpoint_is_asked_in_its_shape_and_its_terms_are_ranked_and_cleaned(redis_url: str) -> None:
    content = (
        'Here you are:\n```json\n[{"keyword": "message\\u0000 passing", "score": 0.7}, {"keyword": "GCN", "score": 7},'
        ' {"keyword": "graph NETWORKS", "score": 1}, "node embedding", {"keyword": "gcn"}, {"score": 1}, 5,'
        ' {"keyword": "attention", "score": -1}]\n```'
    )
    model = Model([lambda: said(content)])
    async with expanding(redis_url, model) as (run, context):
        result = await run.run()
    assert result == {
        "origin": "endpoint",
        "keywords": [
            {"keyword": "GCN", "score": 1.0},
            {"keyword": "message passing", "score": 0.7},
            {"keyword": "node embedding", "score": 0.5},
        ],
    }
    asked, authorization = model.asked[0]
    assert (asked["model"], asked["messages"][0]["role"], authorization) == ("a-model", "user", f"Bearer {KEY}")
    assert "Graph networks" in asked["messages"][0]["content"]
    assert context.steps[0][:2] == (0, 1)
    assert context.steps[-1][:2] == (1, 1)


async def test_an_answer_that_was_paid_for_is_not_asked_for_again(redis_url: str) -> None:
    """A run that was killed after the answer finds it in its checkpoint."""
    model = Model([lambda: said('["one"]')])
    async with expanding(redis_url, model) as (run, context):
        first = await run.run()
    async with expanding(redis_url, model, checkpoint=context.checkpoints[-1]) as (run, _):
        assert await run.run() == first
    assert len(model.asked) == 1


@pytest.mark.parametrize(
    ("answer", "message", "asked"),
    [
        (lambda: web.json_response({"error": {"message": "bad key"}}, status=401), "status 401: bad key", 1),
        (lambda: web.Response(status=500, text="<html>oops"), "status 500", 3),
        (lambda: web.Response(text="<html>Welcome to the hotel network"), "no JSON array", 3),
        (lambda: web.json_response({"choices": []}), "no JSON array", 3),
        (lambda: said(None), "no JSON array", 3),
        (lambda: said("I can't help with that."), "no JSON array", 3),
        (lambda: said('["cut off'), "no JSON array", 3),
        (lambda: web.json_response({"choices": "x" * 1_100_000}), "more than", 3),
        (lambda: web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}), "status 302", 1),
        (lambda: web.Response(headers={"X-Slow": "1"}), "within 1.5 s", 3),
    ],
)
async def test_what_an_endpoint_does_wrong_fails_the_run_and_is_said(
    redis_url: str, answer: Callable[[], web.Response], message: str, asked: int
) -> None:
    """After as many tries as can help; the key is not in the message."""
    model = Model([answer])
    async with expanding(redis_url, model, seconds=1.5 if "within" in message else 60) as (run, _):
        with pytest.raises(ExecutorError) as caught:
            await run.run()
    assert caught.value.code == "ENDPOINT_FAILED"
    assert message in caught.value.message
    assert KEY not in caught.value.message
    assert len(model.asked) == asked


async def test_a_failure_that_passes_is_tried_again_and_a_pause_is_kept(redis_url: str) -> None:
    model = Model(
        [
            lambda: web.Response(status=502),
            lambda: web.json_response({}, status=429, headers={"Retry-After": "1"}),
            lambda: said('["one"]'),
        ]
    )
    async with expanding(redis_url, model) as (run, _):
        result = await run.run()
    assert json.dumps(result["keywords"]) == '[{"keyword": "one", "score": 0.5}]'
    assert len(model.asked) == 3


async def test_a_long_pause_parks_the_run(redis_url: str) -> None:
    model = Model([lambda: web.json_response({}, status=429, headers={"Retry-After": "60"})])
    async with expanding(redis_url, model) as (run, _):
        with pytest.raises(Parked):
            await run.run()
    assert len(model.asked) == 1
