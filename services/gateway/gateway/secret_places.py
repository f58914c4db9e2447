"""Where secrets stand in texts of definitions. Owns: the names that announce one, and their places in URLs, headers,
assignments and words of a command. Pure.

What a text says of itself is all that is looked at: nobody can tell a password that stands alone from a word.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import unquote_plus

HIDDEN = "***"
Span = tuple[int, int]

_NAME = re.compile(
    r"passw|passphrase|\bpass$|pwd|secret|token|authorization|cookie|api[_.\s-]?key|credential|密码|口令", re.IGNORECASE
)
# A template shows no secret: it names where one is.
_TEMPLATE = re.compile(r"\s*\{\{[^{}]{1,300}\}\}\s*")
_PATTERNS: tuple[tuple[re.Pattern[str], bool], ...] = (
    # scheme://user:password@host; a password may hold @ as well.
    (re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]{0,30}://(?P<value>[^/\s?#\"'<>\\]{1,1000})@"), False),
    # ?name=value, in an address of any kind.
    (re.compile(r"[?&;#](?P<name>[^=&\s#?;\"'<>\\]{1,100})=(?P<value>[^&\s#;\"'<>\\]+)"), True),
    (re.compile(r"\bBearer\s+(?P<value>[^\s\"',;\\]{8,})", re.IGNORECASE), False),
)
# What text of a definition may hold besides: a form, an assignment, an option, JSON, a header.
_WRITTEN: tuple[tuple[re.Pattern[str], bool], ...] = (
    *_PATTERNS,
    (re.compile(r"(?:^|[\s\"'])(?P<name>[\w.%\[\]-]{1,100})=(?P<value>\"[^\"]*\"|'[^']*'|[^&\s;\"']+)"), True),
    (re.compile(r"\"(?P<name>[^\"\\]{1,100})\"\s*:\s*(?P<value>\"(?:[^\"\\]|\\.){0,10000}\"|\d+)"), True),
    (re.compile(r"(?:^|[\"'\n=])(?P<name>[\w-]{1,100})\s*:(?!//)\s*(?P<value>[^\"'\r\n]+)"), True),
    (re.compile(r"(?:^|\s)--?(?P<name>[\w-]{1,100})\s+(?P<value>\"[^\"]*\"|'[^']*'|[^\s\"'-][^\s\"']*)"), True),
)
# Options whose next word is a secret.
_SECRET_OPTIONS = frozenset({"-u", "--user", "-b", "--cookie", "-U", "--proxy-user", "--oauth2-bearer"})
_JOINED = re.compile(r"(-[ubU]|--(?:user|cookie|proxy-user|oauth2-bearer)=)(?P<value>.+)", re.DOTALL)
_OPTION = re.compile(r"--?[A-Za-z][\w-]*")


def is_secret_name(name: str) -> bool:
    """Whether a member, a parameter or a header of this name holds a secret."""
    return _NAME.search(name) is not None


def is_template(text: str) -> bool:
    """Whether the text is nothing but a template."""
    return _TEMPLATE.fullmatch(text) is not None


def places_in_data(text: str) -> list[Span]:
    """Secrets of addresses in what was found or said: nothing else of it is a definition's."""
    return _merged(_found(text, _PATTERNS))


def places_in_text(text: str) -> list[Span]:
    """Secrets in a text of a definition."""
    return _merged(_found(text, _WRITTEN))


def places_in_words(words: Sequence[str]) -> list[list[Span]]:
    """Secrets in each of a command's words, as curl and most programs take them."""
    return [_in_word(word, words[index - 1] if index else "") for index, word in enumerate(words)]


def _in_word(word: str, before: str) -> list[Span]:
    if before in _SECRET_OPTIONS or (_OPTION.fullmatch(before) and is_secret_name(before)):
        return [] if is_template(word) or not word else [(0, len(word))]
    if joined := _JOINED.fullmatch(word):
        return [joined.span("value")]
    if word.startswith("-H") and len(word) > 2:
        return [(start + 2, end + 2) for start, end in places_in_text(word[2:])]
    return places_in_text(word)


def _found(text: str, patterns: Sequence[tuple[re.Pattern[str], bool]]) -> Iterator[Span]:
    if not any(sign in text for sign in "=:- "):
        return
    for pattern, named in patterns:
        for match in pattern.finditer(text):
            if named and not is_secret_name(unquote_plus(match["name"])):
                continue
            start, end = match.span("value")
            if end - start > 1 and text[start] in "\"'" and text[end - 1] == text[start]:
                start, end = start + 1, end - 1
            if start < end and not is_template(text[start:end]):
                yield start, end


def _merged(spans: Iterator[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def covered(text: str, spans: Sequence[Span], taken: Callable[[str], None] | None = None) -> str:
    """The text with `***` in these places; `taken` is told what stood there."""
    pieces, position = [], 0
    for start, end in spans:
        pieces += [text[position:start], HIDDEN]
        position = end
        if taken is not None:
            taken(text[start:end])
    return "".join([*pieces, text[position:]])
