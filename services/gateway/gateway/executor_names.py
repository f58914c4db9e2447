"""Executors that nobody offers. Owns: what is said of one when a task is made. Must not know how tasks are kept."""

from chassis.errors import TrawlError
from chassis.logs import get_logger
from chassis.suggestions import nearest
from trawl.workerregistry.v1 import workers_pb2
from wire.subjects import BUILT_IN_EXECUTORS, PIPELINE_TYPES

from gateway.backend import Backend
from gateway.checks import invalid

log = get_logger("executor_names")
KNOWN = BUILT_IN_EXECUTORS | {"rpa_base", *PIPELINE_TYPES}
# So near to a name that there is, a name that nobody offers is a slip of the pen.
SLIP = 0.8


async def check_executor(backend: Backend, executor: str, field: str) -> str | None:
    """A warning when no worker offers it. Raises `InvalidInput` when it is nearly the name of one that there is."""
    if not executor or executor in KNOWN:
        return None
    try:
        request = workers_pb2.ListWorkersRequest(task_type=executor, limit=1)
        if (await backend.worker(backend.workers.ListWorkers, request)).total:
            return None
    except TrawlError as error:
        log.warning("an executor's name was not checked", executor=executor, reason=error.message)
        return None
    if near := nearest(executor, KNOWN, SLIP):
        raise invalid(field, "known", f"no worker offers {executor!r}; did you mean {near!r}?", executor)
    return f"no worker offers {executor!r} now: its runs wait until one does"
