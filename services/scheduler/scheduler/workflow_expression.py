"""Expressions of workflows: what stands between `{{` and `}}`. Pure. Owns: what may stand there, which steps it names,
and its value. Must not know templates, workflows, drivers or protocols.

An expression is data access, comparison and `and`, `or`, `not`. Jinja's parser reads it, and its tree is worked out
here: nothing is compiled. Members are only ever keys of objects and places of lists, never attributes of Python
objects, so that no expression reaches code. Every constant is one that JSON can carry, which is checked when it is
read. Without calls, loops and arithmetic the work is bounded by the length of the text and the size of what is
compared.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from chassis.errors import InvalidInput
from jinja2 import Environment, Undefined, nodes
from jinja2.exceptions import TemplateError as JinjaError
from jinja2.parser import Parser

Json = Any
MAX_EXPRESSION: Final = 1_000
MAX_NODES: Final = 200
MAX_DEPTH: Final = 40
# The parser calls itself a dozen times for each bracket.
MAX_BRACKETS: Final = 64
# Integers that every encoder on the way can carry.
MIN_INTEGER: Final = -(2**63)
MAX_INTEGER: Final = 2**64 - 1
ROOTS: Final = frozenset({"params", "steps", "item", "index", "null"})
STEP_FIELDS: Final = ("result", "status", "error", "total", "completed", "failed", "cancelled")
# Names in these systems have dashes: `steps.list-pages` is the member, since there is no subtraction.
_DASHED = re.compile(r"""("[^"]*"|'[^']*')|\.\s*([^\W\d]\w*(?:-\w+)+)""")
# What most expressions are: a root and its members. It needs no parser.
_PLAIN = re.compile(r"(params|steps|item|index|null)((?:\.[A-Za-z_][A-Za-z0-9_]*(?:-[A-Za-z0-9_]+)*)*)", re.ASCII)
_COMPARISONS: Final[Mapping[str, Callable[[Json, Json], Json]]] = {
    "eq": operator.eq, "ne": operator.ne, "gt": operator.gt, "gteq": operator.ge, "lt": operator.lt,
    "lteq": operator.le, "in": lambda one, many: one in many, "notin": lambda one, many: one not in many,
}  # fmt: skip


class ExpressionFailed(Exception):
    """The expression is sound, but not for this data. The message says what is missing or does not fit."""


class Missing(Undefined):
    """What data does not have: false, and equal to null. It keeps its name for the message."""

    def __eq__(self, other: object) -> bool:
        return other is None or isinstance(other, Missing)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(None)

    @property
    def name(self) -> str:
        """What is missing, as it was asked for."""
        return str(self._undefined_name)


@dataclass(frozen=True, slots=True)
class Expression:
    """What stands between the braces. `steps`: (step id, field or "" for all of them) that it names."""

    text: str
    tree: nodes.Expr
    steps: frozenset[tuple[str, str]]
    roots: frozenset[str]

    def value(self, data: Mapping[str, Json], compared: Callable[[Json], None]) -> Json:
        """What it comes to; `Missing` for what data does not have. `compared` is told of every operand of a comparison,
        and may raise. Raises `ExpressionFailed`.
        """
        try:
            return _Work(data, compared).out(self.tree)
        except (JinjaError, TypeError, ValueError, RecursionError, OverflowError) as error:
            raise ExpressionFailed(_short(error)) from error


@lru_cache(maxsize=1024)
def parse_expression(text: str) -> Expression:
    """The expression. Raises `InvalidInput`."""
    text = text.strip()
    if not text:
        raise invalid("a template is empty")
    if len(text) > MAX_EXPRESSION:
        raise invalid(f"a template must be at most {MAX_EXPRESSION} characters")
    reader = _Reader()
    try:
        tree = _plain(text) or _parsed(text)
        reader.read(tree, 0)
    except (JinjaError, RecursionError, SyntaxError, MemoryError, ValueError) as error:
        raise invalid(f"{{{{{text[:100]}}}}} can't be read: {_short(error)}") from error
    return Expression(text, tree, frozenset(reader.steps), frozenset(reader.roots))


def _plain(text: str) -> nodes.Expr | None:
    match = _PLAIN.fullmatch(text)
    if match is None:
        return None
    tree: nodes.Expr = nodes.Name(match[1], "load")
    for member in match[2].split(".")[1:]:
        tree = nodes.Getattr(tree, member, "load")
    return tree


def _parsed(text: str) -> nodes.Expr:
    source = _DASHED.sub(lambda match: match[1] or f'["{match[2]}"]', text)
    if source.count("(") + source.count("[") + source.count("{") > MAX_BRACKETS:
        raise invalid(f"a template may have at most {MAX_BRACKETS} brackets")
    parser = Parser(_ENVIRONMENT, source, state="variable")
    tree = parser.parse_expression()
    if not parser.stream.eos:
        raise invalid(f"{{{{{text[:100]}}}}} goes on after its end")
    return tree


