"""The `http` executor. Owns: one request, and what its answer means. Must not know how a page is fetched."""

from http import HTTPStatus
from urllib.parse import urldefrag

import orjson

from scraper.addresses import shown_url
from scraper.curl_arguments import read_arguments
from scraper.exchanges import Fetched, FetchRequest
from scraper.executor import ExecutorError, InvalidParameters, Json, RunContext
from scraper.fetch import Fetcher
from scraper.processes import command_of
from scraper.templates import fill

TEXT_BYTES = 64 * 1024
JSON_BYTES = 512 * 1024
SHOWN_BODY = 500
# Answers that a later attempt may see otherwise.
RETRYABLE = frozenset({408, 425, 429})


class HttpExecutor:
    """`command` is the URL, `arguments` are curl's. The answer's status decides about the attempt."""

    name = "http"

    def __init__(self, *, fetcher: Fetcher, timeout_seconds: float = 300) -> None:
        self._fetcher, self._timeout_seconds = fetcher, timeout_seconds

    async def run(self, context: RunContext) -> Json:
        """`{"status", "headers", "body"}`, and `"truncated": true` when the body was longer than is kept.

        JSON is kept up to 512 KiB, text up to 64 KiB, anything else as a file of the run (`"file"`: its name).
        """
        request = self._request_of(context)
        context.progress(0, 1, f"{request.method} {shown_url(request.url)}")
        async with self._fetcher.session() as session:
            answer = await session.fetch(request)
        context.log("info", f"{request.method} {shown_url(answer.url)}: {answer.status}", bytes=len(answer.body))
        result = await result_of(context, answer)
        if answer.status >= 400:
            raise status_error(answer, result["body"])
        context.progress(1, 1)
        return result

    async def close(self) -> None:
        """The fetcher is the composition root's."""

    def _request_of(self, context: RunContext) -> FetchRequest:
        command, arguments = command_of(context.job)
        parameters = context.job.parameters
        url = fill(command, parameters, field="command").strip()
        if not url:
            raise InvalidParameters("an http task needs a URL", field="command")
        asked = read_arguments([fill(word, parameters, field="arguments") for word in arguments or ()])
        try:
            body = asked.body
        except UnicodeEncodeError as error:
            raise InvalidParameters("the body holds characters that can't be sent", field="arguments") from error
        if asked.query:
            url, fragment = urldefrag(url)
            url += ("&" if "?" in url else "?") + asked.query + (f"#{fragment}" if fragment else "")
        return FetchRequest(
            url if "://" in url else f"http://{url}",
            method=asked.final_method(),
            headers=asked.final_headers(),
            body=body,
            timeout_seconds=min(asked.max_seconds or self._timeout_seconds, context.job.timeout_seconds),
            max_redirects=asked.max_redirects if asked.follow else 0,
            verify_tls=asked.verify_tls,
        )


async def result_of(context: RunContext, answer: Fetched) -> dict[str, Json]:
    """The answer as a run's result."""
    headers: dict[str, str] = {}
    for name, value in answer.headers.items():
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    result: dict[str, Json] = {"status": answer.status, "headers": headers, "body": None}
    if _is_json(answer.content_type) and len(answer.body) <= JSON_BYTES:
        try:
            return result | {"body": orjson.loads(answer.text())}
        except orjson.JSONDecodeError:
            context.log("warn", "The answer says that it is JSON, but it isn't")
    if b"\0" in answer.body[:1024]:
        name = await context.save_blob(
            "body", answer.body, answer.content_type or "application/octet-stream", replace=True
        )
        return result | {"file": name} | ({"truncated": True} if answer.truncated else {})
    text = answer.text()
    kept = text.encode(errors="replace")[:TEXT_BYTES].decode(errors="ignore")
    truncated = answer.truncated or len(kept) < len(text)
    return result | {"body": kept} | ({"truncated": True} if truncated else {})


def _is_json(content_type: str) -> bool:
    return content_type == "application/json" or content_type.endswith("+json")


def status_error(answer: Fetched, body: Json) -> ExecutorError:
    """What a status of 400 and above means for the attempt."""
    try:
        reason = HTTPStatus(answer.status).phrase
    except ValueError:
        reason = answer.reason
    shown = body if isinstance(body, str) else orjson.dumps(body).decode() if body is not None else ""
    message = f"HTTP {answer.status} {reason} from {shown_url(answer.url)}".rstrip()
    return ExecutorError(
        f"{message}: {shown[:SHOWN_BODY]}" if shown else message,
        code="HTTP_STATUS",
        retryable=answer.status in RETRYABLE or answer.status >= 500,
    )
