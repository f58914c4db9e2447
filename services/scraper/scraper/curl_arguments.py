"""The arguments of an `http` task, as curl takes them. Owns: their reading. Must not touch files or the network.

Only what makes sense for one request is taken. Nothing ever names a file: `@file` is refused where curl would read it.
"""

import base64
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote_plus

from scraper.executor import InvalidParameters

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
MAX_REDIRECTS = 50
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
# Where curl reads a file when the value begins with @.
READS_FILES = frozenset({"--data", "--data-ascii", "--data-binary", "--json", "--header"})

SHORT = {
    "-X": "--request",
    "-H": "--header",
    "-d": "--data",
    "-u": "--user",
    "-A": "--user-agent",
    "-e": "--referer",
    "-b": "--cookie",
    "-m": "--max-time",
    "-L": "--location",
    "-I": "--head",
    "-G": "--get",
    "-k": "--insecure",
    "-s": "--silent",
    "-S": "--show-error",
    "-i": "--include",
    "-f": "--fail",
}


@dataclass(slots=True)
class RequestArguments:
    """What the arguments ask for. `query` goes to the URL (`-G`)."""

    method: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    json: list[str] = field(default_factory=list)
    follow: bool = False
    max_redirects: int = 30
    max_seconds: float | None = None
    verify_tls: bool = True
    head: bool = False
    data_to_query: bool = False

    @property
    def body(self) -> bytes | None:
        """The request's body."""
        if self.json:
            return "".join(self.json).encode()
        if self.data and not self.data_to_query:
            return "&".join(self.data).encode()
        return None

    @property
    def query(self) -> str:
        """What `-G` moves to the URL."""
        return "&".join(self.data) if self.data_to_query else ""

    def final_method(self) -> str:
        """The method asked for, or the one that goes with the body."""
        if self.method:
            return self.method
        if self.head:
            return "HEAD"
        return "POST" if self.body is not None else "GET"

    def final_headers(self) -> tuple[tuple[str, str], ...]:
        """The headers, with those that go with the body unless given."""
        given = {name.lower() for name, _ in self.headers}
        implied: list[tuple[str, str]] = []
        if self.json:
            implied = [("Content-Type", JSON), ("Accept", JSON)]
        elif self.body is not None:
            implied = [("Content-Type", FORM)]
        return (*self.headers, *(pair for pair in implied if pair[0].lower() not in given))


def read_arguments(arguments: Sequence[str]) -> RequestArguments:
    """What `arguments` ask for. Raises InvalidParameters that names the one that can't be done."""
    request = RequestArguments()
    waiting = list(arguments)
    if waiting and waiting[0].upper() in METHODS:
        request.method = waiting.pop(0).upper()
    while waiting:
        place = len(arguments) - len(waiting)
        try:
            _read_next(request, waiting)
        except _Unreadable as error:
            raise InvalidParameters(str(error), field=f"arguments[{place}]") from error
    if request.json and request.data:
        raise InvalidParameters("--json and --data can't be combined", field="arguments")
    return request


class _Unreadable(ValueError):
    """What is wrong with an argument."""


def _read_next(request: RequestArguments, waiting: list[str]) -> None:
    word = waiting.pop(0)
    if word.startswith("--"):
        _read_long(request, word, waiting)
    elif word.startswith("-") and len(word) > 1:
        _read_short(request, word, waiting)
    else:
        raise _Unreadable(f"unexpected {word[:80]!r}: an argument is an option, or a method in the first place")


def _read_long(request: RequestArguments, word: str, waiting: list[str]) -> None:
    name, equals, attached = word.partition("=")
    if name in FLAGS:
        if equals:
            raise _Unreadable(f"{name} takes no value")
        FLAGS[name](request)
    elif name in VALUES:
        _take(request, name, attached if equals else _next_value(name, waiting))
    else:
        raise _Unreadable(f"option {name[:80]} is not supported")


