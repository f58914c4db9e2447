"""Rules of tasks in Python that need no worker."""

import re
import types
from typing import Any

import pytest
from sdk_kit import Said, end_of
from trawl import App, Cancelled, Context, PermanentFailure, task
from trawl_sdk.context import RunFacts


def test_a_task_is_named_by_its_function_and_can_still_be_called() -> None:
    @task
    def sync_users(count: int) -> int:
        """Synchronises."""
        return count + 1

    assert (sync_users.name, sync_users.queue, sync_users.retries) == ("sync-users", "fn-sync-users", 0)
    assert sync_users(1) == 2
    assert sync_users.description == "Synchronises."


@pytest.mark.parametrize("name", ["空间同步", "a b", "x" * 199, "a/b", "a.b"])
def test_every_name_has_a_queue_of_its_own(name: str) -> None:
    @task(name=name)
    def one() -> None: ...

    @task(name=name + "!")
    def other() -> None: ...

    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", one.queue)
    assert one.queue != other.queue


LIMITS: list[Any] = [
    {"retries": -1}, {"retries": 101}, {"timeout": 0}, {"timeout": 10**9}, {"retry_delay": 0}, {"name": "a\n"},
    {"name": "x" * 201},
]  # fmt: skip


@pytest.mark.parametrize("limits", LIMITS)
def test_limits_that_can_not_be_are_refused_where_they_are_written(limits: Any) -> None:
    with pytest.raises(ValueError, match=r"name|retries|timeout|retry_delay"):
        task(**limits)(lambda: None)


def test_an_app_is_what_it_is_given_as_long_as_each_name_comes_once() -> None:
    @task(name="a")
    def a() -> None: ...

    @task(name="a")
    def another() -> None: ...

    module = types.ModuleType("m")
    module.a, module.again, module.number = a, a, 1  # type: ignore[attr-defined]
    assert list(App.of(module, "m").tasks) == list(App.of(a, "m:a").tasks) == list(App.of([a], "m:x").tasks) == ["a"]
    with pytest.raises(ValueError, match="two tasks are named 'a'"):
        App(a, another)
    with pytest.raises(ValueError, match="has no tasks"):
        App.of([], "m:x")
    with pytest.raises(ValueError, match="neither"):
        App.of(1, "m:x")


def test_the_context_comes_first_and_parameters_by_name() -> None:
    @task
    def with_context(ctx: Context, a: int, b: int = 2) -> Any:
        return [ctx.run_id, a, b]

    @task
    def annotated(c: "Context", **rest: int) -> Any:
        return [c.attempt, rest]

    @task
    def without(a: int) -> Any:
        return a

    said = Said()
    assert end_of(with_context, said, a=1)["outcome"] == "completed"
    assert end_of(annotated, a=1, b=2)["outcome"] == "completed"
    assert end_of(without, a=1)["outcome"] == "completed"
    for params in ({}, {"a": 1, "c": 2}, {"ctx": 1, "a": 1}):
        assert end_of(with_context, **params)["code"] == "INVALID_PARAMETERS"


def test_each_way_to_fail_says_whether_to_try_again() -> None:
    @task
    def fails(kind: str) -> Any:
        if kind == "for good":
            raise PermanentFailure("no")
        if kind == "exit":
            raise SystemExit(3)
        if kind == "type":
            raise TypeError("something inside")
        return object() if kind == "object" else "x" * (5 * 1024 * 1024)

    said = Said()
    ends = {kind: end_of(fails, said, kind=kind) for kind in ("for good", "exit", "type", "object", "large")}
    assert {kind: (end["code"], end["retryable"]) for kind, end in ends.items()} == {
        "for good": ("PERMANENT_FAILURE", False),
        "exit": ("EXECUTION_FAILED", True),
        "type": ("EXECUTION_FAILED", True),
        "object": ("INVALID_RESULT", False),
        "large": ("RESULT_TOO_LARGE", False),
    }
    assert any("something inside" in message["message"] for message in said.messages if message["say"] == "log")


def test_a_cancelled_context_lets_nothing_more_be_said() -> None:
    context = Context(RunFacts(1, "x", 1, {}), Said())
    context.log("before")
    context.cancel()
    for say in (lambda: context.log("x"), lambda: context.emit({}), lambda: context.progress(1),
                lambda: context.checkpoint(1), lambda: context.sleep(60)):  # fmt: skip
        with pytest.raises(Cancelled):
            say()


def test_a_cancellation_that_came_before_its_run_began_is_not_lost() -> None:
    @task
    def waits(ctx: Context) -> None:
        ctx.sleep(60)

    said = Said()
    said.cancelled_runs.add((7, 1))
    assert end_of(waits, said) == {"say": "end", "outcome": "cancelled"}


def test_messages_of_a_function_are_checked_where_they_are_made() -> None:
    context = Context(RunFacts(1, "x", 1, {}), Said())
    with pytest.raises(ValueError, match="level"):
        context.log("x", level="loud")
    with pytest.raises(TypeError, match="dict"):
        context.emit([1])  # type: ignore[arg-type]
