"""Tasks written in Python, and a client that runs tasks. Imported as `trawl`; must not know how the services work.

The client comes when it is first asked for: processes that only run tasks do without HTTP.
"""

from typing import TYPE_CHECKING, Any

from trawl_sdk.context import AsyncContext, Context
from trawl_sdk.errors import Cancelled, PermanentFailure, RunCancelled, RunFailed, TrawlError
from trawl_sdk.task import App, Task, task

if TYPE_CHECKING:
    from trawl_sdk.client import AsyncRun, AsyncTrawl, Run, Trawl

__all__ = [
    "App",
    "AsyncContext",
    "AsyncRun",
    "AsyncTrawl",
    "Cancelled",
    "Context",
    "PermanentFailure",
    "Run",
    "RunCancelled",
    "RunFailed",
    "Task",
    "Trawl",
    "TrawlError",
    "task",
]


def __getattr__(name: str) -> Any:
    """A name of the client. Raises AttributeError for any other."""
    if name in ("AsyncRun", "AsyncTrawl", "Run", "Trawl"):
        from trawl_sdk import client

        return getattr(client, name)
    raise AttributeError(f"module 'trawl_sdk' has no attribute {name!r}")
