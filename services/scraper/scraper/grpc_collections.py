"""gRPC face of collections: lists, search, export. Translates and delegates."""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

import orjson
from chassis.errors import InvalidInput
from trawl.scraper.v1 import collections_pb2 as pb
from trawl.scraper.v1 import collections_pb2_grpc

from scraper.exports import Exports
from scraper.mongo_collections import Collections, public_id
from scraper.search import Search

MAX_PAGE = 1_000
MAX_SKIP = 100_000_000
MAX_CONDITIONS = 20
FORMATS = {
    pb.ExportRequest.FORMAT_JSON: "json",
    pb.ExportRequest.FORMAT_CSV: "csv",
    pb.ExportRequest.FORMAT_NDJSON: "ndjson",
    pb.ExportRequest.FORMAT_PARQUET: "parquet",
    pb.ExportRequest.FORMAT_XLSX: "xlsx",
}


class CollectionApi(collections_pb2_grpc.CollectionServiceServicer):
    """`CollectionService`."""

    def __init__(self, collections: Collections, search: Search, exports: Exports) -> None:
        self._collections, self._search, self._exports = collections, search, exports

    async def ListCollected(self, request: pb.ListCollectedRequest, context: Any) -> pb.CollectedItems:
        """A page of a collection."""
        _check_page(request.offset, request.limit)
        rows, total = await self._collections.find(
            request.task_id, data_type=request.data_type, offset=request.offset, limit=request.limit + 1,
            behind=request.after,
        )  # fmt: skip
        last = rows[request.limit - 1]["typed" if request.data_type else "place"] if len(rows) > request.limit else ""
        return pb.CollectedItems(items=[_item(row) for row in rows[: request.limit]], total=total, next=last)

    async def Search(self, request: pb.SearchRequest, context: Any) -> pb.CollectedItems:
        """A page of what all collections have."""
        _check_page(request.offset, request.limit)
        if not 0 < len(request.conditions) <= MAX_CONDITIONS:
            raise InvalidInput(f"1 to {MAX_CONDITIONS} conditions", field="query")
        conditions = [(condition.key, condition.value) for condition in request.conditions]
        rows, total = await self._search.find(
            conditions, data_type=request.data_type, offset=request.offset, limit=request.limit
        )
        return pb.CollectedItems(items=[_item(row) for row in rows], total=total)

    async def Export(self, request: pb.ExportRequest, context: Any) -> AsyncIterator[pb.ExportChunk]:
        """A collection as a file."""
        if request.format not in FORMATS:
            raise InvalidInput("the format is not known", field="format")
        async with aclosing(self._exports.export(request.task_id, FORMATS[request.format])) as pieces:
            async for data in pieces:
                yield pb.ExportChunk(data=data)

    async def DropCollection(self, request: pb.DropCollectionRequest, context: Any) -> pb.DropCollectionResponse:
        """Nobody finds it any more; it is deleted soon."""
        dropped = await self._collections.any_of(request.task_id)
        await self._collections.drop_task(request.task_id)
        return pb.DropCollectionResponse(dropped=dropped)


def _check_page(offset: int, limit: int) -> None:
    if not 0 <= offset <= MAX_SKIP or not 0 < limit <= MAX_PAGE:
        raise InvalidInput("the page is out of range", field="page")


def _item(row: Mapping[str, Any]) -> pb.CollectedItem:
    return pb.CollectedItem(
        id=public_id(row["_id"]),
        task_id=row["task_id"],
        data_type=row["data_type"],
        data_json=orjson.dumps(row["data"], default=str),
        metadata_json=orjson.dumps(row["metadata"], default=str),
        created_ms=row["created_ms"],
    )
