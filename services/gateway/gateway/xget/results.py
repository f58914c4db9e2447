"""Results of the XGet contract: pages, search, export. Owns: their endpoints. Must not know how results are kept."""

from collections.abc import AsyncGenerator
from typing import Any

import orjson
from trawl.scraper.v1 import collections_pb2

from gateway.access import Role
from gateway.backend import Backend
from gateway.exchange import JSON_TYPE, Answer, Call
from gateway.routing import Doc, Endpoint
from gateway.walks import Walks
from gateway.xget import examples
from gateway.xget.download import Download
from gateway.xget.models import ExportQuery, ResultQuery, SearchQuery, read_query
from gateway.xget.reading import query_of, standing_of
from gateway.xget.search_query import parse_query
from gateway.xget.translate import page_json, result_json

Json = Any
TAG = "results"
EXPORT_SECONDS = 6 * 3600.0
SEARCH_EXTRA_SECONDS = 5.0
FORMATS = {
    "json": (collections_pb2.ExportRequest.FORMAT_JSON, JSON_TYPE),
    "csv": (collections_pb2.ExportRequest.FORMAT_CSV, b"text/csv; charset=utf-8"),
    "ndjson": (collections_pb2.ExportRequest.FORMAT_NDJSON, b"application/x-ndjson"),
    "parquet": (collections_pb2.ExportRequest.FORMAT_PARQUET, b"application/vnd.apache.parquet"),
    "xlsx": (
        collections_pb2.ExportRequest.FORMAT_XLSX,
        b"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
}


class ResultRoutes:
    """Handlers of results."""

    def __init__(self, backend: Backend, walks: Walks) -> None:
        self._backend, self._walks = backend, walks

    async def of_task(self, call: Call) -> Answer:
        """Page through what a task has found."""
        raw = query_of(call)
        query = read_query(ResultQuery, raw)
        standing = await standing_of(self._backend, call.path_params["task_id"])
        skip, limit = query.window
        request = collections_pb2.ListCollectedRequest(
            task_id=standing.task.id, data_type=query.data_type or "", offset=skip, limit=limit
        )
        self._walks.enter(request, raw)
        found = await self._backend.result(self._backend.collections.ListCollected, request)
        page = page_json([result_json(item) for item in found.items], found.total, skip=skip, size=limit)
        return Answer(orjson.dumps(page), headers=self._walks.header(request, found))

    async def search(self, call: Call) -> Answer:
        """Search in what all tasks have found."""
        query = read_query(SearchQuery, query_of(call))
        skip, limit = query.window
        request = collections_pb2.SearchRequest(
            conditions=parse_query(query.query), data_type=query.data_type or "", offset=skip, limit=limit
        )
        found = await self._backend.result(
            self._backend.collections.Search, request, extra_seconds=SEARCH_EXTRA_SECONDS
        )
        items = [result_json(item) for item in found.items]
        return Answer.json(page_json(items, found.total, skip=skip, size=limit))

    async def export(self, call: Call) -> Answer:
        """Send everything that a task has found as a file."""
        kind = read_query(ExportQuery, query_of(call)).format
        public_id = call.path_params["task_id"]
        standing = await standing_of(self._backend, public_id)
        number, content_type = FORMATS[kind]
        request = collections_pb2.ExportRequest(task_id=standing.task.id, format=number)
        headers: tuple[tuple[bytes, bytes], ...] = ()
        if kind != "json":
            name = f"{public_id.replace('-', '_')}_results.{kind}"
            headers = ((b"content-disposition", f"attachment; filename={name}".encode()),)
        return await Download.begin(call, self._pieces(request), content_type=content_type, headers=headers)

    async def _pieces(self, request: collections_pb2.ExportRequest) -> AsyncGenerator[bytes, None]:
        stream = self._backend.scraper.stream(self._backend.collections.Export, request, timeout=EXPORT_SECONDS)
        async for chunk in stream:
            yield chunk.data

    def endpoints(self) -> list[Endpoint]:
        """All of them, those with a name before those with an id."""
        return [
            Endpoint("GET", "/tasks/search/results", self.search,
                     Doc("搜索结果", TAG, answer=examples.page_of(examples.RESULT), query=examples.SEARCH_QUERY,
                         errors=(422, 503),
                         description="Every pair must match: the key at any depth of `data`, the value as whole words "
                         "without regard to case. `\\,` and `\\:` escape."), Role.VIEWER),
            Endpoint("POST", "/tasks/export/{task_id}", self.export,
                     Doc("导出任务结果", TAG, answer=examples.EXPORT,
                         query=(("format", "string", "json, csv, ndjson, parquet 或 xlsx，默认 json"),),
                         also=[kind.decode().partition(";")[0] for _, kind in FORMATS.values() if kind != JSON_TYPE],
                         errors=(404, 422, 429, 503)), Role.VIEWER),
            Endpoint("GET", "/tasks/{task_id}/results", self.of_task,
                     Doc("获取任务结果", TAG, answer=examples.page_of(examples.RESULT), query=examples.RESULT_QUERY,
                         errors=(404, 422)), Role.VIEWER),
        ]  # fmt: skip