def _read_short(request: RequestArguments, word: str, waiting: list[str]) -> None:
    letters = word[1:]
    while letters:
        short, letters = f"-{letters[0]}", letters[1:]
        name = SHORT.get(short)
        if name is None:
            raise _Unreadable(f"option {short} is not supported")
        if name in FLAGS:
            FLAGS[name](request)
            continue
        _take(request, name, letters or _next_value(short, waiting))
        return


def _next_value(name: str, waiting: list[str]) -> str:
    if not waiting:
        raise _Unreadable(f"{name} needs a value")
    return waiting.pop(0)


def _take(request: RequestArguments, name: str, value: str) -> None:
    if name in READS_FILES and value.startswith("@"):
        raise _Unreadable(f"{name} @file: files are never read; --data-raw sends a text that begins with @")
    VALUES[name](request, value)


def _set_method(request: RequestArguments, value: str) -> None:
    if value.upper() not in METHODS:
        raise _Unreadable(f"{value[:40]!r} is not a method that can be sent ({', '.join(sorted(METHODS))})")
    request.method = value.upper()


def _add_header(request: RequestArguments, value: str) -> None:
    name, colon, text = value.partition(":")
    if not colon or not name.strip() or any(character in value for character in "\r\n\0"):
        raise _Unreadable(f"--header {value[:80]!r} is not of the form 'Name: value'")
    request.headers.append((name.strip(), text.strip()))


def _add_credentials(request: RequestArguments, value: str) -> None:
    coded = base64.b64encode((value if ":" in value else f"{value}:").encode()).decode()
    request.headers.append(("Authorization", f"Basic {coded}"))


def _add_cookie(request: RequestArguments, value: str) -> None:
    if "=" not in value:
        raise _Unreadable("--cookie takes 'name=value'; a cookie file is never read")
    _add_header(request, f"Cookie: {value}")


def _add_encoded(request: RequestArguments, value: str) -> None:
    name, equals, text = value.partition("=")
    if "@" in name:
        raise _Unreadable("--data-urlencode name@file: files are never read")
    if not equals:
        request.data.append(quote_plus(name))
        return
    request.data.append(f"{name}={quote_plus(text)}" if name else quote_plus(text))


def _set_seconds(request: RequestArguments, value: str) -> None:
    request.max_seconds = _number("--max-time", value)
    if not 0 < request.max_seconds < 86400 * 7:
        raise _Unreadable("--max-time must be more than 0 seconds, and less than a week")


def _set_redirects(request: RequestArguments, value: str) -> None:
    request.max_redirects = int(min(max(_number("--max-redirs", value), 0), MAX_REDIRECTS))


def _number(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise _Unreadable(f"{name} takes a number, not {value[:40]!r}")
    return number


def _setter(name: str, value: bool) -> Callable[[RequestArguments], None]:
    return lambda request: setattr(request, name, value)


def _nothing(_: RequestArguments) -> None:
    """Taken for curl's sake: it is so anyway."""


FLAGS: dict[str, Callable[[RequestArguments], None]] = {
    "--location": _setter("follow", True),
    "--head": _setter("head", True),
    "--get": _setter("data_to_query", True),
    "--insecure": _setter("verify_tls", False),
    **dict.fromkeys(("--silent", "--show-error", "--include", "--fail", "--compressed"), _nothing),
}
VALUES: dict[str, Callable[[RequestArguments, str], None]] = {
    "--request": _set_method,
    "--header": _add_header,
    "--data": lambda request, value: request.data.append(value),
    "--data-ascii": lambda request, value: request.data.append(value),
    "--data-binary": lambda request, value: request.data.append(value),
    "--data-raw": lambda request, value: request.data.append(value),
    "--data-urlencode": _add_encoded,
    "--json": lambda request, value: request.json.append(value),
    "--user": _add_credentials,
    "--user-agent": lambda request, value: _add_header(request, f"User-Agent: {value}"),
    "--referer": lambda request, value: _add_header(request, f"Referer: {value}"),
    "--cookie": _add_cookie,
    "--max-time": _set_seconds,
    "--max-redirs": _set_redirects,
}
