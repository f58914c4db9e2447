"""What a task is: a function with a name and its limits. Owns the decorator and what it refuses. Must not know who runs
it.
"""

import hashlib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, ParamSpec, TypeVar, overload

from trawl_sdk.context import AsyncContext, Context

P = ParamSpec("P")
R = TypeVar("R")
MAX_NAME = 200
MAX_RETRIES = 100
MAX_TIMEOUT_SECONDS = 7 * 86_400
_QUEUE = re.compile(r"[A-Za-z0-9_-]{1,60}")


class Task(Generic[P, R]):
    """A function that Trawl can run; calling it calls the function. Made by `task`.

    `timeout` and `retry_delay` in seconds; `retries` counts what follows a first attempt that failed.
    """

    def __init__(
        self, function: Callable[P, R], *, name: str, retries: int, timeout: float, retry_delay: float
    ) -> None:
        if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
            raise ValueError(f"a task's name has 1 to {MAX_NAME} printable characters, not {name!r}")
        if not 0 <= retries <= MAX_RETRIES:
            raise ValueError(f"retries of task {name!r} must be 0 to {MAX_RETRIES}")
        if not 1 <= timeout <= MAX_TIMEOUT_SECONDS:
            raise ValueError(f"timeout of task {name!r} must be 1 to {MAX_TIMEOUT_SECONDS} seconds")
        if not 0 < retry_delay <= 86_400:
            raise ValueError(f"retry_delay of task {name!r} must be above 0 and at most a day, in seconds")
        self.function, self.name = function, name
        self.retries, self.timeout, self.retry_delay = retries, timeout, retry_delay
        self.description = inspect.getdoc(function) or ""
        self.is_async = inspect.iscoroutinefunction(function)
        self.takes_context = _takes_context(function)
        self.__wrapped__, self.__doc__ = function, function.__doc__
        self.__name__ = getattr(function, "__name__", name)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function, as if it were not a task."""
        return self.function(*args, **kwargs)

    @property
    def queue(self) -> str:
        """The queue that its runs wait in: one for each task, so that a worker gets only what it can do."""
        if _QUEUE.fullmatch(self.name):
            return f"fn-{self.name}"
        readable = re.sub(r"[^A-Za-z0-9_-]+", "-", self.name).strip("-")[:40]
        return f"fn-{readable}-{hashlib.sha256(self.name.encode()).hexdigest()[:12]}"

    def arguments(self, context: Any, params: Mapping[str, Any]) -> inspect.BoundArguments:
        """How the function is called for these parameters. Raises TypeError when they don't fit."""
        signature = inspect.signature(self.function)
        return signature.bind(*([context] if self.takes_context else []), **params)


def _takes_context(function: Callable[..., Any]) -> bool:
    """Whether the first parameter is the context: it is called `ctx`, or annotated as one."""
    for parameter in inspect.signature(function).parameters.values():
        hint = parameter.annotation
        named = hint.rpartition(".")[2] in ("Context", "AsyncContext") if isinstance(hint, str) else False
        return parameter.name == "ctx" or named or hint in (Context, AsyncContext)
    return False


@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...


@overload
def task(
    *, name: str = "", retries: int = 0, timeout: float = 3_600, retry_delay: float = 1
) -> Callable[[Callable[P, R]], Task[P, R]]: ...


def task(
    function: Callable[..., Any] | None = None, /, *, name: str = "", retries: int = 0, timeout: float = 3_600,
    retry_delay: float = 1,
) -> Any:  # fmt: skip
    """Make a function a task: `@task`, or `@task(name="sync-users", retries=2, timeout=60)`; seconds.

    The function gets the run's parameters by name, and the run's context when its first parameter is `ctx`. What it
    returns, as JSON, is the run's result. Raises ValueError for limits that can't be.
    """

    def decorate(decorated: Callable[..., Any]) -> Task[..., Any]:
        chosen = name or getattr(decorated, "__name__", "").replace("_", "-")
        return Task(decorated, name=chosen, retries=retries, timeout=timeout, retry_delay=retry_delay)

    return decorate if function is None else decorate(function)


class App:
    """The tasks of one worker, each name once. Raises ValueError for a name that comes twice."""

    def __init__(self, *tasks: "Task[..., Any]") -> None:
        self.tasks: dict[str, Task[..., Any]] = {}
        for one in tasks:
            self.add(one)

    def add(self, one: "Task[..., Any]") -> None:
        """Take one more."""
        if self.tasks.setdefault(one.name, one) is not one:
            raise ValueError(f"two tasks are named {one.name!r}")

    @classmethod
    def of(cls, found: object, where: str) -> "App":
        """The app that `found` is or stands for: an app, a task, several tasks, or a module with tasks in it."""
        if isinstance(found, App):
            app = found
        elif isinstance(found, Task):
            app = cls(found)
        elif inspect.ismodule(found):
            app = cls(*dict.fromkeys(value for value in vars(found).values() if isinstance(value, Task)))
        elif isinstance(found, Iterable):
            app = cls(*(one for one in found if isinstance(one, Task)))
        else:
            raise ValueError(f"{where} is neither an App nor a task")
        if not app.tasks:
            raise ValueError(f"{where} has no tasks: decorate a function with @task")
        return app
