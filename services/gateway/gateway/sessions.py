"""Browser sessions for whichever contract shows them. Owns: their query fields and their JSON. They are never shown."""

from typing import Any

from trawl.scraper.v1 import browser_pb2

from gateway.backend import Backend
from gateway.checks import QueryFields, invalid
from gateway.times import iso_milliseconds

Json = Any
MAX_TEXT = 500
EXAMPLE = {
    "browserId": "browser001",
    "origin": "https://example.com",
    "createdAt": "2024-01-15T10:30:00.000Z",
    "updatedAt": "2024-01-15T10:30:00.000Z",
    "expiresAt": None,
    "cookies": 4,
    "localStorage": 2,
}
QUERY = [("browserId", "string", "浏览器ID"), ("origin", "string", "站点")]


async def list_sessions(
    backend: Backend, query: QueryFields, *, offset: int, limit: int
) -> tuple[list[dict[str, Json]], int]:
    """A page of sessions, and how many there are."""
    request = browser_pb2.ListSessionsRequest(
        browser_id=query.text("browserId", MAX_TEXT), origin=query.text("origin", MAX_TEXT), offset=offset, limit=limit
    )
    answer = await backend.result(backend.browser.ListSessions, request)
    return [_session_json(one) for one in answer.sessions], answer.total


async def delete_sessions(backend: Backend, query: QueryFields) -> int:
    """Forget a browser id's sessions, or that of one origin; answers how many."""
    browser_id = query.text("browserId", MAX_TEXT)
    if not browser_id:
        raise invalid("browserId", "required", "是必填项")
    request = browser_pb2.DeleteSessionsRequest(browser_id=browser_id, origin=query.text("origin", MAX_TEXT))
    return int((await backend.result(backend.browser.DeleteSessions, request)).deleted)


def _session_json(one: browser_pb2.Session) -> dict[str, Json]:
    return {
        "browserId": one.browser_id,
        "origin": one.origin,
        "createdAt": iso_milliseconds(one.created_ms),
        "updatedAt": iso_milliseconds(one.updated_ms),
        "expiresAt": iso_milliseconds(one.expires_ms) if one.expires_ms else None,
        "cookies": one.cookies,
        "localStorage": one.local_storage,
    }
