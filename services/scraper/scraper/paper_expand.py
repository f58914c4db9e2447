"""One keyword_expand run. Owns: where the proposals come from: the project's own papers, or an outside endpoint."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import orjson

from scraper.executor import ExecutorError, Json, RunContext
from scraper.fetch import Fetched, FetchRequest, FetchSession
from scraper.mongo_papers import Papers
from scraper.paper import clean_text
from scraper.paper_workshop import Bench
from scraper.pipeline_params import KeywordParams

SECONDS = 1_800.0
ENDPOINT_SECONDS = 120.0
MAX_ANSWER_BYTES = 1024 * 1024
MAX_KEYWORD = 200
PROMPT = (
    "You propose search terms for finding scholarly papers. Answer with nothing but a JSON array of at most {limit} "
    'objects {{"keyword": string, "score": number from 0 to 1}}, the most closely related first. The terms: {terms}'
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An OpenAI-compatible endpoint. `base` "" = there is none."""

    base: str
    key: str
    model: str


class ExpandRun:
    """Proposes terms."""

    def __init__(
        self, context: RunContext, params: KeywordParams, *, papers: Papers, bench: Bench, session: FetchSession,
        endpoint: Endpoint,
    ) -> None:  # fmt: skip
        self._context, self._params = context, params
        self._papers, self._bench, self._session, self._endpoint = papers, bench, session, endpoint

    async def run(self) -> Json:
        """`keywords` with scores, and `origin`: corpus | endpoint."""
        if self._endpoint.base:
            self._context.progress(0, 1, "asking the endpoint")
            keywords = await self._ask()
            self._context.progress(1, 1, "done")
            return {"keywords": keywords, "origin": "endpoint"}
        self._context.progress(0, 100, "reading papers")
        source, count = await self._bench.write("texts.jsonl", self._read())
        keywords = []
        if count:
            target = self._bench.folder / "keywords.jsonl"
            asked = orjson.dumps({"keywords": self._params.keywords, "limit": self._params.limit}).decode()
            await self._bench.work(
                "keywords", str(source), str(target), asked, progress=self._expanded, seconds=SECONDS
            )  # fmt: skip
            keywords = self._bench.read(target)
        self._context.progress(100, 100, "done")
        return {"keywords": keywords, "origin": "corpus"}

    def _expanded(self, done: int, total: int) -> None:
        self._context.progress(100 * done // max(total, 1), 100, "finding terms")

    async def _read(self) -> AsyncIterator[list[Json]]:
        async for page in self._papers.stream(self._params.project_id, ("title", "abstract")):
            yield [f"{paper['title']}. {paper['abstract']}" for paper in page]

    async def _ask(self) -> list[Json]:
        """The endpoint's proposals. Raises ExecutorError for an answer that has none."""
        terms = orjson.dumps(self._params.keywords).decode()
        prompt = PROMPT.format(limit=self._params.limit, terms=terms)
        asked = {
            "model": self._endpoint.model, "temperature": 0, "messages": [{"role": "user", "content": prompt}],
        }  # fmt: skip
        headers = [("Content-Type", "application/json")]
        if self._endpoint.key:
            headers.append(("Authorization", f"Bearer {self._endpoint.key}"))
        answer = await self._session.fetch(
            FetchRequest(
                self._endpoint.base.rstrip("/") + "/chat/completions", method="POST", headers=tuple(headers),
                body=orjson.dumps(asked), timeout_seconds=ENDPOINT_SECONDS, max_bytes=MAX_ANSWER_BYTES,
                max_redirects=0,
            )
        )  # fmt: skip
        if answer.status != 200:
            raise ExecutorError(f"the keyword endpoint answered with status {answer.status}", code="ENDPOINT_FAILED")
        return _proposals(answer, self._params)


def _proposals(answer: Fetched, params: KeywordParams) -> list[Json]:
    try:
        content = orjson.loads(answer.body)["choices"][0]["message"]["content"]
        listed = orjson.loads(content[content.index("[") : content.rindex("]") + 1])
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise ExecutorError("the keyword endpoint's answer holds no JSON array", code="ENDPOINT_FAILED") from error
    asked = {keyword.casefold() for keyword in params.keywords}
    found: dict[str, float] = {}
    for entry in listed if isinstance(listed, list) else ():
        raw = entry if isinstance(entry, dict) else {"keyword": entry}
        keyword = clean_text(raw.get("keyword"), MAX_KEYWORD)
        score = raw.get("score", 0.5)
        score = float(score) if isinstance(score, int | float) else 0.5
        if keyword and keyword.casefold() not in asked:
            found.setdefault(keyword, min(max(score, 0.0), 1.0) if score == score else 0.5)  # noqa: PLR0124  # NaN
    ranked = sorted(found.items(), key=lambda pair: -pair[1])[: params.limit]
    return [{"keyword": keyword, "score": score} for keyword, score in ranked]
