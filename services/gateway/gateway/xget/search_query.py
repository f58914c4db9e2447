"""The search's `key1:value1,key2:value2`. Owns: its notation. Pure.

A backslash takes comma, colon and backslash their meaning.
"""

import re

from trawl.scraper.v1 import collections_pb2

from gateway.xget.errors import Unprocessable, unprocessable

MAX_PAIRS = 20
MAX_KEY = 200
_PART = re.compile(r"\\(.)|([,:])|([^\\,:]+|\\)", re.DOTALL)


def parse_query(text: str) -> list[collections_pb2.Condition]:
    """The pairs. Raises `Unprocessable`."""
    pairs = [_pair(parts) for parts in _split(text)]
    if len(pairs) > MAX_PAIRS:
        raise _wrong(f"at most {MAX_PAIRS} key:value pairs")
    return pairs


def _split(text: str) -> list[list[str | None]]:
    """Pairs as lists of literal texts, with None for the colons that separate."""
    pairs: list[list[str | None]] = [[]]
    for match in _PART.finditer(text):
        escaped, sign, plain = match.groups()
        if sign == ",":
            pairs.append([])
        elif sign == ":":
            pairs[-1].append(None)
        elif escaped is not None:
            pairs[-1].append(escaped if escaped in ",:\\" else f"\\{escaped}")
        else:
            pairs[-1].append(plain)
    return pairs


def _pair(parts: list[str | None]) -> collections_pb2.Condition:
    if None not in parts:
        raise _wrong("query should be key:value pairs separated by commas")
    colon = parts.index(None)
    key = "".join(part or "" for part in parts[:colon]).strip()
    # A value may hold further colons, as addresses and times do.
    value = "".join(":" if part is None else part for part in parts[colon + 1 :]).strip()
    if not key or len(key) > MAX_KEY:
        raise _wrong("query has a pair without a key")
    if not any(character.isalnum() or character == "_" for character in value):
        raise _wrong("query has a pair without a word to look for")
    return collections_pb2.Condition(key=key, value=value)


def _wrong(message: str) -> Unprocessable:
    return unprocessable(("query", "query"), message)
