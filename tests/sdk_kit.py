"""Runs of tasks in Python without a worker, for tests."""

from typing import Any

from trawl import App, Task
from trawl_sdk.child import Runner


class Said:
    """What a function has said, instead of a worker."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.cancelled_runs: set[tuple[int, int]] = set()
        self.cancel: Any = None

    def send(self, message: Any) -> None:
        self.messages.append(message)

    def ask(self, message: Any) -> None:
        self.messages.append(message)


def end_of(function: Task[..., Any], said: Said | None = None, **params: Any) -> Any:
    """How a run of the function ends."""
    order = {"task": function.name, "run_id": 7, "attempt": 1, "params": params, "checkpoint": None}
    return Runner(App(function), said or Said()).run(order)  # type: ignore[arg-type]
