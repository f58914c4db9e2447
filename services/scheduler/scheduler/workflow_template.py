"""Templates of workflows: `{{params.q}}`, `{{steps.list.result.items}}`, `{{item.url == null}}`. Pure. Owns: texts with
places for expressions, and filling them in. Must not know workflows, drivers or protocols.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import orjson

from scheduler.workflow_expression import Expression, ExpressionFailed, Missing, invalid, parse_expression

Json = Any
MAX_TEXT: Final = 64 * 1024
# How much JSON one rendering may make, bytes: a value may be named many times.
MAX_RENDERED_BYTES: Final = 16 * 1024 * 1024
# How much JSON the comparisons of one rendering may look at, bytes.
MAX_COMPARED_BYTES: Final = 64 * 1024 * 1024
# So many characters of templates are read, or so many places filled in, in less than a loop's moment.
QUICK: Final = 4_000
_PLACE = re.compile(r"""\{\{((?:"[^"]*"|'[^']*'|[^"'{}])*+)\}\}""")


class TemplateFailed(Exception):
    """The template is sound, but not for this data. The message says what is missing or does not fit."""


@dataclass(frozen=True, slots=True)
class Template:
    """A text with places. `whole`: it is one place, and keeps the type of its value."""

    pieces: tuple[str | Expression, ...]
    whole: bool

    @property
    def expressions(self) -> list[Expression]:
        """Its places."""
        return [piece for piece in self.pieces if isinstance(piece, Expression)]


def parse_text(text: str) -> Template | None:
    """The template; None for a text without places. Raises `InvalidInput` (the caller adds where it stands)."""
    if "{{" not in text:
        return None
    if len(text) > MAX_TEXT:
        raise invalid(f"a text with templates must be at most {MAX_TEXT} characters")
    return _parse_text(text)


@lru_cache(maxsize=256)  # of texts up to MAX_TEXT
def _parse_text(text: str) -> Template:
    pieces: list[str | Expression] = []
    position = 0
    for match in _PLACE.finditer(text):
        pieces += [text[position : match.start()], parse_expression(match[1])]
        position = match.end()
    pieces.append(text[position:])
    literal = [piece for piece in pieces if isinstance(piece, str)]
    if any("{{" in piece for piece in literal):
        raise invalid("a template is not closed, or has braces or quotes that don't belong there")
    whole = len(pieces) == 3 and not "".join(literal).strip()
    return Template(tuple(piece for piece in pieces if piece != ""), whole)


@dataclass(slots=True)
class Renderer:
    """Fills in templates from one set of data: `params`, `steps`, and for items `item` and `index`."""

    data: Mapping[str, Json]
    left_bytes: int = MAX_RENDERED_BYTES
    left_compared: int = MAX_COMPARED_BYTES
    # By identity; the value is kept, so that no other one takes its place.
    _sizes: dict[int, tuple[Json, int]] = field(default_factory=dict)

    def render(self, value: Json) -> Json:
        """`value` with the templates in its strings filled in. Raises `TemplateFailed`."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {key: self.render(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.render(inner) for inner in value]
        return value

    def text(self, text: str) -> Json:
        """One text filled in; one that is a single place keeps the value's type."""
        template = parse_text(text)
        if template is None:
            self._spend(len(text))
            return text
        if template.whole:
            return self.value(template.expressions[0])
        filled = [piece if isinstance(piece, str) else as_text(self.value(piece)) for piece in template.pieces]
        return "".join(filled)

    def value(self, expression: Expression) -> Json:
        """What the expression comes to. Raises `TemplateFailed` for what data does not have."""
        value = self._work_out(expression)
        if isinstance(value, Missing):
            raise TemplateFailed(f"{{{{{expression.text[:200]}}}}}: there is no {value.name}")
        self._spend(self._size(value))
        return value

    def holds(self, expression: Expression) -> bool:
        """Whether the condition is true; what data does not have is false."""
        return bool(self._work_out(expression))

    def _work_out(self, expression: Expression) -> Json:
        try:
            return expression.value(self.data, self._compared)
        except ExpressionFailed as error:
            raise TemplateFailed(f"{{{{{expression.text[:200]}}}}}: {error}") from error

    def _size(self, value: Json) -> int:
        if isinstance(value, str):
            return len(value)
        if not isinstance(value, dict | list):
            return 8
        known = self._sizes.get(id(value))
        if known is None:
            known = self._sizes[id(value)] = (value, len(orjson.dumps(value)))
        return known[1]

    def _compared(self, value: Json) -> None:
        self.left_compared -= self._size(value)
        if self.left_compared < 0:
            raise TemplateFailed(f"the templates compare more than {MAX_COMPARED_BYTES} bytes")

    def _spend(self, count: int) -> None:
        self.left_bytes -= count
        if self.left_bytes < 0:
            raise TemplateFailed(f"the templates come to more than {MAX_RENDERED_BYTES} bytes")


def as_text(value: Json) -> str:
    """A value within a text: strings as they are, null empty, anything else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def texts_in(value: Json) -> list[str]:
    """Every string in a JSON value that may have places, keys left out."""
    found: list[str] = []
    pending = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, str):
            if "{{" in one:
                found.append(one)
        elif isinstance(one, Mapping):
            pending.extend(one.values())
        elif isinstance(one, list | tuple):
            pending.extend(one)
    return found


def templates_in(value: Json) -> list[Template]:
    """Every template in a JSON value, keys left out. Raises `InvalidInput`."""
    return [template for text in texts_in(value) if (template := parse_text(text)) is not None]


def takes_long(value: Json, times: int = 1) -> bool:
    """Whether reading the templates of `value`, or filling them in so many times, is better done beside the loop."""
    return sum(map(len, texts_in(value))) * times > QUICK
