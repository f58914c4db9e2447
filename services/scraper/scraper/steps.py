"""Lists of canonical steps. Owns: their schema, and the checking of a list from outside. Must not know a browser.

`parse_steps` names the place of what is wrong, as in ``steps[3].target``.
"""

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from scraper import step_kinds as kinds
from scraper.executor import InvalidParameters, Json
from scraper.step_kinds import Step

MAX_STEPS = 10_000
MAX_DEPTH = 10
NESTED = ("steps", "then", "else")
_STEPS: TypeAdapter[tuple[Step, ...]] = TypeAdapter(tuple[Step, ...])
_BY_TYPE: Mapping[str, type[BaseModel]] = {
    kind: model for model in get_args(get_args(Step)[0]) for kind in get_args(model.model_fields["type"].annotation)
}
TYPES: Collection[str] = _BY_TYPE.keys()
# What stands under these members of a step.
_PARTS: Mapping[str, type[BaseModel]] = {
    "target": kinds.Target, "within": kinds.Link, "when": kinds.Condition, "until": kinds.Condition,
    "fields": kinds.ExtractField, "value": kinds.UploadFile, "position": kinds.Point, "to": kinds.Point,
    "expectNavigation": kinds.ExpectedPage, "expect_navigation": kinds.ExpectedPage,
}  # fmt: skip


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


def parse_step(raw: Mapping[str, Json], path: str) -> Step:
    """One step that was made of something that stands at `path`, which messages name."""
    steps, problems = check_steps([raw], path)
    if problems:
        raise InvalidParameters(problems[0].message, field=path + problems[0].path.removeprefix(f"{path}[0]"))
    return steps[0]


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
        for key in NESTED:
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


def nearest(name: str, known: Collection[str]) -> str:
    """Words that name the known name most like this one; empty when none is."""
    by_letters = {one.replace("_", "").lower(): one for one in known}
    found = difflib.get_close_matches(name.replace("_", "").lower()[:100], by_letters, n=1, cutoff=0.6)
    return f": did you mean {by_letters[found[0]]!r}?" if found else ""


def _problem(detail: ErrorDetails, raw: Json, root: str) -> Problem:
    path, here = root, raw
    # The step that it is in, and the members on the way from there.
    kind: Json = None
    members: list[str] = []
    parts = detail["loc"]
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if isinstance(part, int):
            if isinstance(here, list | tuple):
                path, here = f"{path}[{part}]", here[part] if part < len(here) else None
        elif isinstance(here, Mapping) and part in here:
            if not members or members[-1] in NESTED:
                kind, members = here.get("type"), []
            members.append(part)
            path, here = f"{path}.{part}", here[part]
        elif last and detail["type"] == "missing":
            path = f"{path}.{part}"
    if detail["type"] in ("union_tag_invalid", "union_tag_not_found"):
        named = here.get("type") if isinstance(here, Mapping) else None
        if named is None:
            return Problem(f"{path}.type", "is missing")
        return Problem(f"{path}.type", f"unknown step type {str(named)[:100]!r}{nearest(str(named), TYPES)}")
    if detail["type"] == "extra_forbidden":
        return Problem(path, f"unknown field{nearest(members[-1], _fields_beside(members, kind))}")
    return Problem(path, detail["msg"].removeprefix("Value error, "))


def _fields_beside(members: Sequence[str], kind: Json) -> Collection[str]:
    """The fields that are known where the last of these members stands."""
    model = _BY_TYPE.get(kind) if isinstance(kind, str) else None
    for member in members[:-1]:
        model = _PARTS.get(member, model)
    return [field.alias or name for name, field in model.model_fields.items()] if model else []
