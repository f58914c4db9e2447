"""How steps name elements and say how things must be. Owns: targets, conditions, expected pages and their limits.

Must not know types of steps, nor a browser.
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

from scraper.executor import Json

MAX_STRING = 1_000_000
MAX_LINKS = 10

Text = Annotated[str, Field(max_length=MAX_STRING)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Selector = Annotated[str, Field(min_length=1, max_length=10_000)]
Scalar = Text | int | float | bool | None
Pixels = Annotated[float, Field(ge=-1_000_000, le=1_000_000)]


class Model(BaseModel):
    """What all parts of a step list have in common: names as in JSON, and no field that isn't known."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class Link(Model):
    """Ways to find an element, tried in the order of the fields."""

    css: Selector | None = None
    # Narrows `css` to the elements that contain this text.
    has_text: Selector | None = None
    xpath: Selector | None = None
    id: Selector | None = None
    text: Selector | None = None
    role: Annotated[str, Field(pattern=r"^[a-z]{1,30}$")] | None = None
    # The accessible name; without `role` of whatever has it, and exactly.
    name: Selector | None = None
    label: Selector | None = None
    placeholder: Selector | None = None
    # Whether text, name, label and placeholder are given as a whole. Otherwise a part will do, if no whole one does.
    exact: bool = False
    # Whether `css` reaches into open shadow roots.
    pierce: bool = True

    @model_validator(mode="after")
    def _has_a_way(self) -> "Link":
        if not any((self.css, self.xpath, self.id, self.text, self.role, self.name, self.label, self.placeholder)):
            raise ValueError("needs one of css, xpath, id, text, role, name, label, placeholder")
        if self.has_text and not self.css:
            raise ValueError("hasText needs css")
        return self


class Target(Link):
    """One element, or what matches where all count."""

    # The elements that hold it, from the outside in. Each is looked for in the shadow root of the one before, when that
    # has one; its `css` never reaches further.
    within: Annotated[tuple[Link, ...], Field(max_length=MAX_LINKS)] = ()
    # CSS of the iframe that holds it; nested ones are joined by " >> ".
    frame: Selector | None = None


Targets = Annotated[tuple[Target, ...], Field(min_length=1, max_length=20)]


class Targeted(Model):
    """`target` is one target, or a list of them that is tried in order."""

    @field_validator("target", mode="before", check_fields=False)
    @classmethod
    def _one_or_many(cls, value: Json) -> Json:
        return [value] if isinstance(value, Mapping) else value


class Condition(Targeted):
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


class ExpectedPage(Model):
    """A page that a step leads to: any, or the one with this address and title, where `*` stands for anything."""

    url: Selector | None = None
    title: Selector | None = None


class Point(Model):
    """A place in CSS pixels, from the left and from the top."""

    x: Pixels = 0
    y: Pixels = 0
