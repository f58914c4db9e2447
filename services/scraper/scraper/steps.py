"""Lists of canonical steps. Owns: their schema, and the checking of a list from outside. Must not know a browser.

`parse_steps` names the place of what is wrong, as in ``steps[3].target``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from scraper.executor import InvalidParameters, Json
from scraper.step_kinds import Step

MAX_STEPS = 10_000
MAX_DEPTH = 10
_NESTED = ("steps", "then", "else")
_STEPS: TypeAdapter[tuple[Step, ...]] = TypeAdapter(tuple[Step, ...])


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and where: `steps[3].target`."""

    path: str
    message: str


def step_schema() -> dict[str, Any]:
    """The JSON Schema of a step list."""
    return _STEPS.json_schema(by_alias=True)


def parse_steps(raw: Json, root: str = "steps") -> tuple[Step, ...]:
    """The checked steps; raises `InvalidParameters` with the path of the first thing that is wrong."""
    steps, problems = check_steps(raw, root)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise InvalidParameters(problems[0].message + more, field=problems[0].path)
    return steps


def check_steps(raw: Json, root: str = "steps") -> tuple[tuple[Step, ...], tuple[Problem, ...]]:
    """The checked steps and what is wrong with them; there are no steps when anything is."""
    if not isinstance(raw, Sequence) or isinstance(raw, str | bytes):
        return (), (Problem(root, "must be a list of steps"),)
    if problem := _too_much(raw, root):
        return (), (problem,)
    try:
        return _STEPS.validate_python(tuple(raw)), ()
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)[:100]
        return (), tuple(_problem(detail, raw, root) for detail in details)


def dump_steps(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """The steps as canonical JSON, without what has its default."""
    return [step.model_dump(mode="json", by_alias=True, exclude_defaults=True) for step in steps]


def _children(step: Json, path: str) -> Iterator[tuple[Sequence[Json], str]]:
    if isinstance(step, Mapping):
        for key in _NESTED:
            if isinstance(step.get(key), list | tuple):
                yield step[key], f"{path}.{key}"


def _too_much(raw: Sequence[Json], root: str) -> Problem | None:
    """Counted before anything recurses into it, as the list comes from outside."""
    total, waiting = 0, [(raw, root, 1)]
    while waiting:
        steps, path, depth = waiting.pop()
        total += len(steps)
        if total > MAX_STEPS:
            return Problem(root, f"has more than {MAX_STEPS} steps")
        if depth > MAX_DEPTH:
            return Problem(path, f"is nested deeper than {MAX_DEPTH} levels")
        for index, step in enumerate(steps):
            waiting += [(inner, where, depth + 1) for inner, where in _children(step, f"{path}[{index}]")]
    return None


def _problem(detail: ErrorDetails, raw: Json, root: str) -> Problem:
    path, here = root, raw
    parts = detail["loc"]
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if isinstance(part, int):
            if isinstance(here, list | tuple):
                path, here = f"{path}[{part}]", here[part] if part < len(here) else None
        elif isinstance(here, Mapping) and part in here:
            path, here = f"{path}.{part}", here[part]
        elif last and detail["type"] == "missing":
            path = f"{path}.{part}"
    if detail["type"] in ("union_tag_invalid", "union_tag_not_found"):
        kind = here.get("type") if isinstance(here, Mapping) else None
        return Problem(f"{path}.type", "is missing" if kind is None else f"unknown step type {str(kind)[:100]!r}")
    return Problem(path, detail["msg"].removeprefix("Value error, "))
