"""The scraper's check of definitions in memory. `asked` keeps what was checked; `trouble` is raised."""

from typing import Any

import orjson
from chassis.errors import TrawlError
from trawl.scraper.v1 import definitions_pb2, definitions_pb2_grpc


class FakeDefinitions(definitions_pb2_grpc.DefinitionServiceServicer):
    """Finds fault with whatever has a member `typo`, and with the command `nowhere`; `later.py` is doubtful."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.trouble: TrawlError | None = None

    async def CheckDefinition(  # noqa: N802
        self, request: definitions_pb2.CheckDefinitionRequest, context: Any
    ) -> definitions_pb2.CheckDefinitionResponse:
        if self.trouble is not None:
            raise self.trouble
        parameters = orjson.loads(request.parameters_json)
        self.asked.append((request.executor, parameters))
        answer = definitions_pb2.CheckDefinitionResponse(checked=True)
        if "typo" in parameters:
            answer.problems.add(path="typo", message="there is no such field; did you mean 'type'?")
        if request.command == "nowhere":
            answer.problems.add(path="command", message="is no address", of_task=True)
        if request.command == "later.py":
            answer.warnings.add(path="command", message="there is no script 'later.py'", of_task=True)
        return answer