_ENVIRONMENT: Final = Environment(cache_size=0, autoescape=False)  # noqa: S701 - it reads only, and makes no HTML


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
            raise invalid("a template is too large or too deep")
        match node:
            case nodes.Const():
                check_constant(node.value)
            case nodes.Name():
                self._root(node.name)
            case nodes.Getattr() | nodes.Getitem():
                self._path(node, depth)
                return
            case nodes.Neg() if isinstance(node.node, nodes.Const):
                check_constant(_negative(node.node))
                return
            case nodes.Operand() | nodes.And() | nodes.Or() | nodes.Not() | nodes.Compare():
                pass
            case nodes.List() | nodes.Tuple():
                pass
            case _:
                kind = type(node).__name__.lower()
                raise invalid(f"a template can't use {kind}: it is data access, comparison, and, or, not")
        for child in node.iter_child_nodes():
            self.read(child, depth + 1)

    def _root(self, name: str) -> None:
        if name == "steps":
            raise invalid("steps must be followed by a step's id: steps.<id>")
        if name not in ROOTS:
            raise invalid(f"a template names {name!r}; there are params, steps, item and index")
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
            raise invalid("a template is too large or too deep")
        for key in keys:
            # A place beyond every list is only missing.
            if not isinstance(key, str) and not (isinstance(key, nodes.Const) and type(key.value) is int):
                self.read(key, depth)
        if isinstance(inner, nodes.Name) and inner.name == "steps":
            self._step([_constant(key) for key in keys[:2]])
        else:
            self.read(inner, depth)

    def _step(self, keys: Sequence[Json]) -> None:
        step, member = keys[0], keys[1] if len(keys) > 1 else ""
        if not isinstance(step, str) or not isinstance(member, str):
            raise invalid("steps must be followed by a step's id, and that by what of it")
        if member and member not in STEP_FIELDS:
            raise invalid(f"steps.{step[:64]}.{member[:64]}: a step has {', '.join(STEP_FIELDS)}")
        self.roots.add("steps")
        self.steps.add((step, member))


def check_constant(value: Json) -> None:
    """Raises `InvalidInput` for a number or text that JSON can't carry."""
    if type(value) is int and not MIN_INTEGER <= value <= MAX_INTEGER:
        raise invalid("a template has a number of more than 64 bits; write it as text, in quotes")
    if isinstance(value, float) and not math.isfinite(value):
        raise invalid("a template has a number that is too large for a double")
    if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise invalid("a template has half of a surrogate pair, which no text can carry; write the character itself")


def _constant(key: nodes.Expr | str) -> Json:
    return key if isinstance(key, str) else key.value if isinstance(key, nodes.Const) else None


def _negative(node: nodes.Const) -> Json:
    if isinstance(node.value, bool) or not isinstance(node.value, int | float):
        raise invalid("a template has a minus before what is not a number")
    return -node.value


class _Work:
    """Works out one expression's tree, which `_Reader` has gone through."""

    def __init__(self, data: Mapping[str, Json], compared: Callable[[Json], None]) -> None:
        self._data, self._compared = data, compared

    def out(self, node: nodes.Node) -> Json:
        """The value of a node."""
        return self._HOW[type(node)](self, node)

    def _list(self, node: nodes.List | nodes.Tuple) -> Json:
        return [_there(self.out(one)) for one in node.items]

    def _root(self, name: str) -> Json:
        if name == "null":
            return None
        return self._data[name] if name in self._data else Missing(name=name)

    def _compare(self, node: nodes.Compare) -> Json:
        left, result = self.out(node.expr), True
        self._compared(left)
        for operand in node.ops:
            right = self.out(operand.expr)
            self._compared(right)
            result = _COMPARISONS[operand.op](left, right)
            if not result:
                break
            left = right
        return result

    _HOW: Mapping[type[nodes.Node], Callable[["_Work", Any], Json]] = {
        nodes.Const: lambda _, node: node.value,
        nodes.Name: lambda work, node: work._root(node.name),  # noqa: SLF001 - its own
        nodes.Getattr: lambda work, node: _member(work.out(node.node), node.attr),
        nodes.Getitem: lambda work, node: _member(work.out(node.node), work.out(node.arg)),
        nodes.And: lambda work, node: work.out(node.left) and work.out(node.right),
        nodes.Or: lambda work, node: work.out(node.left) or work.out(node.right),
        nodes.Not: lambda work, node: not work.out(node.node),
        nodes.Neg: lambda work, node: -work.out(node.node),
        nodes.Compare: _compare,
        nodes.List: _list,
        nodes.Tuple: _list,
    }


def _there(value: Json) -> Json:
    if isinstance(value, Missing):
        raise TypeError(f"there is no {value.name}")
    return value


def _member(obj: Json, name: Json) -> Json:
    if isinstance(obj, Mapping) and isinstance(name, str) and name in obj:
        return obj[name]
    if isinstance(obj, list | tuple) and type(name) is int and -len(obj) <= name < len(obj):
        return obj[name]
    before = f"{obj.name}." if isinstance(obj, Missing) and obj.name else ""
    return Missing(name=f"{before}{name}"[:200])


def _short(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]


def invalid(message: str) -> InvalidInput:
    """The error of a template that can't stand."""
    return InvalidInput(message, rule="template")
