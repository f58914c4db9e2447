"""What an address or title in a step means. Owns: parts, patterns and whole addresses. Pure."""

import fnmatch
from urllib.parse import SplitResult, urlsplit

_PORTS = {"http": 80, "https": 443}


def holds_address(address: str, wanted: str) -> bool:
    """Whether the address holds the wanted text, or is it, where `*` stands for anything."""
    return _fits(address, wanted) if "*" in wanted else wanted in address


def is_address(address: str, wanted: str) -> bool:
    """Whether it is that address: a pattern where `*` stands for anything, or the whole of it. A fragment that is not
    asked for is not looked at."""
    if "*" in wanted and _fits(address, wanted):
        return True
    try:
        have, want = urlsplit(address), urlsplit(wanted)
        return _place(have) == _place(want) and (not want.fragment or have.fragment == want.fragment)
    except ValueError:  # a port that is none
        return address == wanted


def is_title(title: str, wanted: str) -> bool:
    """Whether it is that title, its white space made single; `*` stands for anything."""
    title, wanted = " ".join(title.split()), " ".join(wanted.split())
    return title == wanted or ("*" in wanted and _fits(title, wanted))


def _place(parts: SplitResult) -> tuple[str, str, int | None, str, str]:
    port = parts.port or _PORTS.get(parts.scheme)
    return parts.scheme, parts.hostname or "", port, parts.path or "/", parts.query


def _fits(text: str, pattern: str) -> bool:
    # Of all that fnmatch knows only the star is meant: addresses hold question marks and brackets of their own.
    literal = pattern.replace("[", "[[]").replace("?", "[?]")
    return fnmatch.fnmatchcase(text, literal)
