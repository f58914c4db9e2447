"""An OpenAI-compatible endpoint that proposes terms. Owns: what it is asked, how patiently, and what of its answers is
believed. Must not know runs, papers or projects.
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from scraper.executor import ExecutorError
from scraper.fetch import Fetched, FetchFailed, FetchRequest, FetchSession
from scraper.paper_text import plain_text
from scraper.politeness import is_slowing, retry_after_seconds
from scraper.redis_rates import Budget, Rates

Json = Any
TRIES = 3
MAX_PAUSES = 5
FIRST_PAUSE_SECONDS = 1.0
MAX_ANSWER_BYTES = 1024 * 1024
MAX_KEYWORD = 200
# A term without a score of its own.
USUAL_SCORE = 0.5
PROMPT = (
    "You propose search terms for finding scholarly papers. Answer with nothing but a JSON array of at most {limit} "
    'objects {{"keyword": string, "score": number from 0 to 1}}, the most closely related first. The terms: {terms}'
)
# One line for all workers, as for every outside service; it sets no pace of its own.
BUDGET = Budget("keyword_endpoint", 0)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where it is. `base` "" = there is none."""

    base: str
    key: str
    model: str
    timeout_seconds: float = 120.0


class EndpointFailed(ExecutorError):
    """It could not be asked, or said nothing of use."""

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        super().__init__(f"the keyword endpoint {message}", code="ENDPOINT_FAILED", retryable=retryable)


async def ask(
    endpoint: Endpoint, keywords: Sequence[str], limit: int, *, session: FetchSession, rates: Rates
) -> list[Json]:
    """`{"keyword", "score"}`, the best first. Raises EndpointFailed, and TooLong when it asks for a long pause."""
    failures = pauses = 0
    while True:
        await rates.turn(BUDGET)
        try:
            answer = await session.fetch(_request(endpoint, keywords, limit))
            if not is_slowing(answer):
                return _proposals(answer, keywords, limit)
        except EndpointFailed as error:
            failed = error
        except FetchFailed as error:
            failed = EndpointFailed(f"failed: {error.message}")
        else:
            pauses += 1
            if pauses > MAX_PAUSES:
                raise EndpointFailed(f"asked for a pause {MAX_PAUSES} times in a row")
            told = retry_after_seconds(answer)
            await rates.pause(BUDGET, FIRST_PAUSE_SECONDS * 2 ** (pauses - 1) if told is None else told)
            continue
        failures += 1
        if failures >= TRIES or not failed.retryable:
            raise failed
        await asyncio.sleep(0.2 * 2**failures)


def _request(endpoint: Endpoint, keywords: Sequence[str], limit: int) -> FetchRequest:
    prompt = PROMPT.format(limit=limit, terms=orjson.dumps(keywords).decode())
    asked = {"model": endpoint.model, "temperature": 0, "messages": [{"role": "user", "content": prompt}]}
    headers = [("Content-Type", "application/json")]
    if endpoint.key:
        headers.append(("Authorization", f"Bearer {endpoint.key}"))
    return FetchRequest(
        endpoint.base.rstrip("/") + "/chat/completions", method="POST", headers=tuple(headers),
        body=orjson.dumps(asked), timeout_seconds=endpoint.timeout_seconds, max_bytes=MAX_ANSWER_BYTES,
        max_redirects=0,
    )  # fmt: skip


def _proposals(answer: Fetched, keywords: Sequence[str], limit: int) -> list[Json]:
    if answer.status != 200:
        # Another try makes no wrong key right.
        again = answer.status >= 500 or answer.status == 408
        raise EndpointFailed(f"answered with status {answer.status}{_reason(answer)}", retryable=again)
    if answer.truncated:
        raise EndpointFailed(f"answered with more than {MAX_ANSWER_BYTES} bytes")
    try:
        content = orjson.loads(answer.body)["choices"][0]["message"]["content"]
        listed = orjson.loads(content[content.index("[") : content.rindex("]") + 1])
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise EndpointFailed("gave an answer that holds no JSON array") from error
    asked = {keyword.casefold() for keyword in keywords}
    found: dict[str, tuple[str, float]] = {}
    for entry in listed:
        raw = entry if isinstance(entry, dict) else {"keyword": entry}
        keyword = plain_text(raw.get("keyword"), MAX_KEYWORD)
        if keyword and keyword.casefold() not in asked:
            found.setdefault(keyword.casefold(), (keyword, _score(raw.get("score"))))
    ranked = sorted(found.values(), key=lambda pair: -pair[1])[:limit]
    return [{"keyword": keyword, "score": score} for keyword, score in ranked]


def _score(value: Json) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return USUAL_SCORE
    return min(max(float(value), 0.0), 1.0)


def _reason(answer: Fetched) -> str:
    """What it says of its own failure, as these endpoints do: `{"error": {"message"}}`."""
    try:
        message = plain_text(orjson.loads(answer.body)["error"]["message"], MAX_KEYWORD)
    except (ValueError, KeyError, TypeError):
        return ""
    return f": {message}" if message else ""
