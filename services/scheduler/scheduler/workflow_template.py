"""Templates of workflows: `{{params.q}}`, `{{steps.list.result.items}}`, `{{item.url == null}}`. Pure. Owns: what may
stand in them, which steps they name, and their values. Must not know workflows, drivers or protocols.

An expression is data access, comparison and `and`, `or`, `not`; jinja2 reads it, and its sandbox works it out. Members
are only ever keys of objects and places of lists, never attributes of Python objects, so that no template reaches code.
Without calls, loops and arithmetic the work is bounded by the length of the text and the size of the data.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import orjson
from chassis.errors import InvalidInput
from jinja2 import Undefined, nodes
from jinja2.exceptions import TemplateError as JinjaError
from jinja2.parser import Parser
from jinja2.sandbox import SandboxedEnvironment

Json = Any
MAX_TEXT: Final = 64 * 1024
MAX_EXPRESSION: Final = 1_000
MAX_NODES: Final = 200
MAX_DEPTH: Final = 40
# How much JSON one rendering may make, bytes: a value may be named many times.
MAX_RENDERED_BYTES: Final = 16 * 1024 * 1024
ROOTS: Final = frozenset({"params", "steps", "item", "index", "null"})
STEP_FIELDS: Final = ("result", "status", "error", "total", "completed", "failed", "cancelled")
_PLACE = re.compile(r"""\{\{((?:"[^"]*"|'[^']*'|[^"'{}])*+)\}\}""")
# Names in these systems have dashes: `steps.list-pages` is the member, since there is no subtraction.
_DASHED = re.compile(r"""("[^"]*"|'[^']*')|\.\s*([^\W\d]\w*(?:-\w+)+)""")


class TemplateFailed(Exception):
    """The template is sound, but not for this data. The message says what is missing or does not fit."""


class _Missing(Undefined):
    """What data does not have: false, and equal to null. It keeps its name for the message."""

    def __eq__(self, other: object) -> bool:
        return other is None or isinstance(other, _Missing)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(None)


class _DataOnly(SandboxedEnvironment):
    """A sandbox in which nothing has attributes."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A key of an object."""
        return self._member(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """A key of an object, or a place in a list."""
        return self._member(obj, argument)

    def _member(self, obj: Any, name: Any) -> Any:
        if isinstance(obj, Mapping) and isinstance(name, str) and name in obj:
            return obj[name]
        if isinstance(obj, list | tuple) and type(name) is int and -len(obj) <= name < len(obj):
            return obj[name]
        before = f"{obj._undefined_name}." if isinstance(obj, _Missing) and obj._undefined_name else ""  # noqa: SLF001 - the base class has no other name for it
        return _Missing(name=f"{before}{name}"[:200])


@dataclass(frozen=True, slots=True)
class Expression:
    """What stands between the braces. `steps`: (step id, field or "" for all of them) that it names."""

    text: str
    value: Callable[..., Any]
    steps: frozenset[tuple[str, str]]
    roots: frozenset[str]


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
        raise _invalid(f"a text with templates must be at most {MAX_TEXT} characters")
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
        raise _invalid("a template is not closed, or has braces or quotes that don't belong there")
    whole = len(pieces) == 3 and not "".join(literal).strip()
    return Template(tuple(piece for piece in pieces if piece != ""), whole)


@lru_cache(maxsize=1024)
def parse_expression(text: str) -> Expression:
    """The expression. Raises `InvalidInput`."""
    text = text.strip()
    if not text:
        raise _invalid("a template is empty")
    if len(text) > MAX_EXPRESSION:
        raise _invalid(f"a template must be at most {MAX_EXPRESSION} characters")
    source = _DASHED.sub(lambda match: match[1] or f'["{match[2]}"]', text)
    environment = _DataOnly(undefined=_Missing, cache_size=0)
    try:
        parser = Parser(environment, source, state="variable")
        tree = parser.parse_expression()
        if not parser.stream.eos:
            raise _invalid(f"{{{{{text[:100]}}}}} goes on after its end")
        reader = _Reader()
        reader.read(tree, 0)
        value = environment.compile_expression(source, undefined_to_none=False)
    except (JinjaError, RecursionError, SyntaxError, MemoryError, ValueError) as error:
        raise _invalid(f"{{{{{text[:100]}}}}} can't be read: {_short(error)}") from error
    return Expression(text, value, frozenset(reader.steps), frozenset(reader.roots))


class _Reader:
    """Goes through an expression and refuses all but data access, comparison and boolean operators."""

    def __init__(self) -> None:
        self.steps: set[tuple[str, str]] = set()
        self.roots: set[str] = set()
        self._count = 0

    def read(self, node: nodes.Node, depth: int) -> None:
        """Raises `InvalidInput`."""
        self._count += 1
        if depth > MAX_DEPTH or self._count > MAX_NODES:
            raise _invalid("a template is too large or too deep")
        match node:
            case nodes.Const() | nodes.Operand():
                pass
            case nodes.Name():
                self._root(node.name)
            case nodes.Getattr() | nodes.Getitem():
                self._path(node, depth)
                return
            case nodes.Neg() if isinstance(node.node, nodes.Const):
                pass
            case nodes.And() | nodes.Or() | nodes.Not() | nodes.Compare() | nodes.List() | nodes.Tuple():
                pass
            case _:
                kind = type(node).__name__.lower()
                raise _invalid(f"a template can't use {kind}: it is data access, comparison, and, or, not")
        for child in node.iter_child_nodes():
            self.read(child, depth + 1)

    def _root(self, name: str) -> None:
        if name == "steps":
            raise _invalid("steps must be followed by a step's id: steps.<id>")
        if name not in ROOTS:
            raise _invalid(f"a template names {name!r}; there are params, steps, item and index")
        self.roots.add(name)

    def _path(self, node: nodes.Getattr | nodes.Getitem, depth: int) -> None:
        keys: list[nodes.Expr | str] = []
        inner: nodes.Node = node
        while isinstance(inner, nodes.Getattr | nodes.Getitem):
            keys.append(inner.attr if isinstance(inner, nodes.Getattr) else inner.arg)
            inner = inner.node
            depth += 1
        keys.reverse()
        if depth > MAX_DEPTH:
            raise _invalid("a template is too large or too deep")
        if isinstance(inner, nodes.Name) and inner.name == "steps":
            self._step([_constant(key) for key in keys[:2]])
        else:
            self.read(inner, depth)
        for key in keys:
            if not isinstance(key, str):
                self.read(key, depth)

    def _step(self, keys: Sequence[Json]) -> None:
        step, member = keys[0], keys[1] if len(keys) > 1 else ""
        if not isinstance(step, str) or not isinstance(member, str):
            raise _invalid("steps must be followed by a step's id, and that by what of it")
        if member and member not in STEP_FIELDS:
            raise _invalid(f"steps.{step[:64]}.{member[:64]}: a step has {', '.join(STEP_FIELDS)}")
        self.roots.add("steps")
        self.steps.add((step, member))


def _constant(key: nodes.Expr | str) -> Json:
    return key if isinstance(key, str) else key.value if isinstance(key, nodes.Const) else None


@dataclass(slots=True)
class Renderer:
    """Fills in templates from one set of data: `params`, `steps`, and for items `item` and `index`."""

    data: Mapping[str, Json]
    left_bytes: int = MAX_RENDERED_BYTES
    _sizes: dict[int, int] = field(default_factory=dict)

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
        if isinstance(value, Undefined):
            raise TemplateFailed(f"{{{{{expression.text[:200]}}}}}: there is no {value._undefined_name}")  # noqa: SLF001 - see above
        self._spend(self._size(value))
        return value

    def holds(self, expression: Expression) -> bool:
        """Whether the condition is true; what data does not have is false."""
        return bool(self._work_out(expression))

    def _work_out(self, expression: Expression) -> Json:
        try:
            return expression.value(**self.data, null=None)
        except (JinjaError, TypeError, ValueError, RecursionError, OverflowError) as error:
            raise TemplateFailed(f"{{{{{expression.text[:200]}}}}}: {_short(error)}") from error

    def _size(self, value: Json) -> int:
        if isinstance(value, str):
            return len(value)
        if not isinstance(value, dict | list):
            return 8
        known = self._sizes.get(id(value))
        if known is None:
            known = self._sizes[id(value)] = len(orjson.dumps(value))
        return known

    def _spend(self, count: int) -> None:
        self.left_bytes -= count
        if self.left_bytes < 0:
            raise TemplateFailed(f"the templates come to more than {MAX_RENDERED_BYTES} bytes")


def as_text(value: Json) -> str:
    """A value within a text: strings as they are, null empty, anything else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def templates_in(value: Json) -> list[Template]:
    """Every template in a JSON value, keys left out. Raises `InvalidInput`."""
    found: list[Template] = []
    pending = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, str):
            if (template := parse_text(one)) is not None:
                found.append(template)
        elif isinstance(one, Mapping):
            pending.extend(one.values())
        elif isinstance(one, list | tuple):
            pending.extend(one)
    return found


def _short(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]


def _invalid(message: str) -> InvalidInput:
    return InvalidInput(message, rule="template")
