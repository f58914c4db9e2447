"""Words of result items, for the search index. Owns: what a word is, and how key and word become one token. Pure.

A token stands for a word below a key, wherever in `data` the key is. Words of one value stand next to each other;
between values stands a gap, so that a phrase never reaches from one into the next.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

# Scripts without spaces between words: each character is a word, and a word of several is a phrase.
_SINGLE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_WORD = re.compile(rf"[{_SINGLE}]|[^\W{_SINGLE}]+")
GAP = "."
# Beyond this a single item is not searched: it would be no tweet, and cost like thousands.
MAX_WORDS = 50_000


def words_of(text: str) -> list[str]:
    """The words, without regard to case and width."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def token(key: str, word: str) -> str:
    """Sixteen hexadecimal digits, whatever the key and the word are."""
    return blake2b(f"{key}\x1f{word}".encode("utf-8", "replace"), digest_size=8).hexdigest()


def tokens_of(data: Mapping[str, Any]) -> str:
    """All tokens of an item in order, with spaces between."""
    tokens: list[str] = []
    for key, text in _values(data):
        tokens += [token(key, word) for word in words_of(text)]
        tokens.append(GAP)
        if len(tokens) > MAX_WORDS:
            break
    return " ".join(tokens)


def _values(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(nearest key, text) of every value that is no container; without recursion, since data comes from outside."""
    todo: list[tuple[str, Any]] = [("", data)]
    while todo:
        key, value = todo.pop()
        if isinstance(value, dict):
            todo.extend(reversed(value.items()))
        elif isinstance(value, list):
            todo.extend((key, inner) for inner in reversed(value))
        elif isinstance(value, str):
            yield key, value
        elif isinstance(value, bool):
            yield key, "true" if value else "false"
        elif value is None:
            yield key, "null"
        else:
            yield key, str(value)
