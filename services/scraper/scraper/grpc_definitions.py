"""gRPC face of the check of definitions before they are kept. Translates and delegates."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from chassis.errors import InvalidInput
from trawl.scraper.v1 import definitions_pb2 as pb
from trawl.scraper.v1 import definitions_pb2_grpc

from scraper.executor import InvalidParameters, Json


@dataclass(frozen=True, slots=True)
class Definition:
    """What a task says of its work."""

    parameters: Mapping[str, Json]
    command: str = ""
    arguments: tuple[str, ...] = ()


class Doubtful(InvalidParameters):
    """What no run could use now, and may come right before one."""


# Raises `InvalidParameters` for what no run could use, whatever a trigger adds.
Check = Callable[[Definition], Awaitable[None]]


class DefinitionApi(definitions_pb2_grpc.DefinitionServiceServicer):
    """`DefinitionService` over the checks of the executors that have one."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks

    async def CheckDefinition(self, request: pb.CheckDefinitionRequest, context: Any) -> pb.CheckDefinitionResponse:
        """The first problem, or none."""
        check = self._checks.get(request.executor)
        if check is None:
            return pb.CheckDefinitionResponse()
        try:
            parameters = orjson.loads(request.parameters_json or b"{}")
        except orjson.JSONDecodeError as error:
            raise InvalidInput("the parameters are not JSON", field="parameters_json") from error
        if not isinstance(parameters, dict):
            raise InvalidInput("the parameters are not an object", field="parameters_json")
        answer = pb.CheckDefinitionResponse(checked=True)
        try:
            await check(Definition(parameters, request.command, tuple(request.arguments)))
        except InvalidParameters as error:
            problem = pb.DefinitionProblem(
                path=error.field,
                message=error.message.removeprefix(f"{error.field}: "),
                of_task=bool(request.command) and error.field.partition("[")[0] in ("command", "arguments"),
            )
            (answer.warnings if isinstance(error, Doubtful) else answer.problems).append(problem)
        return answer
