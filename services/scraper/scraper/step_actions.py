"""Steps that act on a page or its browser. Owns: their fields, defaults and limits. Must not know a browser."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from scraper.step_base import BaseStep
from scraper.step_targets import Model, Name, Point, Scalar, Selector, Targets, Text

MAX_HOLD_MS = 60_000

Button = Literal["left", "right", "middle", "back", "forward"]
Modifier = Literal["Alt", "Control", "Meta", "Shift"]
Modifiers = Annotated[tuple[Modifier, ...], Field(max_length=4)]


class Navigate(BaseStep):
    """Open an address; a relative one is resolved against BASE_URL or the page."""

    type: Literal["navigate"]
    url: Annotated[str, Field(min_length=1, max_length=20_000)]
    # Left out when the step before has led to this site by itself: Enter in a search field.
    unless_navigated: bool = False


class Click(BaseStep):
    """Click, and by default go on in the tab that the click opened."""

    type: Literal["click", "double_click"]
    target: Targets | None = None
    new_tab: Literal["follow", "stay"] = "follow"
    button: Button = "left"
    # From the target's top left corner; its middle when not given.
    position: Point | None = None
    # Held while it clicks, besides those that `key_down` holds.
    modifiers: Modifiers = ()
    # How long the button stays down.
    hold_ms: Annotated[int, Field(ge=0, le=MAX_HOLD_MS)] = 0
    device: Literal["mouse", "pen", "touch"] = "mouse"

    @model_validator(mode="after")
    def _can_be_done(self) -> "Click":
        if self.device == "touch" and (self.button != "left" or self.type == "double_click"):
            raise ValueError("device touch has no buttons, and taps once")
        return self


class Hover(BaseStep):
    """Move the pointer over the target."""

    type: Literal["hover"]
    target: Targets | None = None
    position: Point | None = None
    modifiers: Modifiers = ()


class Input(BaseStep):
    """`input` replaces a field's content; `type_keys` presses the keys one by one."""

    type: Literal["input", "type_keys"]
    target: Targets | None = None
    value: Scalar
    delay_ms: Annotated[int, Field(ge=0, le=1000)] = 0


class Press(BaseStep):
    """Press one key or chord (`Enter`, `Control+A`) in the target or whatever has the focus."""

    type: Literal["press"]
    key: Annotated[str, Field(min_length=1, max_length=50)]
    target: Targets | None = None


class KeyHold(BaseStep):
    """Press a key and hold it, or let it go: whatever comes between happens while it is held."""

    type: Literal["key_down", "key_up"]
    key: Annotated[str, Field(min_length=1, max_length=50)]


class Select(BaseStep):
    """Choose options by value or visible label."""

    type: Literal["select"]
    target: Targets | None = None
    value: Scalar | Annotated[tuple[Text, ...], Field(max_length=1000)]


class Check(BaseStep):
    """Tick, or untick with `value: false`."""

    type: Literal["check"]
    target: Targets | None = None
    value: bool | None = True


class Scroll(BaseStep):
    """Scroll the page by pixels, or a target into view; with `to`, the page or the target to that place in it."""

    type: Literal["scroll"]
    target: Targets | None = None
    direction: Literal["down", "up"] = "down"
    distance: Annotated[float, Field(ge=0, le=1_000_000)] = 800
    to: Point | None = None

    @model_validator(mode="after")
    def _by_or_to(self) -> "Scroll":
        if self.to is not None and self.model_fields_set & {"direction", "distance"}:
            raise ValueError("needs either to, or direction and distance")
        return self


class UploadFile(Model):
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


class Upload(BaseStep):
    """Put files into a file field: names of kept files (`<run id>/<file>`), or files that the step carries."""

    type: Literal["upload"]
    target: Targets | None = None
    value: Selector | UploadFile | Annotated[tuple[Selector | UploadFile, ...], Field(min_length=1, max_length=20)]


class Download(BaseStep):
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


class SwitchTab(BaseStep):
    """Go on in another tab: by number from 0, a part of its address or title; without any in the newest other one."""

    type: Literal["switch_tab"]
    index: Annotated[int, Field(ge=0, le=1000)] | None = None
    url: Selector | None = None
    title: Selector | None = None
    # A frame of the current tab with that `url` will do as well, when there is no such tab.
    frames: bool = False


class SwitchFrame(BaseStep):
    """Go on in a frame; without target in the page itself."""

    type: Literal["switch_frame"]
    target: Targets | None = None


class CloseTab(BaseStep):
    """Close the current tab; the newest other one becomes the current one."""

    type: Literal["close_tab"]


class SetViewport(BaseStep):
    """Give the current tab another size and kind of screen."""

    type: Literal["set_viewport"]
    width: Annotated[int, Field(ge=1, le=10_000)]
    height: Annotated[int, Field(ge=1, le=10_000)]
    device_scale_factor: Annotated[float, Field(gt=0, le=10)] = 1
    is_mobile: bool = False
    has_touch: bool = False
    is_landscape: bool = False


class EmulateNetwork(BaseStep):
    """Make the current tab's network slow. Without a value that bound is lifted."""

    type: Literal["emulate_network"]
    latency_ms: Annotated[float, Field(ge=0, le=600_000)] = 0
    download_bytes_per_second: Annotated[float, Field(gt=0)] | None = None
    upload_bytes_per_second: Annotated[float, Field(gt=0)] | None = None
    offline: bool = False
