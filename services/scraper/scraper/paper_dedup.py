"""One dedup run. Owns: what is compared, and how what belongs together becomes one paper. Must not know the rules.

Merging is repeatable: the kept record is written before the others are marked, and a run that starts again finds the
groups that are left.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from scraper.executor import Json, RunContext
from scraper.mongo_papers import Papers, patiently
from scraper.paper import merge
from scraper.paper_workshop import Bench
from scraper.pipeline_params import DedupParams

COMPARED = ("title", "year", "authors", "doi", "arxiv_id")
GROUPS_AT_ONCE = 100
PARTS_AT_ONCE = 3
SECONDS = 3_600.0
# The run's progress is in steps of a hundred: reading and comparing 70, merging 30.
COMPARE_SHARE = 70


class DedupRun:
    """Merges the duplicates of a project."""

    def __init__(self, context: RunContext, params: DedupParams, *, papers: Papers, bench: Bench) -> None:
        self._context, self._params, self._papers, self._bench = context, params, papers, bench
        self._ids: list[str] = []

    async def run(self) -> Json:
        """`groups`, `merged`, `remaining`."""
        self._context.progress(0, 100, "reading papers")
        source, count = await self._bench.write("papers.jsonl", self._read())
        if count > 1:
            await self._bench.work(
                "dedup", str(source), str(self._bench.folder / "groups.jsonl"), str(self._params.threshold),
                progress=self._compared, seconds=SECONDS,
            )  # fmt: skip
            await self._merge(self._bench.read(self._bench.folder / "groups.jsonl"))
        self._context.progress(100, 100, "done")
        project_id, run_id = self._params.project_id, self._context.job.run_id
        return {
            "groups": await patiently(self._papers.merged_groups, project_id, run_id),
            "merged": await patiently(self._papers.count_by_run, project_id, "merge_run", run_id),
            "remaining": await patiently(self._papers.count, project_id),
        }

    async def _read(self) -> AsyncIterator[list[Json]]:
        async for page in self._papers.stream(self._params.project_id, COMPARED):
            self._ids += [paper["paper_id"] for paper in page]
            yield [{name: paper[name] for name in COMPARED} for paper in page]

    def _compared(self, done: int, total: int) -> None:
        self._context.progress(COMPARE_SHARE * done // max(total, 1), 100, "comparing")

    async def _merge(self, groups: list[Any]) -> None:
        waiting = deque(range(0, len(groups), GROUPS_AT_ONCE))
        done = 0

        async def merge_parts() -> None:
            nonlocal done
            while waiting:
                start = waiting.popleft()
                part = [[self._ids[index] for index in group] for group in groups[start : start + GROUPS_AT_ONCE]]
                await self._merge_part(part)
                done += len(part)
                share = (100 - COMPARE_SHARE) * done // len(groups)
                self._context.progress(COMPARE_SHARE + share, 100, f"{done} of {len(groups)} groups merged")

        # Groups have no paper in common; while the store works on one part, the next is prepared.
        async with asyncio.TaskGroup() as tasks:
            for _ in range(PARTS_AT_ONCE):
                tasks.create_task(merge_parts())

    async def _merge_part(self, groups: list[list[str]]) -> None:
        wanted = [paper_id for group in groups for paper_id in group]
        papers = await patiently(self._papers.get, self._params.project_id, wanted)
        merged = []
        for group in groups:
            members = [papers[paper_id] for paper_id in group if papers.get(paper_id, {}).get("state") == "active"]
            if len(members) > 1:
                best = merge(members)
                merged.append((best, [paper for paper in members if paper["paper_id"] != best["paper_id"]]))
        await patiently(self._papers.store_merged, self._context.job.run_id, merged)
