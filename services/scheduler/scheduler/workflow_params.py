"""The parameters of a step's run. Pure. Owns: filling them in, and keeping values apart from commands."""

from collections.abc import Mapping
from typing import Any

from scheduler.workflow import COMMAND_TYPES, Step
from scheduler.workflow_expression import Expression
from scheduler.workflow_template import Renderer, TemplateFailed, as_text, parse_text

Json = Any
VALUE = "step_value_"


def parameters_of(step: Step, data: Mapping[str, Json]) -> dict[str, Json]:
    """The parameters that the step's templates come to. Raises `TemplateFailed`.

    In the command and arguments of an inline step, values stay out of the text: each becomes a parameter of its own,
    and a place that the executor fills in. It knows how to quote, and reads no value for places again.
    """
    renderer = Renderer(data)
    if step.task_type not in COMMAND_TYPES:
        return {name: renderer.render(value) for name, value in step.params.items()}
    filled = {
        name: renderer.render(value) for name, value in step.params.items() if name not in ("command", "arguments")
    }
    values: dict[str, Json] = {}

    def place(value: Json) -> str:
        name = f"{VALUE}{len(values)}"
        values[name] = value
        return "{{" + name + "}}"

    def words(value: Json) -> Json:
        if isinstance(value, str):
            whole = renderer.text(value)
            if not isinstance(whole, list):
                raise TemplateFailed("arguments must come to a list")
            return [place(as_text(word)) for word in whole]
        return [word if parse_text(word) is None else place(as_text(renderer.text(word))) for word in value]

    def line(text: str) -> str:
        template = parse_text(text)
        pieces = template.pieces if template else (text,)
        return "".join(place(renderer.value(one)) if isinstance(one, Expression) else one for one in pieces)

    filled["command"] = line(step.params["command"])
    if step.params.get("arguments") is not None:
        filled["arguments"] = words(step.params["arguments"])
    return filled | values
