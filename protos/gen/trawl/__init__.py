"""Trawl for Python programs: `from trawl import App, task, Trawl`. The protocol's messages are in the packages below.

The names come from `trawl_sdk` when they are first asked for, so that services which only need the messages load none
of it. `protos/generate.sh` copies this file beside the generated stubs.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trawl_sdk import App as App
    from trawl_sdk import AsyncContext as AsyncContext
    from trawl_sdk import AsyncRun as AsyncRun
    from trawl_sdk import AsyncTrawl as AsyncTrawl
    from trawl_sdk import Cancelled as Cancelled
    from trawl_sdk import Context as Context
    from trawl_sdk import PermanentFailure as PermanentFailure
    from trawl_sdk import Run as Run
    from trawl_sdk import RunCancelled as RunCancelled
    from trawl_sdk import RunFailed as RunFailed
    from trawl_sdk import Task as Task
    from trawl_sdk import Trawl as Trawl
    from trawl_sdk import TrawlError as TrawlError
    from trawl_sdk import task as task


def __getattr__(name: str) -> Any:
    """A name of the SDK. Raises AttributeError for any other."""
    if not name.startswith("_"):
        import trawl_sdk

        if name in trawl_sdk.__all__:
            return getattr(trawl_sdk, name)
    raise AttributeError(f"module 'trawl' has no attribute {name!r}")
