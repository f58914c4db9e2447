"""A pipeline task as a client sends it. Owns: the parameters of each task type, and their limits. Pure.

The worker checks the same: runs are also started by other services, and by tasks of the scheduler contract.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from trawl.scheduler.v1 import runs_pb2
from wire.subjects import PIPELINE, PIPELINE_TYPES

from gateway.checks import Fields, check_text, invalid

Json = Any
# Exact in a client's double.
MAX_PROJECT = 2**53
MAX_PAPERS = 100_000
MAX_LIMIT = 10_000
FIRST_YEAR, LAST_YEAR = 1500, 2200
SOURCES = ("semantic_scholar", "arxiv", "openalex", "crossref")
# A crawl or an OCR of thousands of papers takes its time.
TIMEOUT_MS = 24 * 3_600_000
_PAPER_ID = re.compile(r"[0-9a-f]{24}")


@dataclass(frozen=True, slots=True)
class NewTask:
    """A checked task."""

    project_id: int
    task_type: str
    params: dict[str, Json]

    def start(self) -> runs_pb2.StartRun:
        """The run to start."""
        definition = runs_pb2.TaskDefinition(
            name=f"{PIPELINE}.{self.task_type}", task_type=self.task_type, executor=self.task_type
        )
        return runs_pb2.StartRun(
            inline=definition,
            parameters_json=orjson.dumps({**self.params, "project_id": self.project_id}),
            timeout_ms=TIMEOUT_MS,
            contract=PIPELINE,
        )


def parse_task(raw: dict[str, Json]) -> NewTask:
    """The task. Raises `InvalidInput` that names the field."""
    fields = Fields(raw)
    for name in ("project_id", "task_type"):
        fields.require(name)
    project_id = fields.integer("project_id", 1, MAX_PROJECT, 0)
    task_type = fields.choice("task_type", PIPELINE_TYPES, "")
    params = fields.mapping("params")
    _CHECKS[task_type](Fields({f"params.{name}": value for name, value in params.items()}))
    return NewTask(project_id, task_type, params)


def _search(params: Fields) -> None:
    _words("params.query", params.require("params.query"))
    sources = params.texts("params.sources", items=len(SOURCES), limit=50)
    if params.given("params.sources") and not sources:
        raise invalid("params.sources", "min_items", "至少需要一项")
    for index, source in enumerate(sources):
        if source not in SOURCES:
            raise invalid(f"params.sources[{index}]", "enum", f"必须是以下之一: {', '.join(SOURCES)}", source)
    params.integer("params.limit", 1, MAX_LIMIT, 100)
    first = params.integer("params.year_from", FIRST_YEAR, LAST_YEAR, FIRST_YEAR)
    last = params.integer("params.year_to", FIRST_YEAR, LAST_YEAR, LAST_YEAR)
    if first > last:
        raise invalid("params.year_from", "max", "不能晚于 year_to", first)


def _dedup(params: Fields) -> None:
    value = params.raw.get("params.threshold")
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid("params.threshold", "number", "必须是数字", value)
    if not 0.5 <= value <= 1:
        raise invalid("params.threshold", "range", "必须在0.5到1之间", value)


def _papers(params: Fields) -> None:
    ids = params.texts("params.paper_ids", items=MAX_PAPERS, limit=64)
    if params.given("params.paper_ids") and not ids:
        raise invalid("params.paper_ids", "min_items", "至少需要一项")
    for index, paper_id in enumerate(ids):
        if _PAPER_ID.fullmatch(paper_id) is None:
            raise invalid(f"params.paper_ids[{index}]", "pattern", "不是有效的论文ID", paper_id)


def _index(params: Fields) -> None:
    _papers(params)
    params.flag("params.rebuild")


def _keyword_expand(params: Fields) -> None:
    params.require("params.keywords")
    keywords = params.texts("params.keywords", items=100, limit=500)
    if not keywords:
        raise invalid("params.keywords", "min_items", "至少需要一项")
    for index, keyword in enumerate(keywords):
        _words(f"params.keywords[{index}]", keyword)
    params.integer("params.limit", 1, 200, 20)


def _words(name: str, value: Json) -> None:
    if not check_text(name, value, 500).strip():
        raise invalid(name, "required", "不能为空", value)


_CHECKS: Mapping[str, Callable[[Fields], None]] = {
    "search": _search, "dedup": _dedup, "crawl": _papers, "ocr": _papers, "index": _index,
    "keyword_expand": _keyword_expand,
}  # fmt: skip
