"""gRPC face of result items and blobs. Translates and delegates."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import orjson
from chassis.errors import InvalidInput
from chassis.json_fields import read_object
from trawl.scraper.v1 import results_pb2 as pb
from trawl.scraper.v1 import results_pb2_grpc

from scraper.blobs import LocalBlobs
from scraper.executor import ExecutorError, Item
from scraper.mongo_results import Checkpoint, Results, place_of

MAX_PAGE = 10_000


class ResultApi(results_pb2_grpc.ResultServiceServicer):
    """`ResultService`."""

    def __init__(self, results: Results, blobs: LocalBlobs, executors: Sequence[str]) -> None:
        self._results, self._blobs, self._executors = results, blobs, executors

    async def ListResults(self, request: pb.ListResultsRequest, context: Any) -> pb.ListResultsResponse:
        """A page of a run's items."""
        if not 0 <= request.offset <= 10**9 or not 0 < request.limit <= MAX_PAGE:
            raise InvalidInput("the page is out of range", field="page")
        rows, total = await self._results.find(
            request.run_id, data_type=request.data_type, offset=request.offset, limit=request.limit + 1,
            behind=request.after,
        )  # fmt: skip
        following = place_of(rows[request.limit - 1]) if len(rows) > request.limit else ""
        shown = [_item(row) for row in rows[: request.limit]]
        return pb.ListResultsResponse(items=shown, total=total, next=following)

    async def StreamResults(
        self, request: pb.ListResultsRequest, context: Any
    ) -> AsyncIterator[pb.ListResultsResponse]:
        """Every item of a run."""
        async for rows in self._results.stream(request.run_id, request.data_type):
            yield pb.ListResultsResponse(items=[_item(row) for row in rows])

    async def GetBlob(self, request: pb.GetBlobRequest, context: Any) -> AsyncIterator[pb.BlobChunk]:
        """A kept file."""
        path, content_type = self._blobs.find(request.name)
        async for chunk in self._blobs.read(path):
            yield pb.BlobChunk(data=chunk, content_type=content_type)

    async def AddItems(self, request: pb.AddItemsRequest, context: Any) -> pb.AddItemsResponse:
        """Store what an outside worker has found; the scheduler has checked its lease."""
        if len(request.items) > MAX_PAGE:
            raise InvalidInput(f"at most {MAX_PAGE} items at once", field="items")
        items = [(new.position, _new_item(new)) for new in request.items]
        if items:
            try:
                await self._results.add(
                    request.run_id, request.task_id, request.attempt, items, collects=request.collects
                )
            except ExecutorError as error:
                raise InvalidInput(error.message, field="items") from error
        if request.last:
            await self._results.drop_checkpoint(request.run_id)
        if request.last and request.attempt > 1:
            await self._results.drop_stale(request.run_id, request.attempt, request.keep_below)
        return pb.AddItemsResponse()

    async def SaveCheckpoint(self, request: pb.Checkpoint, context: Any) -> pb.SaveCheckpointResponse:
        """Keep where an outside worker's run goes on; the scheduler has checked its lease."""
        try:
            state = orjson.loads(request.state_json)
        except orjson.JSONDecodeError as error:
            raise InvalidInput("the checkpoint is not JSON", field="state_json") from error
        await self._results.save_checkpoint(request.run_id, Checkpoint(state, request.position))
        return pb.SaveCheckpointResponse()

    async def GetCheckpoint(self, request: pb.GetCheckpointRequest, context: Any) -> pb.Checkpoint:
        """What was kept last."""
        kept = await self._results.checkpoint(request.run_id)
        if kept is None:
            return pb.Checkpoint(run_id=request.run_id)
        return pb.Checkpoint(run_id=request.run_id, state_json=orjson.dumps(kept.state), position=kept.position)

    async def ListExecutors(self, request: pb.ListExecutorsRequest, context: Any) -> pb.ListExecutorsResponse:
        """What this service can run."""
        return pb.ListExecutorsResponse(names=self._executors)


def _new_item(new: pb.NewItem) -> Item:
    data, metadata = read_object(new.data_json, "data"), read_object(new.metadata_json, "metadata")
    return Item(data, new.data_type or "item", new.key or None, metadata)


def _item(row: Mapping[str, Any]) -> pb.ResultItem:
    return pb.ResultItem(
        id=row["_id"],
        run_id=row["run_id"],
        task_id=row["task_id"],
        data_type=row["data_type"],
        data_json=orjson.dumps(row["data"], default=str),
        metadata_json=orjson.dumps(row["metadata"], default=str),
        created_ms=row["created_ms"],
        position=row["position"],
    )
