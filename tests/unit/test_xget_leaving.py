"""Whoever stops reading an export stops the work behind it, and nothing of it is left."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from chassis.errors import Exhausted
from gateway.exchange import Call, ClientGone
from gateway.xget.download import Download
from scraper.exports import MAX_AT_ONCE, Exports


class Endless:
    """A collection whose second page never comes."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def stream(self, task_id: int) -> AsyncIterator[list[dict[str, Any]]]:
        """One page, then nothing."""
        try:
            yield [{"_id": "000000000001:k00", "data": {"a": 1}, "created_ms": 1_000}]
            await asyncio.Event().wait()
        finally:
            self.left.set()


@pytest.mark.parametrize("kind", ["ndjson", "csv", "parquet", "xlsx"])
async def test_a_closed_export_leaves_neither_work_nor_files(tmp_path: Path, kind: str) -> None:
    collection = Endless()
    pieces = Exports(collection, tmp_path / "exports").export(1, kind)  # type: ignore[arg-type]
    await anext(pieces)
    following = asyncio.ensure_future(anext(pieces))
    await asyncio.sleep(0)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await pieces.aclose()
    if kind == "ndjson":
        assert collection.left.is_set()
    assert not list((tmp_path / "exports").glob("*"))


async def test_one_export_more_than_may_run_is_refused_until_another_ends(tmp_path: Path) -> None:
    exports = Exports(Endless(), tmp_path)  # type: ignore[arg-type]
    running = [exports.export(1, "json") for _ in range(MAX_AT_ONCE)]
    for pieces in running:
        await anext(pieces)
    with pytest.raises(Exhausted):
        await anext(exports.export(1, "json"))
    await running[0].aclose()
    again = exports.export(1, "json")
    assert await anext(again) == b'{"data":['
    for pieces in (again, *running[1:]):
        await pieces.aclose()


def call_of(receive: Any) -> Call:
    return Call({"trawl.headers": {}, "trawl.request_id": "r"}, receive)


async def test_a_client_that_leaves_closes_the_source() -> None:
    closed, gone = asyncio.Event(), asyncio.Event()

    async def source() -> AsyncGenerator[bytes, None]:
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            closed.set()

    messages: list[Any] = [{"type": "http.request", "body": b""}]

    async def receive() -> Any:
        if messages:
            return messages.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)
        if message.get("body"):
            gone.set()

    answer = await Download.begin(call_of(receive), source())
    with pytest.raises(ClientGone):
        await answer.send(send)
    assert closed.is_set()
    assert [message.get("body", b"") for message in sent] == [b"", b"first"]


async def test_what_fails_on_the_way_breaks_the_answer_off() -> None:
    """Without a last chunk no client takes the part for the whole."""

    async def source() -> AsyncGenerator[bytes, None]:
        yield b"first"
        raise Exhausted("enough")

    async def receive() -> Any:
        if sent:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": b""}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    answer = await Download.begin(call_of(receive), source())
    sent.append({"type": "begun"})
    with pytest.raises(Exhausted):
        await answer.send(send)
    assert all(message.get("more_body", True) for message in sent)
