"""How `{{name}}` is filled in. Owns: the look-up of values and their text. Must not run anything, ever.

A template is only data access: a name, or a dotted path into objects and lists (`{{row.0.sku}}`). Whatever else stands
in double braces is left as it is.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson

from scraper.executor import InvalidParameters, Json

PLACE = re.compile(r"\{\{\s*([^\W\d][\w-]*(?:\.[\w-]+){0,10})\s*\}\}")
VARIABLE = "TRAWL_VALUE_"


def fill(text: str, parameters: Mapping[str, Json], *, field: str) -> str:
    """`text` with every place filled in. Raises InvalidParameters that names an unknown name."""
    return PLACE.sub(lambda match: value_text(look_up(match[1], parameters, field=field)), text)


def look_up(path: str, parameters: Mapping[str, Json], *, field: str) -> Json:
    """The value at a dotted path."""
    value: Json = parameters
    for name in path.split("."):
        if isinstance(value, Mapping) and name in value:
            value = value[name]
        elif isinstance(value, list | tuple) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            raise InvalidParameters(f"{{{{{path}}}}} is not among the run's parameters", field=field)
    return value


def value_text(value: Json) -> str:
    """A value as text: strings as they are, null empty, everything else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json_bytes(value).decode()


def json_bytes(value: Json) -> bytes:
    """A value as JSON; integers of any size keep their digits."""
    try:
        return orjson.dumps(value, default=str)
    except TypeError:
        return json.dumps(value, default=str).encode()


@dataclass(frozen=True, slots=True)
class ShellLine:
    """A shell line whose values stand beside it as variables, so that no value is ever read as shell code."""

    line: str
    variables: Mapping[str, str]


def fill_shell_line(line: str, parameters: Mapping[str, Json], *, field: str) -> ShellLine:
    """`line` with each place turned into an expansion that is one word, inside or outside of quotes.

    The shell never parses an expansion's value again, so this holds even where the quotes are misjudged (in a comment,
    say): the worst is then a wrong text, never another command.
    """
    variables: dict[str, str] = {}
    pieces: list[str] = []
    quotes = _Quotes()
    position = 0
    for match in PLACE.finditer(line):
        before = line[position : match.start()]
        quotes.read(before)
        name = f"{VARIABLE}{len(variables)}"
        variables[name] = value_text(look_up(match[1], parameters, field=field))
        pieces += [before, quotes.expansion(name)]
        position = match.end()
    pieces.append(line[position:])
    return ShellLine("".join(pieces), variables)


class _Quotes:
    """Follows the quotes of a shell line from left to right."""

    def __init__(self) -> None:
        self._open = ""
        self._escaped = False

    def read(self, text: str) -> None:
        for character in text:
            if self._escaped:
                self._escaped = False
            elif character == "\\" and self._open != "'":
                self._escaped = True
            elif self._open:
                self._open = "" if character == self._open else self._open
            elif character in "'\"":
                self._open = character

    def expansion(self, name: str) -> str:
        forms: dict[str, Callable[[str], str]] = {
            "": lambda name: f'"${{{name}}}"',
            '"': lambda name: f"${{{name}}}",
            "'": lambda name: f"'\"${{{name}}}\"'",
        }
        # A backslash just before the place would disarm its first character.
        lead = "\\" if self._escaped else ""
        self._escaped = False
        return lead + forms[self._open](name)
