"""What an answer of X means for the run, the account and the software. Pure. Owns: statuses, error codes and rate-limit
headers. Must not know browsers, accounts or timelines.

Codes, as X's web application meets them: 88 rate limit; 326 locked until a person unlocks it; 32 and 89 logged out;
353 the CSRF cookie is stale; 64 and 141 suspended; 336 the query's features are wrong, so the web application has
changed; 29, 130 and 131 trouble of X's own.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from scraper.x_values import Json, dig, objects_of

# What X's own windows last, for an answer that doesn't say when its one ends.
WINDOW_SECONDS = 900
MAX_RESET_SECONDS = 86_400
_LIMITED, _CHANGED = frozenset({88}), frozenset({336})
_REFUSED = {
    326: "locked",
    32: "logged_out",
    89: "logged_out",
    353: "logged_out",
    64: "suspended",
    141: "suspended",
}


class Meaning(StrEnum):
    """What to do about an answer."""

    GOOD = "good"
    RATE_LIMITED = "rate_limited"
    # The account is out: locked, logged out, suspended, forbidden.
    ACCOUNT = "account"
    CHANGED = "changed"
    # The network address is refused, whoever asks.
    BLOCKED = "blocked"
    # Trouble of X's own, which passes.
    TROUBLE = "trouble"


@dataclass(frozen=True, slots=True)
class Limit:
    """What X said of one account's window for one operation; `reset_ms` in epoch ms."""

    remaining: int
    reset_ms: int


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as the page got it. Header names are in lower case; `asked_cursor` is the request's own."""

    operation: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    asked_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason` says more: an account's state, or words for a person. `json` only with GOOD."""

    meaning: Meaning
    reason: str = ""
    json: Json = None
    limit: Limit | None = None


def read_limit(headers: Mapping[str, str], now_ms: int) -> Limit | None:
    """The window, when the headers tell it. A reset that makes no sense is taken as a whole window from now."""
    remaining, reset = headers.get("x-rate-limit-remaining", ""), headers.get("x-rate-limit-reset", "")
    if not (remaining.isascii() and remaining.isdigit() and len(remaining) < 10):
        return None
    reset_ms = int(reset) * 1000 if reset.isascii() and reset.isdigit() and len(reset) < 12 else 0
    if not now_ms <= reset_ms <= now_ms + MAX_RESET_SECONDS * 1000:
        # A window that has just ended is over; anything else is nonsense.
        reset_ms = now_ms + 1000 if 0 < now_ms - reset_ms < 60_000 else now_ms + WINDOW_SECONDS * 1000
    return Limit(int(remaining), reset_ms)


def judge(answer: Answer, now_ms: int) -> Verdict:
    """What the answer means. An answer with data is good whatever else it complains about."""
    limit = read_limit(answer.headers, now_ms)
    parsed = _parsed(answer.body)
    codes = _codes(parsed)
    if answer.status == 200 and parsed is not None and (_has_data(parsed) or not codes):
        # Without data and errors, `{"data": {}}`, X says that a user is not there; the parser decides.
        return Verdict(Meaning.GOOD, json=parsed, limit=limit)
    if answer.status == 429 or codes & _LIMITED:
        until = limit or Limit(0, now_ms + WINDOW_SECONDS * 1000)
        return Verdict(Meaning.RATE_LIMITED, f"HTTP {answer.status}", limit=Limit(0, until.reset_ms))
    if parsed is None:
        return _without_json(answer, limit)
    return _of_codes(answer, codes, limit) if codes else _of_status(answer, limit)


def _of_codes(answer: Answer, codes: frozenset[int], limit: Limit | None) -> Verdict:
    for code, reason in _REFUSED.items():
        if code in codes:
            return Verdict(Meaning.ACCOUNT, reason, limit=limit)
    if codes & _CHANGED:
        return Verdict(Meaning.CHANGED, "code 336, the query is not accepted any more")
    return Verdict(Meaning.TROUBLE, f"HTTP {answer.status}, codes {sorted(codes)}", limit=limit)


def _without_json(answer: Answer, limit: Limit | None) -> Verdict:
    html = "html" in answer.headers.get("content-type", "") or answer.body.lstrip()[:1] == b"<"
    if 400 <= answer.status < 500 and html:
        return Verdict(Meaning.BLOCKED, f"HTTP {answer.status} with a web page instead of an answer")
    return _of_status(answer, limit)


def _of_status(answer: Answer, limit: Limit | None) -> Verdict:
    if answer.status >= 500:
        return Verdict(Meaning.TROUBLE, f"HTTP {answer.status}", limit=limit)
    if answer.status in (401, 403):
        return Verdict(Meaning.ACCOUNT, "logged_out" if answer.status == 401 else "forbidden", limit=limit)
    if answer.status == 404:
        return Verdict(Meaning.TROUBLE, "HTTP 404: the page asks by an outdated query id", limit=limit)
    return Verdict(Meaning.CHANGED, f"HTTP {answer.status} with something that can't be read")


def _parsed(body: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = _parsed_leniently(body)
    return value if isinstance(value, dict) else None


def _parsed_leniently(body: bytes) -> Json:
    """JSON with halves of characters, which X leaves where it cuts a text, a BOM, or `NaN`; None for what is none."""
    try:
        return _whole(json.loads(body.decode("utf-8-sig", "replace"), parse_constant=lambda _: None))
    except (ValueError, RecursionError):
        return None


def _whole(value: Json) -> Json:
    """The value with whole characters only. Raises RecursionError."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole(one) for one in value]
    if isinstance(value, dict):
        return {_whole(key): _whole(one) for key, one in value.items()}
    return value


def _codes(parsed: Json) -> frozenset[int]:
    found = set()
    for error in objects_of(parsed, "errors"):
        code = error.get("code", dig(error, "extensions", "code"))
        found.add(code if isinstance(code, int) else 0)
    return frozenset(found)


def _has_data(parsed: Json) -> bool:
    data = dig(parsed, "data")
    return isinstance(data, dict) and any(value for value in data.values())
