"""What the templates of a step may name: params, and of earlier steps what these templates ask for. Owns the memory of
results. Must not know how executions go.
"""

import asyncio
from collections import OrderedDict, defaultdict
from typing import Any, Final

import orjson

from scheduler.mongo_workflow_items import Items, StepKey
from scheduler.workflow import Step, Workflow
from scheduler.workflow_state import Execution, Plan, StepStatus
from scheduler.workflow_template import TemplateFailed, takes_long, templates_in

Json = Any
# Parsed results that templates name are kept for a moment, up to this many bytes of JSON.
MAX_CACHED_BYTES: Final = 32 * 1024 * 1024


class StepData:
    """Raises `Unavailable` when a store can't be reached."""

    def __init__(self, items: Items) -> None:
        self._items = items
        self._results: OrderedDict[str, tuple[int, Json]] = OrderedDict()

    async def of(self, execution: Execution, plan: Plan, templates: Json) -> dict[str, Json]:
        """The params, and of steps what the templates in this JSON name. Raises `TemplateFailed`, `InvalidInput`."""
        found = (
            await asyncio.to_thread(templates_in, templates) if takes_long(templates) else templates_in(templates)
        )  # fmt: skip
        named: dict[str, set[str]] = defaultdict(set)
        for template in found:
            for expression in template.expressions:
                for step_id, member in expression.steps:
                    named[step_id].add(member)
        steps = {}
        for step_id, members in named.items():
            state = execution.steps[step_id]
            steps[step_id] = {
                "status": state.status.value, "error": state.error or None, "total": state.total,
                "completed": state.counts.completed, "failed": state.counts.failed,
                "cancelled": state.counts.cancelled, "result": None,
            }  # fmt: skip
            if members & {"", "result"}:
                steps[step_id]["result"] = await self._result(execution, plan, step_id)
        return {"params": plan.params, "steps": steps}

    async def _result(self, execution: Execution, plan: Plan, step_id: str) -> Json:
        step, state = plan.workflow.step(step_id), execution.steps[step_id]
        if state.result_bytes < 0:
            raise TemplateFailed(f"the result of step {step_id!r} is too large to be named in a template")
        if state.status is StepStatus.SKIPPED or not state.result_bytes:
            return None
        key = key_of(plan.workflow, execution.id, step)
        cached = self._results.get(key.text)
        if cached is None:
            inner = await self._items.results(key, state.total)
            cached = (state.result_bytes, orjson.loads(b"[" + inner + b"]" if step.many else inner))
            self._results[key.text] = cached
            while len(self._results) > 1 and sum(size for size, _ in self._results.values()) > MAX_CACHED_BYTES:
                self._results.popitem(last=False)
        self._results.move_to_end(key.text)
        return cached[1]


def key_of(workflow: Workflow, execution_id: str, step: Step) -> StepKey:
    """Where a step's items are kept."""
    return StepKey(execution_id, workflow.steps.index(step))
