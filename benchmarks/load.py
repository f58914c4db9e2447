"""Load on an HTTP address: wrk for closed and paced loops, an open loop of our own for latencies.

Must not know what is behind the address.
"""

import asyncio
import json
import string
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.machine import find_program

CONNECTIONS = 16
STOP_SECONDS = 30

# `$body` has one %s, which becomes the time at which the request is made, in seconds since the epoch.
_SCRIPT = string.Template(r"""
local ffi = require("ffi")
ffi.cdef[[
  typedef struct { long seconds; long nanoseconds; } moment;
  int clock_gettime(int clock, moment *result);
]]
local moment = ffi.new("moment")
local threads = {}
wrk.method = "POST"
$headers
function setup(thread) table.insert(threads, thread) end
function request()
  ffi.C.clock_gettime(0, moment)
  local now = string.format("%.6f", tonumber(moment.seconds) + tonumber(moment.nanoseconds) / 1e9)
  return wrk.format(nil, nil, nil, string.format([[$body]], now))
end
$pacing
$counting
function done(summary, latency, requests)
  local said = {}
  for _, name in ipairs({"accepted", "limited", "unavailable", "other", "impatient"}) do
    local sum = 0
    for _, thread in ipairs(threads) do sum = sum + (thread:get(name) or 0) end
    table.insert(said, string.format('"%s":%d', name, sum))
  end
  io.write(string.format(
    'RESULT{"requests":%d,"seconds":%.6f,"refused":%d,"broken":%d,"late":%d,"p50_ms":%.3f,"p99_ms":%.3f,%s}\n',
    summary.requests, summary.duration / 1e6, summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write, summary.errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, table.concat(said, ",")))
end
""")
# Whichever connection is free takes the next moment of the one timetable; moments that have passed are made up for.
_PACING = string.Template("""
local function milliseconds()
  ffi.C.clock_gettime(1, moment)
  return tonumber(moment.seconds) * 1000 + tonumber(moment.nanoseconds) / 1e6
end
local due = 0
function delay()
  local now = milliseconds()
  if due == 0 then due = now end
  due = due + $step
  return math.max(0, math.floor(due - now))
end
""")
_COUNTING = """
accepted, limited, unavailable, other, impatient = 0, 0, 0, 0, 0
function response(status, headers, body)
  if status >= 200 and status < 300 then accepted = accepted + 1 return end
  if status == 429 then limited = limited + 1
  elseif status == 503 then unavailable = unavailable + 1
  else other = other + 1 return end
  for name in pairs(headers) do if string.lower(name) == "retry-after" then return end end
  impatient = impatient + 1
end
"""


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go. `body` is JSON with one %s for the time of the request."""

    url: str
    body: str
    headers: Mapping[str, str]

    def payload(self, moment: float) -> bytes:
        """The body of a request made at that time."""
        return (self.body % f"{moment:.6f}").encode()


@dataclass(frozen=True, slots=True)
class Load:
    """What a loop of wrk did. Statuses are counted when that was asked for."""

    began: float
    requests: int
    seconds: float
    # Answers that are no 2xx or 3xx.
    refused: int
    # Connections that failed, and requests without an answer in wrk's own two seconds.
    broken: int
    late: int
    p50_ms: float
    p99_ms: float
    accepted: int
    limited: int
    unavailable: int
    other: int
    # 429 and 503 without a Retry-After.
    impatient: int

    @property
    def per_second(self) -> float:
        """Answers per second."""
        return self.requests / self.seconds

    def check_clean(self) -> None:
        """Raises `BenchmarkError` unless every request was accepted."""
        if self.refused or self.broken:
            raise BenchmarkError(f"{self.refused} requests were refused and {self.broken} connections broke.")


async def flood(
    target: Target,
    directory: Path,
    seconds: int,
    *,
    connections: int = CONNECTIONS,
    per_second: float = 0,
    count_statuses: bool = False,
) -> Load:
    """Requests without a pause on each connection for `seconds`, or `per_second` of them at fixed times, however slow
    answers are, as long as there is a connection that doesn't wait for one.
    """
    pacing = _PACING.substitute(step=f"{1000 / per_second:.6f}") if per_second else ""
    script = directory / "load.lua"
    headers = {"Content-Type": "application/json", **target.headers}
    script.write_text(
        _SCRIPT.substitute(
            headers="\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items()),
            body=target.body,
            pacing=pacing,
            counting=_COUNTING if count_statuses else "",
        )
    )
    began = time.time()
    process = await asyncio.create_subprocess_exec(
        find_program("wrk", "wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), target.url,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        output, _ = await asyncio.wait_for(process.communicate(), seconds + STOP_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    for line in output.decode(errors="replace").splitlines():
        if line.startswith("RESULT"):
            return Load(began=began, **json.loads(line.removeprefix("RESULT")))
    raise BenchmarkError(f"wrk gave no result:\n{output.decode(errors='replace')[-1000:]}")


async def open_loop(per_second: float, seconds: float, submit: Callable[[], Awaitable[None]]) -> int:
    """Call `submit` at fixed times, however slow earlier calls are; answers how often, once all have returned."""
    began = time.perf_counter()
    count = int(per_second * seconds)
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            wait = began + number / per_second - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            group.create_task(_once(submit))
    return count


async def one_by_one(count: int, submit: Callable[[], Awaitable[None]]) -> int:
    """Call `submit` with pauses of 30 to 280 ms, spread evenly so that no cycle of the other side is favoured."""
    for number in range(count):
        await submit()
        await asyncio.sleep(0.03 + number * 0.618034 % 1 * 0.25)
    return count


async def _once(submit: Callable[[], Awaitable[None]]) -> None:
    await submit()
