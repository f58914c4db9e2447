"""Custom steps: handlers that are registered in code on the worker. Owns: finding one by name, and what it is handed.

A handler is an entry point of the group `trawl.custom_actions`: an async function of one `CustomCall`, whose result is
stored under the step's name. Entry points can't have a colon in their names: where the step has one, they have a dot.
No step ever brings code of its own. Must not know Playwright: `page` is handed on.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol

from chassis.logs import get_logger

from scraper.executor import Item, Job, Json
from scraper.step_error import StepError

log = get_logger("custom_actions")
GROUP = "trawl.custom_actions"
UNSUPPORTED = "UNSUPPORTED_CUSTOM_ACTION"


@dataclass(frozen=True, slots=True)
class CustomCall:
    """What a handler gets. `page`: a Playwright page, or None where there is no browser."""

    name: str
    value: Json
    row: Mapping[str, Json]
    # `{{vars.NAME}}` of the steps that follow; may be changed.
    variables: MutableMapping[str, Json]
    page: Any
    # level, message, data
    log: Callable[..., None]
    emit: Callable[[Sequence[Item]], Awaitable[None]]
    job: Job


Handler = Callable[[CustomCall], Awaitable[Json]]


class CustomActions(Protocol):
    """Calls handlers by name."""

    async def call(self, call: CustomCall) -> Json:
        """The handler's result. Raises `StepError` for an unknown name, and what the handler raises."""


class NoCustomActions:
    """There are none."""

    async def call(self, call: CustomCall) -> Json:
        """Always unknown."""
        raise unsupported(call.name)


class RegisteredActions:
    """Those of the installed packages; each is loaded when it is first called. `extra` goes before them."""

    def __init__(self, extra: Mapping[str, Handler] | None = None) -> None:
        self._loaded: dict[str, Handler] = dict(extra or {})
        self._found: dict[str, EntryPoint] | None = None

    async def call(self, call: CustomCall) -> Json:
        """See `CustomActions`. What a handler raises fails its step, in words that say nothing of the worker."""
        handler = self._loaded.get(call.name) or self._load(call.name)
        try:
            return await handler(call)
        except StepError:
            raise
        except Exception as error:
            log.warning("a custom action failed", action=call.name, exc_info=error)
            raise StepError(f"the custom action failed: {type(error).__name__}", code="CUSTOM_ACTION_FAILED") from error

    def _load(self, name: str) -> Handler:
        if self._found is None:
            self._found = {point.name: point for point in entry_points(group=GROUP)}
        point = self._found.get(name) or self._found.get(name.replace(":", "."))
        if point is None:
            raise unsupported(name)
        handler = point.load()
        if not inspect.iscoroutinefunction(handler):
            message = f"the custom action {name!r} is no async function: it could not be cancelled"
            raise StepError(message, code=UNSUPPORTED, fatal=True)
        self._loaded[name] = handler
        return self._loaded[name]


def unsupported(name: str) -> StepError:
    """Nobody has registered that name."""
    return StepError(f"custom action {name!r} is not supported on this worker", code=UNSUPPORTED, fatal=True)
