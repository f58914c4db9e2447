"""What the canonical steps are. Owns: those that read, wait and steer, and the list of all. Must not know a browser.

One list of these serves every contract that drives a browser; `steps.py` checks lists of them.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from scraper.executor import Json
from scraper.step_actions import (
    Check,
    Click,
    CloseTab,
    Download,
    EmulateNetwork,
    Hover,
    Input,
    KeyHold,
    Modifier,
    Navigate,
    Press,
    Scroll,
    Select,
    SetViewport,
    SwitchFrame,
    SwitchTab,
    Upload,
    UploadFile,
)
from scraper.step_base import MAX_TIMEOUT_MS, BaseStep
from scraper.step_targets import (
    Condition,
    ExpectedPage,
    Link,
    Model,
    Name,
    Point,
    Scalar,
    Selector,
    Target,
    Targets,
    Text,
)

# A number, or a template that gives one: `{{row.pages}}`.
Count = Annotated[int, Field(ge=0, le=100_000)] | Annotated[str, Field(pattern=r"^\s*(\{\{[^{}]+\}\}|\d{1,6})\s*$")]
ValueType = Literal["text", "number", "integer", "boolean", "url", "html"]
Transform = Literal["trim", "lower", "upper", "digits"]


class WaitFor(BaseStep):
    """Wait for one thing. With `target` also for how many there are and what they are like."""

    type: Literal["wait_for"]
    target: Targets | None = None
    # `visible` and `attached`: elements that are seen, or that are there at all, match what the step says.
    # `hidden`: those that are seen do not.
    state: Literal["visible", "attached", "hidden"] = "visible"
    count: Annotated[int, Field(ge=0, le=100_000)] | None = None
    operator: Literal["==", ">=", "<="] = ">="
    # Of all elements of the target: attributes have exactly these values; properties too, compared in depth.
    attributes: Annotated[dict[Name, Text], Field(max_length=50)] | None = None
    properties: Annotated[dict[Name, Json], Field(max_length=50)] | None = None
    url: Selector | None = None
    time_ms: Annotated[int, Field(ge=0, le=MAX_TIMEOUT_MS)] | None = None
    network_idle: bool = False

    @model_validator(mode="after")
    def _one_thing(self) -> "WaitFor":
        given = [self.target is not None, self.url is not None, self.time_ms is not None, self.network_idle]
        if given.count(True) != 1:
            raise ValueError("needs exactly one of target, url, timeMs, networkIdle")
        if self.about_elements and self.target is None:
            raise ValueError("state, count, operator, attributes and properties need target")
        return self

    def fits(self, found: int, *, good: bool) -> bool:
        """Whether so many elements are what is waited for; `good`: all have the attributes and properties."""
        count = 1 if self.count is None else self.count
        compared = {"==": found == count, ">=": found >= count, "<=": found <= count}
        return (compared[self.operator] and good) != (self.state == "hidden")

    @property
    def about_elements(self) -> bool:
        """Whether it says more of the target than that one is visible."""
        said = self.model_dump(
            include={"state", "count", "operator", "attributes", "properties"}, exclude_defaults=True
        )
        return bool(said)


class ExtractField(Model):
    """One value within an extracted element; without css or xpath it is the element's own."""

    css: Selector | None = None
    xpath: Selector | None = None
    attribute: Name | None = None
    type: ValueType = "text"
    transform: Transform | None = None
    list: bool = False


class Extract(BaseStep):
    """Take text, an attribute or fields of the target (all that match with `list`) into the result."""

    type: Literal["extract"]
    name: Name
    target: Targets | None = None
    list: bool = False
    fields: Annotated[dict[Name, ExtractField], Field(min_length=1, max_length=200)] | None = None
    attribute: Name | None = None
    value_type: ValueType = Field("text", alias="valueType")
    transform: Transform | None = None
    data_type: Annotated[str, Field(min_length=1, max_length=100)] = "item"

    @model_validator(mode="after")
    def _has_a_source(self) -> "Extract":
        if self.target is None and not self.fields:
            raise ValueError("needs target or fields")
        return self


class Screenshot(BaseStep):
    """Keep a picture of the page."""

    type: Literal["screenshot"]
    name: Name | None = None
    full_page: bool = False


class SetVariable(BaseStep):
    """Remember a value, or the target's text, as `{{vars.NAME}}`."""

    type: Literal["set_variable"]
    name: Name
    value: Json = None
    target: Targets | None = None
    attribute: Name | None = None


class Output(BaseStep):
    """Store a value, or the target's text, in the result."""

    type: Literal["output"]
    name: Name = "output"
    value: Scalar = None
    target: Targets | None = None
    attribute: Name | None = None


class Assert(BaseStep):
    """Fail unless the condition comes true in time."""

    type: Literal["assert"]
    when: Condition
    message: Text | None = None


class If(BaseStep):
    """Do `then` or `else`, by how things are now."""

    type: Literal["if"]
    when: Condition
    then: "tuple[Step, ...]" = ()
    otherwise: "tuple[Step, ...]" = Field((), alias="else")


class Loop(BaseStep):
    """Repeat `steps`; `{{vars.index}}` counts from 0. Inside `target`, steps look within the current element first."""

    type: Literal["loop"]
    steps: "tuple[Step, ...]"
    count: Count | None = None
    rows: bool = False
    target: Targets | None = None
    until: Condition | None = None
    max_iterations: Annotated[int, Field(ge=1, le=100_000)] = 1000

    @model_validator(mode="after")
    def _one_kind(self) -> "Loop":
        given = [self.count is not None, self.rows, self.target is not None, self.until is not None]
        if given.count(True) != 1:
            raise ValueError("needs exactly one of count, rows, target, until")
        return self


class Custom(BaseStep):
    """Call a handler that is registered in code on the worker."""

    type: Literal["custom"]
    name: Name
    value: Json = None


Step = Annotated[
    Navigate
    | Click
    | Hover
    | Input
    | Press
    | KeyHold
    | Select
    | Check
    | Scroll
    | WaitFor
    | Extract
    | Screenshot
    | SetVariable
    | Output
    | Assert
    | If
    | Loop
    | Upload
    | Download
    | SwitchTab
    | SwitchFrame
    | CloseTab
    | SetViewport
    | EmulateNetwork
    | Custom,
    Field(discriminator="type"),
]

If.model_rebuild()
Loop.model_rebuild()

__all__ = [
    "MAX_TIMEOUT_MS",
    "Assert",
    "Check",
    "Click",
    "CloseTab",
    "Condition",
    "Custom",
    "Download",
    "EmulateNetwork",
    "ExpectedPage",
    "Extract",
    "ExtractField",
    "Hover",
    "If",
    "Input",
    "KeyHold",
    "Link",
    "Loop",
    "Modifier",
    "Navigate",
    "Output",
    "Point",
    "Press",
    "Screenshot",
    "Scroll",
    "Select",
    "SetVariable",
    "SetViewport",
    "Step",
    "SwitchFrame",
    "SwitchTab",
    "Target",
    "Targets",
    "Upload",
    "UploadFile",
    "WaitFor",
]
