"""How a contract's endpoints are served. Owns: an endpoint's declaration, the lean way from the router to its handler,
and its page in the OpenAPI document. Knows no contract.

FastAPI routes and documents. Handlers read and check requests by hand: its argument solving costs more than a whole
trigger may, and could not tell errors in five contracts' shapes.
"""

from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from chassis.errors import (
    Conflict,
    Exhausted,
    InternalError,
    InvalidInput,
    NotFound,
    TrawlError,
    Unauthenticated,
    Unavailable,
)
from fastapi import FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Match

from gateway.access import Access, Role
from gateway.exchange import Answer, Call, ClientGone, Receive, Scope, Send
from gateway.failures import ErrorShape, Malformed, MethodNotAllowed, NoSuchPath, TooLarge, UnknownParameter
from gateway.query_rules import QueryRules
from gateway.rate_limits import RateLimits
from gateway.redis_idempotency import HEADER, Idempotency
from gateway.slashes import with_slashes

Handler = Callable[[Call], Awaitable[Answer]]
IN_FLIGHT_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Doc:
    """What the OpenAPI document says: JSON examples, and parameters as `(name, type, description)`.

    `errors`: what this endpoint alone can answer; what any endpoint of its kind can, is added.
    """

    summary: str
    tag: str
    body: Any = None
    body_required: bool = True
    answer: Any = None
    status: int = 200
    query: Sequence[tuple[str, str, str]] = ()
    errors: Sequence[int] = ()
    description: str = ""
    content_type: str = "application/json"
    # The other content types of the answer, by what a query parameter asks for.
    also: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one path. `role` None: anybody may. `starts_work`: it takes an `Idempotency-Key`, and a first
    request may be under way for `in_flight_seconds`.
    """

    method: str
    path: str
    handler: Handler
    doc: Doc
    role: Role | None = None
    starts_work: bool = False
    in_flight_seconds: int = IN_FLIGHT_SECONDS
    # Whether it has a place of its own in the OpenAPI document.
    documented: bool = True


@dataclass(frozen=True, slots=True)
class SchemaNotes:
    """What a contract's examples don't tell of its schemas. `paths`: JSON Schemas of parts of paths that are more than
    strings, by name. `nullable`: fields of answers that may be null. `free`: fields that hold any JSON; neither means
    the outermost object, unless `outermost`.
    """

    paths: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    nullable: Collection[str] = ()
    free: Collection[str] = ()
    outermost: bool = False


@dataclass(frozen=True, slots=True)
class Contract:
    """What the endpoints of one contract share. `originals`: the paths that its original document has, whose clients
    may send query parameters of their own. `asks_for_key` False: whoever comes without one is served as well.
    """

    shape: ErrorShape
    access: Access
    idempotency: Idempotency
    limits: RateLimits | None = None
    notes: SchemaNotes = field(default_factory=SchemaNotes)
    originals: Collection[str] = ()
    asks_for_key: bool = True


class _EventStreamResponse(PlainTextResponse):
    """Only for the documentation."""

    media_type = "text/event-stream"


class _JsonSchemaResponse(JSONResponse):
    """Only for the documentation."""

    media_type = "application/schema+json"


_RESPONSES: dict[str, type[Response]] = {
    "application/json": JSONResponse,
    "text/plain": PlainTextResponse,
    "text/event-stream": _EventStreamResponse,
    "application/schema+json": _JsonSchemaResponse,
}


class DirectRoute(APIRoute):
    """An APIRoute for FastAPI's router and documentation, whose requests go straight to the handler."""

    def __init__(self, endpoint: Endpoint, contract: Contract, prefix: str) -> None:
        async def documented() -> None: ...

        documented.__name__ = f"{endpoint.method.lower()}_{endpoint.path.strip('/')}"
        super().__init__(
            prefix + endpoint.path,
            documented,
            methods=[endpoint.method],
            summary=endpoint.doc.summary,
            description=endpoint.doc.description or None,
            tags=[endpoint.doc.tag],
            response_class=_RESPONSES[endpoint.doc.content_type],
            response_model=None,
            status_code=endpoint.doc.status,
            include_in_schema=endpoint.documented,
            openapi_extra=_openapi(endpoint, contract, prefix),
        )
        self.app = _serve(endpoint, contract, _query_rules(endpoint, contract))


