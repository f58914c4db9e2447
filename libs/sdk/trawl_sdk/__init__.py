"""Tasks written in Python, and a client that runs tasks. Imported as `trawl`; must not know how the services work."""

from trawl_sdk.client import AsyncRun, AsyncTrawl, Run, Trawl
from trawl_sdk.context import AsyncContext, Checkpoint, Context
from trawl_sdk.errors import Cancelled, PermanentFailure, RunCancelled, RunFailed, TrawlError
from trawl_sdk.task import App, Task, task

__all__ = [
    "App",
    "AsyncContext",
    "AsyncRun",
    "AsyncTrawl",
    "Cancelled",
    "Checkpoint",
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
