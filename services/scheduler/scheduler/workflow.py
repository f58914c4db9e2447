"""What a workflow is: steps that depend on each other. Pure. Owns: its limits and checks, which all name the step at
fault. Must not know how executions go, nor drivers or protocols.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any, Final, Literal

import orjson
from chassis.errors import InvalidInput
from wire.subjects import PRIORITIES, is_queue_name

from scheduler.run import Retry
from scheduler.schedule import parse_new
from scheduler.task import MAX_RETRIES, MAX_TIMEOUT_SECONDS
from scheduler.workflow_template import Template, parse_text, templates_in, texts_in

Json = Any
MAX_STEPS: Final = 200
MAX_NAME: Final = 100
MAX_STEP_ID: Final = 64
MAX_TEXT: Final = 10_000
MAX_ITEMS: Final = 10_000
# Places for expressions in all steps together.
MAX_TEMPLATES: Final = 10_000
# Runs of one step that go at once, unless the step says otherwise: what waits is what others wait behind.
DEFAULT_PARALLEL: Final = 1_000
MAX_DEFINITION_BYTES: Final = 1024 * 1024
MAX_PARAMS_BYTES: Final = 1024 * 1024
# Would be taken for the list of executions.
RESERVED_NAMES: Final = frozenset({"executions"})
# Their command and arguments are filled in by the executor, which knows how to quote.
COMMAND_TYPES: Final = frozenset({"shell", "python", "http"})
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f/]")


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `task` names a task, or else `task_type` says what `params` are for."""

    id: str
    task: str = ""
    task_type: str = ""
    params: Mapping[str, Json] = field(default_factory=dict)
    depends_on: tuple[str, ...] = ()
    # None: one run. A template, or a list: one run for each item.
    for_each: Json = None
    max_parallel: int = 0
    # None: always. A template, or a boolean.
    when: Json = None
    on_failure: Literal["fail", "continue"] = "fail"
    retry: Retry | None = None
    timeout_ms: int = 0
    priority: str = ""

    @property
    def many(self) -> bool:
        """Whether its result is a list."""
        return self.for_each is not None

    @property
    def parallel(self) -> int:
        """How many of its runs may go at once."""
        return self.max_parallel or DEFAULT_PARALLEL


@dataclass(frozen=True, slots=True)
class Workflow:
    """A definition. `id` and `version` are the store's; times in epoch ms."""

    name: str
    steps: tuple[Step, ...]
    description: str = ""
    schedule: str = ""
    misfire: str = "once"
    overlap: str = "skip"
    params: Mapping[str, Json] = field(default_factory=dict)
    id: int = 0
    version: int = 1
    created_ms: int = 0
    updated_ms: int = 0
    # Fire times up to this are none of this schedule's business: it was set or changed then.
    schedule_since_ms: int = 0

    def step(self, step_id: str) -> Step:
        """The step of that id."""
        return next(step for step in self.steps if step.id == step_id)


def check(workflow: Workflow) -> Workflow:
    """The workflow, if it is sound. Raises `InvalidInput` with the field, and the step's id in its details."""
    check_name(workflow.name)
    _refuse(len(workflow.description) > MAX_TEXT, "description", f"must be at most {MAX_TEXT} characters")
    _refuse(not workflow.steps, "steps", "must have at least one step")
    _refuse(len(workflow.steps) > MAX_STEPS, "steps", f"must be at most {MAX_STEPS}")
    _refuse(workflow.misfire not in ("once", "skip"), "misfire", "must be once or skip")
    _refuse(workflow.overlap not in ("skip", "allow"), "overlap", "must be skip or allow")
    if workflow.schedule:
        parse_new(workflow.schedule)
    check_params(workflow.params)
    _check_ids(workflow)
    for index, step in enumerate(workflow.steps):
        _check_step(step, f"steps[{index}]")
    _check_order(workflow)
    places = sum(text.count("{{") for text in template_texts(workflow))
    _refuse(places > MAX_TEMPLATES, "steps", f"must have at most {MAX_TEMPLATES} templates together, not {places}")
    above = ancestors(workflow)
    for index, step in enumerate(workflow.steps):
        _check_templates(step, f"steps[{index}]", above[step.id])
    return workflow


