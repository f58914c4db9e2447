"""What of a step list makes no sense without a browser. Owns: which steps, fields and targets are refused. Pure."""

from collections.abc import Iterator, Sequence

from pydantic import BaseModel

from scraper import step_kinds as kinds
from scraper.executor import InvalidParameters

SUPPORTED = frozenset({
    "navigate", "click", "scroll", "wait_for", "extract", "set_variable", "output", "assert", "if", "loop", "custom",
    "set_viewport",
})  # fmt: skip
# What these types have that only a browser can do. A place in a link, and how long it is held, lead nowhere else.
_BROWSERS_FIELDS = {
    "click": ("button", "modifiers", "device"),
    "wait_for": ("properties", "network_idle"),
}


def check_without_browser(steps: Sequence[kinds.Step], root: str) -> None:
    """Raises `InvalidParameters` that names the first step, and the field of it, which needs a browser."""
    for index, step in enumerate(steps):
        here = f"{root}[{index}]"
        if refused := _refused(step):
            source = f" ({step.source})" if step.source else ""
            what = "" if refused == step.type else f" {refused}"
            raise InvalidParameters(f"{step.type}{what}{source} needs a browser: use /scrape", field=here)
        if isinstance(step, kinds.Loop):
            check_without_browser(step.steps, f"{here}.steps")
        elif isinstance(step, kinds.If):
            check_without_browser(step.then, f"{here}.then")
            check_without_browser(step.otherwise, f"{here}.else")


def _refused(step: kinds.Step) -> str | None:
    if step.type not in SUPPORTED:
        return step.type
    for name in _BROWSERS_FIELDS.get(step.type, ()):
        field = type(step).model_fields[name]
        if getattr(step, name) != field.default:
            return field.alias or name
    return next(_refused_in_targets(step), None)


def _refused_in_targets(step: kinds.Step) -> Iterator[str]:
    places: list[BaseModel] = [step]
    conditions = (getattr(step, "when", None), getattr(step, "until", None))
    places += [one for one in conditions if isinstance(one, kinds.Condition)]
    for place in places:
        for target in getattr(place, "target", None) or ():
            if target.within:
                yield "target.within"
            if target.frame:
                yield "target.frame"
