"""What can go wrong, for a task's author and for a client. Owns: the words of it. Pure."""

from typing import Any


class Cancelled(BaseException):
    """The run was cancelled, has run out of time, or its worker stops. Clean up and let it pass.

    Like `asyncio.CancelledError`, and for the same reason, it is no `Exception`.
    """


class PermanentFailure(Exception):
    """Raised by a task: the run has failed, and trying again can't help."""


class TrawlError(Exception):
    """A request was refused or could not be made. `status` is the HTTP status, 0 = there was no answer."""

    def __init__(self, message: str, *, status: int = 0, field: str | None = None) -> None:
        super().__init__(message)
        self.message, self.status, self.field = message, status, field


class RunFailed(TrawlError):
    """The run failed for good. `code` is a stable name such as TIMED_OUT."""

    def __init__(self, message: str, *, code: str | None, execution_id: str) -> None:
        super().__init__(message)
        self.code, self.execution_id = code, execution_id


class RunCancelled(TrawlError):
    """Somebody cancelled the run."""


Json = Any
