"""JSON as answers and pages have it. Owns: what is forgiven, and what can be stored. Must not know fields or markup.

Forgiven is what has one meaning all the same: comments, marks that hide a script, trailing commas, `\\'`, line breaks
in strings, several values behind one another, a guard in front. Nothing inside of a string is changed. NaN and infinity
are null, integers beyond 64 bits are kept as text with all their digits.
"""

import json
import math
import re
from collections.abc import Callable

import orjson

from scraper.executor import Json
from scraper.problems import DATA_BROKEN, Problems

INT64 = 2**63
# Deeper values can't be stored (BSON has 100 levels, some of them the item's own), and nobody writes them.
MAX_STORED_DEPTH = 90
MAX_DEPTH = 500
# orjson rounds integers beyond 64 bits without a word.
LONG_DIGITS = re.compile(r"[0-9]{19}")
GUARD = re.compile(
    r"\s*+(?:\)\]\}'?,?|while\s*\(\s*(?:1|true)\s*\)\s*;?|for\s*\(\s*;\s*;\s*\)\s*;?|throw\s[^;\n]*;?(?:\s*<[^>\n]*>)?"
    r"|\{\}\s*&&|&&&START&&&|//[^\n]*\n(?=\s*[\[{]))\s*"
)
CALL = re.compile(
    r"\s*+(?:/\*\*/)?+\s*+(?:typeof\s+[\w.$]+\s*===?\s*['\"]function['\"]\s*&&\s*)?[A-Za-z_$][\w.$]*\s*\(\s*(?=[\[{])"
)
CALL_END = re.compile(r"\)\s*+;?+\s*+\Z")
STRING = r'"(?:[^"\\]|\\.)*(?:"|\Z)'
# Strings are matched first, so that nothing is looked for inside of them; what isn't closed goes to the end.
NOISE = re.compile(
    rf"(?P<string>{STRING})|//\s*(?:<!\[CDATA\[|\]\]>|<!--|-->)|/\*(?:.*?\*/|.*\Z)|//[^\n]*|<!\[CDATA\[|\]\]>|<!--|-->",
    re.DOTALL,
)
COMMA = re.compile(rf"(?P<string>{STRING})|,(?=\s*[\]}}])", re.DOTALL)
# JSON has no such escapes, and JavaScript reads them as the mark itself.
ESCAPED_MARK = re.compile(r"\\(\\|[^\\/\"A-Za-z0-9])", re.DOTALL)
SURROGATE = re.compile("[\ud800-\udfff]")


BEHIND = "what stands behind the first value"


class NotJsonError(ValueError):
    """The text is no JSON, not even with what is forgiven."""


def load_json(text: str, problems: Problems, where: str) -> Json:
    """The one value of a text. Raises NotJsonError."""
    values = load_values(text, problems, where)
    if len(values) != 1:
        raise NotJsonError(f"it has {len(values)} values")
    return values[0]


def load_values(text: str, problems: Problems, where: str) -> list[Json]:
    """The values of a text in their order, one at least. Raises NotJsonError."""
    if LONG_DIGITS.search(text) is None:
        try:
            return [orjson.loads(text)]
        except orjson.JSONDecodeError:
            pass
    try:
        return [_decoder(problems, where).decode(text)]
    except (ValueError, RecursionError):
        return _forgiven(text, problems, where)


def _forgiven(text: str, problems: Problems, where: str) -> list[Json]:
    plain = _kept_strings(NOISE, text, " ")
    plain = _kept_strings(COMMA, plain, "").strip().rstrip(";")
    decoder = _decoder(problems, where)
    values: list[Json] = []
    position = 0
    while position < len(plain):
        try:
            value, position = decoder.raw_decode(plain, position)
        except RecursionError as error:
            raise NotJsonError("it is nested too deeply") from error
        except ValueError as error:
            if not values:
                raise NotJsonError(str(error)) from error
            problems.note(DATA_BROKEN, where, f"{BEHIND} is no JSON: {error}",
                          example=plain[position : position + 100])  # fmt: skip
            return values
        values.append(value)
        while position < len(plain) and (plain[position].isspace() or plain[position] in ",;\x1e"):
            position += 1
    if not values:
        raise NotJsonError("it is empty")
    return values


def _kept_strings(pattern: "re.Pattern[str]", text: str, instead: str) -> str:
    def replaced(match: "re.Match[str]") -> str:
        string = match["string"]
        return instead if string is None else ESCAPED_MARK.sub(_unescaped, string) if "\\" in string else string

    return pattern.sub(replaced, text)


def _unescaped(match: "re.Match[str]") -> str:
    mark = match[1]
    return "\\\\" if mark == "\\" else "" if mark == "\n" else mark


def _decoder(problems: Problems, where: str) -> json.JSONDecoder:
    def constant(name: str) -> None:
        problems.note(DATA_BROKEN, where, f"{name} is no value of JSON", example=name)

    return json.JSONDecoder(parse_int=_integer, parse_float=_number(constant), parse_constant=constant, strict=False)


def _integer(digits: str) -> int | str:
    if len(digits) > 20:
        return digits
    number = int(digits)
    return number if -INT64 <= number < INT64 else digits


def _number(constant: Callable[[str], None]) -> Callable[[str], float | None]:
    def read(digits: str) -> float | None:
        number = float(digits)
        if math.isfinite(number):
            return number
        constant(digits[:40])
        return None

    return read


def _encodable(text: str) -> str:
    """Halves of characters (`\\ud800`) can't be encoded."""
    return text if text.isascii() else SURROGATE.sub("\ufffd", text)


def without_guard(text: str) -> str:
    """An answer without what keeps scripts from including it, or without the call around it (JSONP)."""
    guard = GUARD.match(text)
    if guard is not None and text[guard.end() : guard.end() + 1] in ("{", "["):
        return text[guard.end() :]
    call = CALL.match(text)
    if call is not None and (end := CALL_END.search(text, call.end())) is not None:
        return text[call.end() : end.start()]
    return text


def storable(value: Json) -> tuple[Json, int]:
    """`value` as it can be stored in BSON, and how many parts of it had to be left out for that (too deep: null)."""
    storing = _Storing()
    return storing.stored(value, 0), storing.left_out


class _Storing:
    def __init__(self) -> None:
        self.left_out = 0

    def stored(self, value: Json, depth: int) -> Json:
        if isinstance(value, str):
            return _encodable(value)
        if isinstance(value, dict | list):
            return self._composed(value, depth)
        if isinstance(value, float) and not math.isfinite(value):
            self.left_out += 1
            return None
        if isinstance(value, int) and not -INT64 <= value < INT64:
            return str(value)
        return value

    def _composed(self, value: dict[str, Json] | list[Json], depth: int) -> Json:
        if depth >= MAX_STORED_DEPTH:
            self.left_out += 1
            return None
        if isinstance(value, list):
            return [self.stored(member, depth + 1) for member in value]
        return {_name(name): self.stored(member, depth + 1) for name, member in value.items()}


def _name(name: str) -> str:
    return _encodable(name).replace("\0", "")
