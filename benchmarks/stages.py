"""Which stage of a run's life a stack sample belongs to. Pure: knows modules by name, and neither processes nor files.

A sample is a thread's stack as py-spy writes it, outermost frame first: `thread (id): name;function (path.py:line);…`.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

GATEWAY, GRPC, ACCEPT, PUBLISH, REDIS = "gateway", "gRPC", "accept", "publish", "Redis"
CLAIM, EXECUTE, END, ARCHIVE, LOOP, OTHER = "claim", "execute", "end", "archive", "event loop", "other"
# In the order of a run's life.
STAGES = (GATEWAY, GRPC, ACCEPT, PUBLISH, REDIS, CLAIM, EXECUTE, END, ARCHIVE, LOOP, OTHER)

PROJECT = frozenset({"chassis", "gateway", "scheduler", "scraper", "worker_registry", "wire", "trawl"})
# Frames that are in every stack of a process say nothing about what it does.
_ROOTS = ("chassis.run:*", "chassis.health:*", "*.__main__:*")
_PROJECT_RULES: Sequence[tuple[str, str]] = (
    # `process module:function` of the innermost frame of the project; the first that fits decides.
    ("* gateway.backend:*", GRPC),
    ("* gateway.*", GATEWAY),
    ("* *.grpc_*:*", GRPC),
    ("* chassis.grpc_*:*", GRPC),
    ("* chassis.batching:*", GRPC),
    ("* scheduler.events:*", PUBLISH),
    ("scheduler chassis.events:*consume*", END),
    ("scheduler chassis.events:*", PUBLISH),
    ("scraper chassis.events:*", END),
    ("* scheduler.redis_*:*", REDIS),
    ("* scheduler.work:*", CLAIM),
    ("* scheduler.start_runs:*", ACCEPT),
    ("* scheduler.records:document", ARCHIVE),
    ("* scheduler.mongo_*:*", ARCHIVE),
    ("* scheduler.finish_runs:*archive*", ARCHIVE),
    ("* scheduler.*", END),
    ("* scraper.puller:*", CLAIM),
    ("* scraper.worker:*claim*", CLAIM),
    ("* scraper.outcomes:*", END),
    ("* scraper.worker:*end*", END),
    ("* scraper.worker:*finish*", END),
    ("* scraper.mongo_*:*", ARCHIVE),
    ("* scraper.*", EXECUTE),
)
# `process:library`, for stacks without a telling frame of the project.
_LIBRARY_RULES: Sequence[tuple[str, str]] = (
    ("gateway:grpc", GRPC),
    ("gateway:*", GATEWAY),
    ("*:grpc", GRPC),
    ("scheduler:nats", PUBLISH),
    ("scraper:nats", CLAIM),
    ("*:redis", REDIS),
    ("*:pymongo", ARCHIVE),
    ("*:motor", ARCHIVE),
    ("*:bson", ARCHIVE),
)
_LIBRARIES = frozenset({"grpc", "nats", "redis", "pymongo", "motor", "bson", "uvicorn", "starlette", "fastapi"})
# Programs that do one thing only.
WHOLE_PROGRAMS: Mapping[str, str] = {"redis": REDIS, "nats": PUBLISH, "mongodb": ARCHIVE, "supervisor": OTHER,
                                     "worker-registry": OTHER}  # fmt: skip
_THREAD = re.compile(r"^thread \((?P<id>\d+)\)")
_FRAME = re.compile(r"^(?P<function>.*) \((?P<path>[^()]*?)(?::\d+)?\)$")


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: `module` is dotted, as it is imported."""

    module: str
    function: str

    @property
    def package(self) -> str:
        """The outermost part of the module's name."""
        return self.module.split(".", 1)[0]

    def __str__(self) -> str:
        return f"{self.module}:{self.function}"


@dataclass(frozen=True, slots=True)
class Sample:
    """A stack, outermost frame first, and how often it was seen. `thread` is the kernel's number of the thread."""

    thread: int
    frames: Sequence[Frame]
    count: int


