"""Public ids of tasks and executions. Owns: the way between them and the scheduler's numbers. Pure."""

from gateway.checks import MAX_ID


def task_id_of(number: int) -> str:
    """`task-12`"""
    return f"task-{number}"


def execution_id_of(number: int) -> str:
    """`exec-12`"""
    return f"exec-{number}"


def task_number(public: str) -> int:
    """The task's number; 0 for what never was an id."""
    return _number("task-", public)


def execution_number(public: str) -> int:
    """The run's number; 0 for what never was an id."""
    return _number("exec-", public)


def _number(prefix: str, public: str) -> int:
    digits = public.removeprefix(prefix)
    if digits == public or not (digits.isascii() and digits.isdigit()) or digits[0] == "0" or len(digits) > 18:
        return 0
    number = int(digits)
    return number if number <= MAX_ID else 0
