"""The dry run of a step list: its canonical form, and what is wrong or doubtful in it. Must not know a browser."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from scraper.devtools_steps import is_devtools
from scraper.executor import InvalidParameters, Json
from scraper.recorded_steps import rows_of
from scraper.rpa_parameters import parse_any_steps, parse_rpa
from scraper.step_kinds import If, Input, KeyHold, Loop, Press, Step, Target
from scraper.steps import check_steps, dump_steps

# Keys of a row that say something about the run, not to its steps.
_ABOUT_THE_RUN = frozenset({"浏览器id", "browserId", "系统SKU", "taskId"})
_ROW = re.compile(r"\{\{\s*+row\.([^{}\s](?:[^{}]{0,298}[^{}\s])?)\s*+\}\}")
_MOVES = frozenset({
    "navigate", "click", "double_click", "press", "key_down", "scroll", "switch_tab", "close_tab", "custom", "select",
    "check",
})  # fmt: skip
_WAITS = frozenset({"wait_for", "assert", "navigate", "switch_tab", "switch_frame", "custom", "if"})
_READS = frozenset({"extract"})
_PASSWORD = re.compile(r"pass|pwd|密码|口令", re.IGNORECASE)
MAX_FINDINGS = 200


@dataclass(frozen=True, slots=True)
class Finding:
    """`error`: it can't run so; `warning`: it is doubtful. `code` names the kind."""

    level: Literal["error", "warning"]
    path: str
    message: str
    code: str = "invalid"


@dataclass(frozen=True, slots=True)
class Checked:
    """A dry run's outcome. `steps`: the canonical list; empty when there are errors."""

    format: str
    steps: Sequence[dict[str, Any]]
    findings: Sequence[Finding]


def check_definition(definition: Json) -> Checked:
    """`definition`: what a run has as parameters, a bare list of steps, or a recording of Chrome's."""
    if isinstance(definition, list | tuple) or (
        is_devtools(definition) and not isinstance(definition.get("steps"), Mapping) and "title" in definition
    ):
        definition = {"sortedData": definition}
    elif not isinstance(definition, Mapping):
        return Checked("canonical", [], [Finding("error", "", "must be a list of steps or an object that holds one")])
    kind = "canonical"
    try:
        rows = rows_of(definition.get("row"))
        name = definition.get("task_name") or definition.get("taskName") or ""
        steps, root, kind = parse_any_steps(definition, rows, str(name))
        if steps:
            # What stands beside the steps is refused by the run as well.
            parse_rpa(definition, str(name))
    except InvalidParameters as error:
        findings = _every_problem(definition) or [Finding("error", error.field, error.message)]
        return Checked(kind, [], findings[:MAX_FINDINGS])
    if not steps:
        return Checked(kind, [], [Finding("error", "steps", "there are no steps", "empty")])
    doubts = [*_row_keys(steps, rows, root), *_doubts(steps, root, has_rows=bool(rows))]
    return Checked(kind, dump_steps(steps), doubts[:MAX_FINDINGS])


def _every_problem(definition: Mapping[str, Json]) -> list[Finding]:
    """All problems of a canonical list; an import stops at its first."""
    raw = definition.get("steps")
    if not isinstance(raw, list | tuple) or definition.get("sortedData"):
        return []
    return [Finding("error", problem.path, problem.message) for problem in check_steps(raw)[1]]


def _row_keys(steps: Sequence[Step], rows: Sequence[Mapping[str, Json]], root: str) -> Iterator[Finding]:
    known = {str(key) for row in rows for key in row}
    used: dict[str, str] = {}
    for path, step in _all(steps, root):
        own = step.model_dump(mode="json", exclude={"steps", "then", "otherwise"})
        for text in _strings(own):
            for key in _ROW.findall(text):
                used.setdefault(key, path)
    for key, path in used.items():
        if key not in known:
            yield Finding("warning", path, f"row has no key {key[:100]!r}", "missing_row_key")
    for key in sorted(known - used.keys() - _ABOUT_THE_RUN):
        yield Finding("warning", f"row.{key[:100]}", "no step uses this key", "unused_row_key")


def _doubts(steps: Sequence[Step], path: str, *, has_rows: bool) -> Iterator[Finding]:
    moved = False
    for index, step in enumerate(steps):
        here = f"{path}[{index}]"
        if moved and step.type in _READS:
            message = "what is read may not be there yet: wait for it after the click"
            yield Finding("warning", here, message, "no_wait")
        if step.type in _WAITS or step.type in _READS or step.expect_navigation:
            moved = False
        elif step.type in ("click", "double_click") or (isinstance(step, Press | KeyHold) and step.key == "Enter"):
            moved = True
        if isinstance(step, Input) and _types_password(step):
            message = "a password stands in the steps: use {{secret:NAME}}"
            yield Finding("warning", here, message, "literal_secret")
        if isinstance(step, Loop):
            yield from _loop_doubts(step, here, has_rows=has_rows)
            yield from _doubts(step.steps, f"{here}.steps", has_rows=has_rows)
        elif isinstance(step, If):
            yield from _doubts(step.then, f"{here}.then", has_rows=has_rows)
            yield from _doubts(step.otherwise, f"{here}.else", has_rows=has_rows)


def _loop_doubts(step: Loop, here: str, *, has_rows: bool) -> Iterator[Finding]:
    if not step.steps:
        yield Finding("warning", here, "the loop has no steps", "empty_loop")
    if step.rows and not has_rows:
        yield Finding("warning", here, "there is no row to go through", "no_rows")
    if step.until is not None and not any(inner.type in _MOVES for _, inner in _all(step.steps, here)):
        message = f"nothing in it moves the page: it ends only after {step.max_iterations} rounds"
        yield Finding("warning", here, message, "endless_loop")


def _types_password(step: Input) -> bool:
    targets = step.target or ()
    literal = isinstance(step.value, str) and step.value and "{{" not in step.value
    return bool(literal) and any(_PASSWORD.search(" ".join(_texts(target))) for target in targets)


def _texts(target: Target) -> Iterator[str]:
    yield from (str(value) for value in target.model_dump(exclude_none=True).values())


def _all(steps: Sequence[Step], path: str) -> Iterator[tuple[str, Step]]:
    """Every step at every depth, which is bounded."""
    for index, step in enumerate(steps):
        here = f"{path}[{index}]"
        yield here, step
        if isinstance(step, Loop):
            yield from _all(step.steps, f"{here}.steps")
        elif isinstance(step, If):
            yield from _all(step.then, f"{here}.then")
            yield from _all(step.otherwise, f"{here}.else")


def _strings(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner)