def parse(text: str) -> list[Sample]:
    """The samples of a file in py-spy's raw format; lines that are none are left out."""
    found = []
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        if stack and count.isdigit():
            thread = _THREAD.match(stack)
            frames = [frame for part in stack.split(";") if (frame := _frame(part)) is not None]
            found.append(Sample(int(thread["id"]) if thread else 0, frames, int(count)))
    return found


def _frame(text: str) -> Frame | None:
    matched = _FRAME.match(text.strip())
    if matched is None:
        return None
    return Frame(_module(matched["path"]), matched["function"])


def _module(path: str) -> str:
    """`…/site-packages/nats/aio/client.py` → `nats.aio.client`, `…/scheduler/scheduler/work.py` → `scheduler.work`."""
    parts = path.removesuffix(".py").split("/")
    if "site-packages" in parts:
        return ".".join(parts[len(parts) - parts[::-1].index("site-packages") :])
    starts = [index for index, part in enumerate(parts[:-1]) if part in PROJECT]
    if not starts:
        return ".".join(parts[-2:])
    # The last one, since the folders above have a package's name as well; the stubs' packages are all below `trawl`.
    start = starts[-1]
    return ".".join(parts[start - 1 if start and parts[start - 1] == "trawl" else start :])


def key_frame(sample: Sample) -> Frame | None:
    """The frame that tells what the process was at: the innermost of the project, else of a library."""
    for frame in reversed(sample.frames):
        if frame.package in PROJECT and not _fits(str(frame), _ROOTS):
            return frame
    for frame in reversed(sample.frames):
        if frame.package in _LIBRARIES:
            return frame
    return None


def stage_of(process: str, sample: Sample) -> str:
    """The stage of one sample of a process."""
    if process in WHOLE_PROGRAMS:
        return WHOLE_PROGRAMS[process]
    frame = key_frame(sample)
    if frame is None:
        return LOOP
    if frame.package in PROJECT:
        where = f"{process} {frame}"
        return next((stage for pattern, stage in _PROJECT_RULES if fnmatchcase(where, pattern)), OTHER)
    where = f"{process}:{frame.package}"
    return next((stage for pattern, stage in _LIBRARY_RULES if fnmatchcase(where, pattern)), OTHER)


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def seconds_by_stage(process: str, samples: Sequence[Sample], spent: Mapping[int, float]) -> dict[str, float]:
    """A process' CPU seconds (by thread) shared out by each thread's samples.

    A thread that no sample shows is native, or slept whenever it was looked at: its time is `other`.
    """
    if process in WHOLE_PROGRAMS:
        return {WHOLE_PROGRAMS[process]: sum(spent.values())}
    found: dict[str, float] = dict.fromkeys(STAGES, 0.0)
    for sample, seconds in _seconds(samples, spent):
        found[stage_of(process, sample)] += seconds
    if (unseen := sum(spent.values()) - sum(found.values())) > 0:
        found[OTHER] += unseen
    return {stage: seconds for stage, seconds in found.items() if seconds}


def busiest(
    process: str, samples: Sequence[Sample], spent: Mapping[int, float], limit: int
) -> list[tuple[str, str, float]]:
    """(stage, `module:function`, CPU seconds) of the key frames, the largest first."""
    found: dict[tuple[str, str], float] = {}
    for sample, seconds in _seconds(samples, spent):
        name = stage_of(process, sample), str(key_frame(sample) or "event loop and native code")
        found[name] = found.get(name, 0.0) + seconds
    ordered = sorted(found.items(), key=lambda pair: -pair[1])[:limit]
    return [(stage, frame, seconds) for (stage, frame), seconds in ordered]


def _seconds(samples: Sequence[Sample], spent: Mapping[int, float]) -> Iterator[tuple[Sample, float]]:
    """What each sample stands for."""
    totals: Counter[int] = Counter()
    for sample in samples:
        totals[sample.thread] += sample.count
    for sample in samples:
        yield sample, spent.get(sample.thread, 0.0) * sample.count / totals[sample.thread]
