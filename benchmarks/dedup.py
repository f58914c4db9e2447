"""`python -m benchmarks.dedup`: how long a dedup run of a large project takes, and how right it is.

Owns: the corpus' records as papers of a project, the run, its figures. The run is the real one, with its child process
and a MongoDB (MONGODB_URI, else the embedded stand-in); only the scheduler is missing.
"""

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import combinations
from pathlib import Path
from typing import Annotated

import psutil
import typer
from chassis.health import until_available
from chassis.settings import ServiceSettings
from chassis.stores import mongo_client, mongo_database
from pydantic import SecretStr
from scraper.executor import Guarded, Item, Job, Json
from scraper.mongo_papers import Papers
from scraper.paper import Record, clean_names
from scraper.paper_dedup import DedupRun
from scraper.paper_matching import comparable, find_groups
from scraper.paper_text import marked_text
from scraper.paper_workshop import Workshop
from scraper.pipeline_params import DedupParams
from scraper.processes import CommandRunner

from benchmarks.machine import free_port
from simulators.scholar.catalogues import make_catalogues
from simulators.scholar.corpus import Corpus, make_corpus

PROJECT, RUN = 1, 1
# Each work has so many records.
RECORDS_PER_WORK = 1.612


class Context:
    """A run's context that keeps nothing but the time of each step."""

    def __init__(self, run_id: int) -> None:
        self.job = Job(run_id, 1, "dedup", "pipeline_dedup", 1)
        self.began = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def log(self, level: str, message: str, **data: Json) -> None:
        """Nothing."""

    def problem(self, what: str, where: str, message: str, *, example: str = "", count: int = 1) -> None:
        """Nothing."""

    def progress(self, done: int, total: int | None = None, step: str | None = None) -> None:  # noqa: ARG002
        """When each share was reached."""
        self.seconds[f"{done} %"] = round(time.perf_counter() - self.began, 1)

    async def emit(self, items: Sequence[Item]) -> None:
        """Nothing."""

    async def save_checkpoint(self, state: Json) -> None:
        """Nothing."""

    def guard(self, what: Guarded) -> None:
        """Nothing: nobody aborts this run."""

    async def save_blob(self, name: str, data: bytes, content_type: str, *, replace: bool = False) -> str:  # noqa: ARG002
        """Nothing."""
        return name


@asynccontextmanager
async def database(folder: Path) -> AsyncIterator[str]:
    """A MongoDB's address."""
    if outside := os.environ.get("MONGODB_URI"):
        yield outside
        return
    port = free_port()
    command = [sys.executable, "-m", "trawl_local.mongo_standin", "--data-dir", str(folder), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            yield f"mongodb://127.0.0.1:{port}/?directConnection=true"
        finally:
            server.terminate()


def processor_seconds() -> dict[str, float]:
    """What this process, the children that have ended, and the embedded stand-in have used so far."""
    own, ended = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    store = sum(sum(child.cpu_times()[:2]) for child in psutil.Process().children())
    return {"run": own.ru_utime + own.ru_stime, "comparing": ended.ru_utime + ended.ru_stime, "store": store}


def records_of(corpus: Corpus) -> list[Record]:
    """The corpus' records as the sources' readers make them."""
    return [
        Record(
            one.source, one.id, marked_text(one.title, 2_000), abstract=one.abstract, year=one.year,
            authors=clean_names(one.authors), doi=one.doi, arxiv_id=one.arxiv_id, venue=one.venue,
        )
        for one in corpus.records
    ]  # fmt: skip


async def rightness(papers: Papers, corpus: Corpus, records: Sequence[Record]) -> tuple[float, float]:
    """(precision, recall) over pairs, by what the run has left in the database."""
    kept = (await papers.catalogues.get(PROJECT)).groups
    found: dict[str, list[str]] = {}
    true: dict[int, list[str]] = {}
    for record, one in zip(records, corpus.records, strict=True):
        found.setdefault(kept.kept_of(record.paper_id), []).append(record.paper_id)
        true.setdefault(one.work, []).append(record.paper_id)
    merged = {pair for group in found.values() for pair in combinations(sorted(group), 2)}
    marked = {pair for group in true.values() for pair in combinations(sorted(group), 2)}
    right = len(merged & marked)
    return right / max(1, len(merged)), right / max(1, len(marked))


async def measure(count: int, seed: int) -> None:
    """Fill a project, run, and print the figures."""
    corpus = make_corpus(seed, round(count / RECORDS_PER_WORK))
    records = records_of(corpus)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with database(folder / "mongodb") as uri:
            settings = ServiceSettings(mongodb_uri=SecretStr(uri), mongodb_prefix="trawl_bench")
            client = mongo_client(settings)
            papers = Papers(mongo_database(client, settings, "scraper"))
            await until_available(papers.prepare)
            began = time.perf_counter()
            for start in range(0, len(records), 1_000):
                await papers.add(PROJECT, RUN, records[start : start + 1_000])
            print(f"{len(records):,} records imported in {time.perf_counter() - began:.1f} s")
            workshop = Workshop(CommandRunner(worker_id="bench", work_dir=folder), folder / "papers")
            for run_id in (RUN, RUN + 1):
                context, used = Context(run_id), processor_seconds()
                async with workshop.bench(context) as bench:
                    params = DedupParams(project_id=PROJECT)
                    result = await DedupRun(context, params, papers=papers, bench=bench).run()
                took = time.perf_counter() - context.began
                shares = {name: round(spent - used[name], 1) for name, spent in processor_seconds().items()}
                print(f"dedup: {took:.1f} s, {result}; reached: {context.seconds}; processor time: {shares}")
            precision, recall = await rightness(papers, corpus, records)
            client.close()
    print(f"precision {precision:.4f}, recall {recall:.4f}")


def compare_catalogues(seed: int) -> None:
    """How right the comparison of two catalogues is, with and without the names of venues."""
    entries = make_catalogues(seed)
    works: dict[int, list[int]] = {}
    for index, entry in enumerate(entries):
        works.setdefault(entry.publication, []).append(index)
    true = {pair for group in works.values() for pair in combinations(group, 2)}
    print(f"{len(entries):,} entries of two catalogues, {len(true):,} pairs")
    for name in ("without venues", "with venues"):
        venues = [entry.venue if name == "with venues" else "" for entry in entries]
        papers = [
            comparable(one.title, one.year, one.authors, "", "", venue)
            for one, venue in zip(entries, venues, strict=True)
        ]
        groups = find_groups(papers, DedupParams(project_id=PROJECT).threshold)
        found = {pair for group in groups for pair in combinations(group, 2)}
        across = {(a, b) for a, b in found if entries[a].catalogue != entries[b].catalogue}
        precisions = [len(pairs & true) / max(1, len(pairs)) for pairs in (across, found)]
        recall = len(found & true) / len(true)
        print(f"{name}: precision {precisions[0]:.4f} ({precisions[1]:.4f} within one too), recall {recall:.4f}")


def main(
    records: Annotated[int, typer.Option(min=10, max=300_000, help="How many records.")] = 100_000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same records.")] = 7,
    catalogues: Annotated[bool, typer.Option(help="Instead: how right it is on two catalogues.")] = False,
) -> None:
    """Measure one dedup run."""
    if catalogues:
        compare_catalogues(seed)
    else:
        asyncio.run(measure(records, seed))


if __name__ == "__main__":
    typer.run(main)