def _serve(
    endpoint: Endpoint, contract: Contract, query: QueryRules
) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    access, role, handler, shape = contract.access, endpoint.role, endpoint.handler, contract.shape
    limits, asks_for_key = contract.limits, contract.asks_for_key
    starts_work, in_flight_seconds = endpoint.starts_work, endpoint.in_flight_seconds

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        call = Call(scope, receive)
        try:
            if role is not None and not asks_for_key:
                call.principal = await access.recognize(call)
            elif role is not None:
                call.principal = await access.authorize(call, role)
                if limits is not None and not limits.spend(call.principal):
                    await limits.refill(call.principal)
            if scope["query_string"]:
                query.check(call)
            if starts_work and HEADER in call.headers:
                answer = await contract.idempotency.run(call, handler, in_flight_seconds)
            else:
                answer = await handler(call)
        except TrawlError as error:
            answer = shape.answer(error, call.request_id)
        except ClientGone:
            return
        await answer.send(send)

    return serve


class DirectFirst:
    """ASGI: requests for our endpoints skip the framework's middleware, which does nothing for them and costs a third
    of a trigger; the framework gets the rest (its own pages, unknown paths, wrong methods).
    """

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._routes = [route for route in app.router.routes if isinstance(route, DirectRoute)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        for route in self._routes:
            match, found = route.matches(scope)
            if match is Match.FULL:
                scope.update(found)
                await route.app(scope, receive, send)
                return
        await self._app(scope, receive, send)


def build_app(
    title: str, contract: Contract, endpoints: Sequence[Endpoint], operations: Sequence[Endpoint], *, prefix: str = ""
) -> FastAPI:
    """A FastAPI application that serves `endpoints` below `prefix`, `operations` at the root, and errors in the
    contract's shape.
    """
    # The pages' scripts come from here: an intranet has no content delivery network.
    app = FastAPIOffline(
        redoc_url=None,
        title=title,
        version="1.0.0",
        telemetry={"tracing": False, "metrics": False, "logs": False},
        exception_handlers={HTTPException: _http_errors(contract.shape), Exception: _defects(contract.shape)},
    )
    # Routes are tried in order: ours come before FastAPI's own pages, the busiest first.
    app.router.routes[:0] = [
        *(DirectRoute(endpoint, contract, prefix) for endpoint in endpoints),
        *(DirectRoute(endpoint, contract, "") for endpoint in operations),
    ]
    # Whoever comes with a browser wants to see something.
    app.router.add_route("/", _to_documentation, include_in_schema=False)
    _complete_openapi(app, contract)
    return app


def _query_rules(endpoint: Endpoint, contract: Contract) -> QueryRules:
    return QueryRules([name for name, _, _ in endpoint.doc.query], strict=_is_strict(endpoint, contract))


def _is_strict(endpoint: Endpoint, contract: Contract) -> bool:
    """Whether query parameters that it doesn't know are refused: those of Trawl's own endpoints."""
    return endpoint.role is not None and endpoint.path.rstrip("/") not in contract.originals


async def _to_documentation(_request: Request) -> Response:
    return RedirectResponse("docs")


def _http_errors(shape: ErrorShape) -> Callable[[Request, Any], Coroutine[Any, Any, Response]]:
    async def handle(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        path = with_slashes(request.scope, request.scope["path"])
        failure: TrawlError = NoSuchPath(f"路径不存在: {path[:200]}", rule="path")
        if error.status_code == 405:
            failure = MethodNotAllowed(f"此路径不支持 {request.method[:16]}", field="method", rule="method")
        answer = shape.answer(failure, request.scope["trawl.request_id"])
        headers = {"allow": error.headers["Allow"]} if error.headers and "Allow" in error.headers else None
        return Response(answer.body, answer.status, headers, media_type="application/json")

    return handle


def _defects(shape: ErrorShape) -> Callable[[Request, Any], Coroutine[Any, Any, Response]]:
    """Answers for a defect; the exception goes on to the edge, which logs it."""

    async def handle(request: Request, _error: Exception) -> Response:
        answer = shape.answer(InternalError("服务器内部错误"), request.scope["trawl.request_id"])
        return Response(answer.body, answer.status, media_type="application/json")

    return handle


def _openapi(endpoint: Endpoint, contract: Contract, prefix: str) -> dict[str, Any]:
    doc = endpoint.doc
    names = [part.strip("{}") for part in (prefix + endpoint.path).split("/") if part.startswith("{")]
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": contract.notes.paths.get(name, {"type": "string"})}
        for name in names
    ]
    parameters += [
        {"name": name, "in": "query", "required": False, "schema": {"type": kind}, "description": text}
        for name, kind, text in doc.query
    ]
    if endpoint.starts_work:
        parameters.append(
            {"name": "Idempotency-Key", "in": "header", "required": False, "schema": {"type": "string"},
             "description": "The same key and body gives the first answer again and starts nothing."}
        )  # fmt: skip
    content = _content(doc.answer, doc.content_type, contract.notes)
    content |= {kind: {} for kind in doc.also}
    answer = {"description": doc.summary, "content": content}
    described: dict[str, Any] = {"parameters": parameters, "responses": {str(doc.status): answer}}
    asks_for_key = endpoint.role is not None and contract.asks_for_key
    errors = _usual_errors(endpoint, bool(names), asks_for_key)
    if _is_strict(endpoint, contract):
        errors.append(UnknownParameter(""))
    usual = {contract.shape.status_of(error) for error in errors}
    for status in sorted({*doc.errors, *usual}):
        described["responses"][str(status)] = {
            "description": "Error",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
    if doc.body is not None:
        notes = replace(contract.notes, nullable=())
        body = _content(doc.body, "application/json", notes)
        described["requestBody"] = {"required": doc.body_required, "content": body}
    if asks_for_key and endpoint.role is not None:
        described["security"] = [{"bearer": []}, {"api_key": []}]
        described["description"] = f"{doc.description}\n\nRole: {endpoint.role.label}".strip()
    return described


def _usual_errors(endpoint: Endpoint, has_ids: bool, asks_for_key: bool) -> list[TrawlError]:
    """What any endpoint of this kind can answer."""
    errors: list[TrawlError] = []
    if asks_for_key:
        errors += [Unauthenticated(""), Exhausted(""), Unavailable("")]
    if endpoint.doc.body is not None:
        errors += [Malformed(""), TooLarge("")]
    if has_ids or endpoint.doc.query or endpoint.doc.body is not None or endpoint.starts_work:
        errors.append(InvalidInput(""))
    if endpoint.starts_work:
        errors.append(Conflict(""))  # an Idempotency-Key that came with another body
    return errors


def _content(example: Any, content_type: str, notes: SchemaNotes) -> dict[str, Any]:
    if notes.outermost or not isinstance(example, dict):
        return {content_type: {"schema": schema_of(example, notes), "example": example}}
    properties = {key: schema_of(value, notes) for key, value in example.items()}
    return {content_type: {"schema": {"type": "object", "properties": properties}, "example": example}}


def schema_of(example: Any, notes: SchemaNotes | None = None) -> dict[str, Any]:
    """The JSON Schema that an example suggests; a null may be anything."""
    notes = notes or SchemaNotes()
    if example is None:
        return {}
    if isinstance(example, dict):
        return {"type": "object", "properties": {key: _field(key, value, notes) for key, value in example.items()}}
    if isinstance(example, list):
        return {"type": "array", "items": schema_of(example[0], notes) if example else {}}
    return {"type": _JSON_TYPES[type(example)]}


def _field(key: str, value: Any, notes: SchemaNotes) -> dict[str, Any]:
    if key in notes.free:
        return {}
    schema = schema_of(value, notes)
    return {"anyOf": [schema, {"type": "null"}]} if key in notes.nullable and schema else schema


_JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}
SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or an access token"},
    "api_key": {"type": "apiKey", "in": "query", "name": "api_key"},
}


def _complete_openapi(app: FastAPI, contract: Contract) -> None:
    """Put the error's schema and the ways to authenticate into the application's OpenAPI document."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        components = document.setdefault("components", {})
        example = contract.shape.body(NotFound("…", field="id"), 404, "req_4f1c2a7b9d0e")
        components["schemas"] = {"Error": {**schema_of(example, contract.notes), "example": example}}
        if contract.asks_for_key:
            components["securitySchemes"] = SECURITY_SCHEMES
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document
