"""How a run wants its browser to look. Owns: the options' names and limits. Must not know Playwright."""

from collections.abc import Mapping
from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.alias_generators import to_camel

from scraper.executor import InvalidParameters, Json


class Viewport(BaseModel):
    """Size of the page in CSS pixels."""

    model_config = ConfigDict(frozen=True)
    width: Annotated[int, Field(ge=100, le=4000)] = 1366
    height: Annotated[int, Field(ge=100, le=10_000)] = 800


class DialogText(BaseModel):
    """What is typed into a prompt; other dialogs are accepted."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    text: Annotated[str, Field(max_length=2000)]


DialogAnswer = Literal["accept", "dismiss"] | DialogText


class BrowserOptions(BaseModel):
    """Options of one run's context. Without a user agent the browser says truthfully what it is."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)
    user_agent: Annotated[str, Field(pattern=r"^[\x20-\x7e]{1,500}$")] | None = None
    viewport: Viewport = Viewport()
    locale: Annotated[str, Field(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,3}$")] = "en-US"
    timezone: str | None = None
    # A proxy of the pool that everything goes through.
    proxy_id: Annotated[str, Field(pattern=r"^[\w.-]{1,200}$")] | None = None
    # Kinds of resources that aren't loaded.
    block: frozenset[Literal["image", "font", "media", "stylesheet"]] = frozenset()
    # What alerts, questions and prompts of the pages are answered.
    dialogs: DialogAnswer = "dismiss"

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        if value is not None and value not in available_timezones():
            raise ValueError("is not a known time zone")
        return value


def parse_browser_options(raw: Json, root: str = "browser") -> BrowserOptions:
    """The checked options; raises `InvalidParameters` naming the field."""
    if raw is None:
        return BrowserOptions()
    if not isinstance(raw, Mapping):
        raise InvalidParameters("must be an object", field=root)
    try:
        return BrowserOptions.model_validate(dict(raw))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join([root, *(str(part) for part in first["loc"])])
        raise InvalidParameters(first["msg"].removeprefix("Value error, "), field=path) from None
