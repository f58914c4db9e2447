"""Checks of single fields from outside. Owns: the rules' names and messages. Knows no field and no contract.

Every failure is an `InvalidInput` with `field`, and `rule` and `value` in its details.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from chassis.errors import InvalidInput
from chassis.suggestions import did_you_mean

Json = Any
MAX_ID = 2**63 - 1
MAX_SHOWN_CHARACTERS = 200
MAX_WARNINGS = 20


def invalid(name: str, rule: str, message: str, value: Json = None) -> InvalidInput:
    """The error; a long value is cut, a container is not repeated."""
    if isinstance(value, str):
        value = value[:MAX_SHOWN_CHARACTERS]
    elif isinstance(value, dict | list):
        value = None
    return InvalidInput(f"请求参数验证失败: {name} {message}", field=name, rule=rule, value=value)


def refuse_unknown(names: Iterable[str], known: Collection[str], place: str = "") -> None:
    """Raises `InvalidInput` for a name that is not one of `known`, with the one that looks most like it."""
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, n=1, cutoff=0.6)
            hint = f", 是否为 {near[0]}?" if near else f", 可用字段: {', '.join(known)}"
            raise invalid(f"{place}{name}"[:MAX_SHOWN_CHARACTERS], "unknown", f"是未知字段{hint}")


def ignored(raw: Mapping[str, Json], known: Sequence[str]) -> list[tuple[str, str]]:
    """(field, message) of what stands in a body beside what is known."""
    return [
        (name[:MAX_SHOWN_CHARACTERS], f"unknown field, ignored{did_you_mean(name, known)}")
        for name in raw
        if name not in known
    ][:MAX_WARNINGS]


class Fields:
    """Typed access to a JSON object. A field that is null counts as not given. Unknown fields are ignored."""

    def __init__(self, raw: Mapping[str, Json]) -> None:
        self.raw = raw

    def given(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self.raw.get(name) is not None

    def require(self, name: str) -> Json:
        """The field's value, whatever its type."""
        value = self.raw.get(name)
        if value is None:
            raise invalid(name, "required", "是必填项")
        return value

    def text(self, name: str, limit: int, default: str = "", *, one_line: bool = False) -> str:
        """A string of at most `limit` characters, without NUL; with `one_line`, without control characters."""
        value = self.raw.get(name)
        return default if value is None else check_text(name, value, limit, one_line=one_line)

    def integer(self, name: str, low: int, high: int, default: int) -> int:
        """An integer within the bounds."""
        value = self.raw.get(name)
        if value is None:
            return default
        if type(value) is not int:
            raise invalid(name, "integer", "必须是整数", value)
        return _within(name, value, low, high)

    def flag(self, name: str) -> bool:
        """A boolean; false when not given."""
        value = self.raw.get(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise invalid(name, "boolean", "必须是布尔值", value)
        return value

    def choice(self, name: str, allowed: Collection[str], default: str) -> str:
        """One of the allowed strings."""
        value = self.raw.get(name)
        return default if value is None else _one_of(name, value, allowed)

    def texts(self, name: str, *, items: int, limit: int, integers: bool = False) -> list[str]:
        """A list of strings; with `integers`, numbers are taken too and made strings."""
        value = self.raw.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise invalid(name, "array", "必须是数组", value)
        if len(value) > items:
            raise invalid(name, "max_items", f"最多{items}项", len(value))
        checked = []
        for index, entry in enumerate(value):
            text = str(entry) if integers and type(entry) is int else entry
            checked.append(check_text(f"{name}[{index}]", text, limit))
        return checked

    def mapping(self, name: str) -> dict[str, Json]:
        """A JSON object; empty when not given."""
        value = self.raw.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise invalid(name, "object", "必须是对象", value)
        return value


class QueryFields:
    """Typed access to a query's fields. An empty one counts as not given."""

    def __init__(self, raw: Mapping[str, str]) -> None:
        self.raw = raw

    def text(self, name: str, limit: int = 200) -> str:
        """A string without control characters."""
        return check_text(name, self.raw.get(name, ""), limit, one_line=True)

    def integer(self, name: str, low: int, high: int, default: int) -> int:
        """A decimal integer within the bounds."""
        value = self.raw.get(name, "")
        if not value:
            return default
        if not (value.isascii() and value.isdigit() and len(value) < 20):
            raise invalid(name, "integer", "必须是整数", value)
        return _within(name, int(value), low, high)

    def choice(self, name: str, allowed: Collection[str], default: str = "") -> str:
        """One of the allowed strings."""
        value = self.raw.get(name, "")
        return _one_of(name, value, allowed) if value else default


def check_text(name: str, value: Json, limit: int, *, one_line: bool = False) -> str:
    """The string, if it is one."""
    if not isinstance(value, str):
        raise invalid(name, "string", "必须是字符串", value)
    if len(value) > limit:
        raise invalid(name, "max_length", f"最多{limit}个字符", value)
    if "\x00" in value or (one_line and not value.isprintable()):
        raise invalid(name, "characters", "含有不允许的字符", value)
    return value


def path_id(name: str, text: str) -> int:
    """The number in a path. Raises `InvalidInput` for what is not one."""
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or not 0 < int(text) <= MAX_ID:
        raise invalid(name, "integer", "必须是正整数", text)
    return int(text)


def _within(name: str, value: int, low: int, high: int) -> int:
    if value < low:
        raise invalid(name, "min", f"不能小于{low}", value)
    if value > high:
        raise invalid(name, "max", f"不能大于{high}", value)
    return value


def _one_of(name: str, value: Json, allowed: Collection[str]) -> str:
    if not isinstance(value, str) or value not in allowed:
        raise invalid(name, "enum", f"必须是以下之一: {', '.join(allowed)}", value)
    return value
