"""What the canonical browser steps are. Owns: each type's fields, defaults and limits. Must not know a browser.

One list of these serves every contract that drives a browser; `steps.py` checks lists of them.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

from scraper.executor import Json

MAX_STRING = 1_000_000
DEFAULT_TIMEOUT_MS = 30_000
MAX_TIMEOUT_MS = 30 * 60 * 1000

Text = Annotated[str, Field(max_length=MAX_STRING)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Selector = Annotated[str, Field(min_length=1, max_length=10_000)]
Scalar = Text | int | float | bool | None
# A number, or a template that gives one: `{{row.pages}}`.
Count = Annotated[int, Field(ge=0, le=100_000)] | Annotated[str, Field(pattern=r"^\s*(\{\{[^{}]+\}\}|\d{1,6})\s*$")]
ValueType = Literal["text", "number", "integer", "boolean", "url", "html"]
Transform = Literal["trim", "lower", "upper", "digits"]


class _Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)


class Target(_Model):
    """Ways to find one element, tried in the order of the fields."""

    css: Selector | None = None
    # Narrows `css` to the elements that contain this text.
    has_text: Selector | None = None
    xpath: Selector | None = None
    id: Selector | None = None
    text: Selector | None = None
    role: Annotated[str, Field(pattern=r"^[a-z]{1,30}$")] | None = None
    name: Selector | None = None
    label: Selector | None = None
    placeholder: Selector | None = None
    # CSS of the iframe that holds it; nested ones are joined by " >> ".
    frame: Selector | None = None

    @model_validator(mode="after")
    def _has_a_way(self) -> "Target":
        if not any((self.css, self.xpath, self.id, self.text, self.role, self.label, self.placeholder)):
            raise ValueError("needs one of css, xpath, id, text, role, label, placeholder")
        if self.name and not self.role:
            raise ValueError("name needs role")
        if self.has_text and not self.css:
            raise ValueError("hasText needs css")
        return self


def _as_list(value: Json) -> Json:
    return [value] if isinstance(value, Mapping) else value


class _Targeted(_Model):
    """`target` is one target, or a list of them that is tried in order."""

    @field_validator("target", mode="before", check_fields=False)
    @classmethod
    def _one_or_many(cls, value: Json) -> Json:
        return _as_list(value)


Targets = Annotated[tuple[Target, ...], Field(min_length=1, max_length=20)]


class Condition(_Targeted):
    """All that is given must hold: `target` (visible, or not with `visible: false`), `url`, `text`, `equals`."""

    target: Targets | None = None
    visible: bool = True
    # A part of the address, or all of it with `*` for anything.
    url: Selector | None = None
    # Contained in the target's text, or in the page's.
    text: Selector | None = None
    equals: tuple[Scalar, Scalar] | None = None
    negate: bool = Field(False, alias="not")

    @model_validator(mode="after")
    def _says_something(self) -> "Condition":
        if not (self.target or self.url or self.text or self.equals):
            raise ValueError("needs one of target, url, text, equals")
        return self


class _Step(_Targeted):
    timeout_ms: Annotated[int, Field(ge=1, le=MAX_TIMEOUT_MS)] = DEFAULT_TIMEOUT_MS
    on_error: Literal["fail", "continue", "retry"] = "fail"
    retries: Annotated[int, Field(ge=0, le=10)] = 0
    # The step is left out when its target isn't there in time.
    optional: bool = False
    # Keep a picture after the step.
    screenshot: bool = False
    # Rest before the step: recorded pauses are replayed with it.
    pause_ms: Annotated[int, Field(ge=0, le=120_000)] = 0
    # Where an imported step came from, as in `sortedData[3]`.
    source: Annotated[str, Field(max_length=200)] | None = None


class Navigate(_Step):
    """Open an address; a relative one is resolved against BASE_URL or the page."""

    type: Literal["navigate"]
    url: Annotated[str, Field(min_length=1, max_length=20_000)]
    # Left out when the step before has led to this site by itself: Enter in a search field.
    unless_navigated: bool = False


class Click(_Step):
    """Click, and by default go on in the tab that the click opened."""

    type: Literal["click", "double_click"]
    target: Targets | None = None
    new_tab: Literal["follow", "stay"] = "follow"


class Hover(_Step):
    """Move the pointer over the target."""

    type: Literal["hover"]
    target: Targets | None = None


class Input(_Step):
    """`input` replaces a field's content; `type_keys` presses the keys one by one."""

    type: Literal["input", "type_keys"]
    target: Targets | None = None
    value: Scalar
    delay_ms: Annotated[int, Field(ge=0, le=1000)] = 0