def template_texts(workflow: Workflow) -> list[str]:
    """Every text of the steps that may have templates."""
    # A list to go over is data.
    return texts_in([[s.params, s.when, s.for_each if isinstance(s.for_each, str) else None] for s in workflow.steps])


def check_name(name: str) -> None:
    """Raises `InvalidInput`. The name stands in a path."""
    _refuse(not name.strip(), "name", "is required")
    _refuse(len(name) > MAX_NAME, "name", f"must be at most {MAX_NAME} characters")
    _refuse(_UNPRINTABLE.search(name) is not None, "name", "must not contain / or control characters")
    _refuse(name.strip() != name or name in RESERVED_NAMES or name in (".", ".."), "name", f"can't be {name!r}")


def check_params(params: Mapping[str, Json]) -> None:
    """Raises `InvalidInput` for what an execution can't carry."""
    size = len(orjson.dumps(params))
    _refuse(size > MAX_PARAMS_BYTES, "params", f"must be at most {MAX_PARAMS_BYTES} bytes of JSON")


def _check_ids(workflow: Workflow) -> None:
    seen: set[str] = set()
    for index, step in enumerate(workflow.steps):
        place, shown = f"steps[{index}].id", step.id[:MAX_STEP_ID]
        _refuse(not step.id, place, "is required")
        good = len(step.id) <= MAX_STEP_ID and step.id.replace("-", "_").isidentifier()
        _refuse(not good, place, f"must be 1 to {MAX_STEP_ID} letters, digits, _ or -, a letter first", shown)
        _refuse(step.id in seen, place, "is there twice", shown)
        seen.add(step.id)
    for index, step in enumerate(workflow.steps):
        for dependency in step.depends_on:
            place = f"steps[{index}].dependsOn"
            _refuse(dependency == step.id, place, "names the step itself", step.id)
            _refuse(dependency not in seen, place, f"names an unknown step: {dependency[:MAX_STEP_ID]!r}", step.id)


def _check_step(step: Step, place: str) -> None:
    def refuse(wrong: bool, name: str, message: str) -> None:
        _refuse(wrong, f"{place}.{name}", message, step.id)

    refuse(not step.task and not step.task_type, "task", "is required, or taskType with params")
    refuse(bool(step.task and step.task_type), "taskType", "can't be given beside task")
    refuse(len(step.task) > 200, "task", "must be at most 200 characters")
    refuse(bool(step.task_type) and not is_queue_name(step.task_type), "taskType", "must be letters, digits, _ or -")
    if step.task_type in COMMAND_TYPES:
        command = step.params.get("command")
        refuse(not isinstance(command, str) or not command.strip(), "params.command", "is required")
        words = step.params.get("arguments")
        texts = isinstance(words, list) and all(isinstance(word, str) for word in words)
        refuse(not (words is None or texts or isinstance(words, str)), "params.arguments", "must be a list of strings")
    refuse(step.on_failure not in ("fail", "continue"), "onFailure", "must be fail or continue")
    refuse(not 0 <= step.max_parallel <= MAX_ITEMS, "maxParallel", f"must be 1 to {MAX_ITEMS}")
    refuse(not 0 <= step.timeout_ms <= MAX_TIMEOUT_SECONDS * 1000, "timeoutMs",
           f"must be 1 to {MAX_TIMEOUT_SECONDS * 1000}")  # fmt: skip
    refuse(
        bool(step.priority) and step.priority not in PRIORITIES, "priority", f"must be one of {', '.join(PRIORITIES)}"
    )
    if step.retry is not None:
        refuse(not 0 <= step.retry.max_retries <= MAX_RETRIES, "retry", f"must be 0 to {MAX_RETRIES}")
        refuse(not 0 <= step.retry.initial_ms <= 86_400_000, "retry.initialMs", "must be 0 to 86400000")
        refuse(not 1 <= step.retry.factor <= 100, "retry.factor", "must be 1 to 100")
        refuse(not 0 <= step.retry.max_ms <= 604_800_000, "retry.maxMs", "must be 0 to 604800000")
    if isinstance(step.for_each, list):
        refuse(len(step.for_each) > MAX_ITEMS, "forEach", f"must be at most {MAX_ITEMS} items")