class Press(_Step):
    """Press one key or chord (`Enter`, `Control+A`) in the target or whatever has the focus."""

    type: Literal["press"]
    key: Annotated[str, Field(min_length=1, max_length=50)]
    target: Targets | None = None


class Select(_Step):
    """Choose options by value or visible label."""

    type: Literal["select"]
    target: Targets | None = None
    value: Scalar | Annotated[tuple[Text, ...], Field(max_length=1000)]


class Check(_Step):
    """Tick, or untick with `value: false`."""

    type: Literal["check"]
    target: Targets | None = None
    value: bool | None = True


class Scroll(_Step):
    """Scroll the page by pixels, or a target into view."""

    type: Literal["scroll"]
    target: Targets | None = None
    direction: Literal["down", "up"] = "down"
    distance: Annotated[float, Field(ge=0, le=1_000_000)] = 800


class WaitFor(_Step):
    """Wait for one thing."""

    type: Literal["wait_for"]
    target: Targets | None = None
    url: Selector | None = None
    time_ms: Annotated[int, Field(ge=0, le=MAX_TIMEOUT_MS)] | None = None
    network_idle: bool = False

    @model_validator(mode="after")
    def _one_thing(self) -> "WaitFor":
        given = [self.target is not None, self.url is not None, self.time_ms is not None, self.network_idle]
        if given.count(True) != 1:
            raise ValueError("needs exactly one of target, url, timeMs, networkIdle")
        return self


class ExtractField(_Model):
    """One value within an extracted element; without css or xpath it is the element's own."""

    css: Selector | None = None
    xpath: Selector | None = None
    attribute: Name | None = None
    type: ValueType = "text"
    transform: Transform | None = None
    list: bool = False


class Extract(_Step):
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


class Screenshot(_Step):
    """Keep a picture of the page."""

    type: Literal["screenshot"]
    name: Name | None = None
    full_page: bool = False


class SetVariable(_Step):
    """Remember a value, or the target's text, as `{{vars.NAME}}`."""

    type: Literal["set_variable"]
    name: Name
    value: Json = None
    target: Targets | None = None
    attribute: Name | None = None


class Output(_Step):
    """Store a value, or the target's text, in the result."""

    type: Literal["output"]
    name: Name = "output"
    value: Scalar = None
    target: Targets | None = None
    attribute: Name | None = None


class Assert(_Step):
    """Fail unless the condition comes true in time."""

    type: Literal["assert"]
    when: Condition
    message: Text | None = None


class If(_Step):
    """Do `then` or `else`, by how things are now."""

    type: Literal["if"]
    when: Condition
    then: "tuple[Step, ...]" = ()
    otherwise: "tuple[Step, ...]" = Field((), alias="else")


class Loop(_Step):
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


class UploadFile(_Model):
    """A file that the step itself carries, as `text` or `base64`."""

    name: Name
    text: Text | None = None
    base64: Annotated[str, Field(max_length=50_000_000)] | None = None
    content_type: Annotated[str, Field(pattern=r"^[\w.+-]+/[\w.+-]+$", max_length=100)] = "application/octet-stream"

    @model_validator(mode="after")
    def _has_content(self) -> "UploadFile":
        if (self.text is None) == (self.base64 is None):
            raise ValueError("needs either text or base64")
        return self


class Upload(_Step):
    """Put files into a file field: names of kept files (`<run id>/<file>`), or files that the step carries."""

    type: Literal["upload"]
    target: Targets | None = None
    value: Selector | UploadFile | Annotated[tuple[Selector | UploadFile, ...], Field(min_length=1, max_length=20)]


class Download(_Step):
    """Keep the file that a click on the target brings, or that an address holds."""

    type: Literal["download"]
    target: Targets | None = None
    url: Selector | None = None
    name: Name | None = None

    @model_validator(mode="after")
    def _has_a_source(self) -> "Download":
        if self.target is not None and self.url is not None:
            raise ValueError("needs target or url, not both")
        return self


class SwitchTab(_Step):
    """Go on in another tab: by number from 0, a part of its address or title; without any in the newest other one."""

    type: Literal["switch_tab"]
    index: Annotated[int, Field(ge=0, le=1000)] | None = None
    url: Selector | None = None
    title: Selector | None = None


class SwitchFrame(_Step):
    """Go on in a frame; without target in the page itself."""

    type: Literal["switch_frame"]
    target: Targets | None = None


class Custom(_Step):
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
    | Custom,
    Field(discriminator="type"),
]

If.model_rebuild()
Loop.model_rebuild()