def _check_order(workflow: Workflow) -> None:
    """Raises `InvalidInput` that names a step of a cycle."""
    waiting = {step.id: set(step.depends_on) for step in workflow.steps}
    while free := [step_id for step_id, needs in waiting.items() if not needs]:
        for step_id in free:
            del waiting[step_id]
        for needs in waiting.values():
            needs.difference_update(free)
    if not waiting:
        return
    # What is left leads into a cycle; going back along it long enough ends up on it.
    step_id = next(iter(waiting))
    for _ in waiting:
        step_id = next(iter(sorted(waiting[step_id])))
    cycle = [step_id]
    while (before := next(iter(sorted(waiting[cycle[-1]])))) != step_id:
        cycle.append(before)
    shown = " -> ".join([*cycle[:10], step_id])
    index = next(index for index, step in enumerate(workflow.steps) if step.id == step_id)
    raise _invalid(f"steps[{index}].dependsOn", f"closes a cycle: {shown}", step_id)


def ancestors(workflow: Workflow) -> dict[str, frozenset[str]]:
    """For each step those that it depends on, directly or not. The workflow has no cycle."""
    places = {step.id: place for place, step in enumerate(workflow.steps)}
    needs = {step.id: step.depends_on for step in workflow.steps}
    # A step's ancestors as the bits of a number: with many dependencies between many steps, sets take seconds.
    above: dict[str, int] = {}
    for step_id in TopologicalSorter(needs).static_order():
        bits = 0
        for need in needs[step_id]:
            bits |= above[need] | 1 << places[need]
        above[step_id] = bits
    return {
        step_id: frozenset(other for other, place in places.items() if bits >> place & 1)
        for step_id, bits in above.items()
    }


def _check_templates(step: Step, place: str, above: frozenset[str]) -> None:
    def read(name: str, work: Callable[[], Iterable[Template]], *, items: bool) -> list[Template]:
        try:
            templates = list(work())
        except InvalidInput as error:
            raise _invalid(f"{place}.{name}", error.message, step.id) from error
        for template in templates:
            for expression in template.expressions:
                for named, _ in expression.steps:
                    message = f"names step {named[:MAX_STEP_ID]!r}, which {step.id!r} does not depend on"
                    _refuse(named not in above, f"{place}.{name}", message, step.id)
                lonely = not items and bool(expression.roots & {"item", "index"})
                _refuse(lonely, f"{place}.{name}", "names item or index, which only the params of a forEach step have",
                        step.id)  # fmt: skip
        return templates

    read("params", lambda: templates_in(step.params), items=step.many)
    for name, value, what in (("when", step.when, bool), ("forEach", step.for_each, list)):
        if value is None or isinstance(value, what):
            continue
        wanted = "a template, {{…}}, or a " + ("boolean" if what is bool else "list")
        _refuse(not isinstance(value, str), f"{place}.{name}", f"must be {wanted}", step.id)
        templates = read(name, lambda text=value: [one for one in [parse_text(text)] if one], items=False)  # type: ignore[misc]  # mypy does not infer a lambda's default
        _refuse(not templates or not templates[0].whole, f"{place}.{name}", f"must be {wanted}", step.id)


def _refuse(wrong: bool, name: str, message: str, step: str = "") -> None:
    if wrong:
        raise _invalid(name, message, step)


def _invalid(name: str, message: str, step: str = "") -> InvalidInput:
    if not step:
        return InvalidInput(f"{name} {message}", field=name, rule="workflow")
    return InvalidInput(f"step {step!r}: {name.rpartition('].')[2]} {message}", field=name, rule="workflow", step=step)
