"""Addresses by the WHATWG URL standard, as browsers read them. Owns: joining, and their one written form.

A link's query goes out in its document's encoding, everything else as UTF-8. Percent sequences stay as they stand.
"""

import codecs
import re
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import unquote_plus

import ada_url
import webencodings

# What browsers still take for an address.
MAX_URL = 2 * 1024 * 1024
PAGES = ("http://", "https://")
# Never anything but itself in a path or query; dots and percent signs are looked at beside this.
_PLAIN = re.compile(r"/[A-Za-z0-9\-_~!$&()*+,;=:@/?%.]*")
_WHOLE = re.compile(r"(https?://[A-Za-z0-9\-.:]+)(/[A-Za-z0-9\-_~!$&()*+,;=:@/?%.]*)")
_IGNORED = str.maketrans("", "", "\t\n\r")
_ENDS = "".join(map(chr, range(0x21)))
# The query percent-encode set of special schemes.
REFERENCE = "trawl.reference"
# Letters whose first octet is one of these are decoded, but not encoded, by the standard.
_NOT_ENCODED = {"big5hkscs": range(0x81, 0xA1), "euc_jp": range(0x8F, 0x90)}
# What only the standard's tables have.
_EURO = {"gbk": b"\x80", "big5hkscs": b"\xa3\xe1"}
_QUERY_ESCAPED = frozenset([*range(0x21), *b" \"#<>'", *range(0x7F, 0x100)])


def to_url(value: object, base_url: str, encoding: str = "utf-8") -> str | None:
    """The absolute http(s) URL that `value` is as a link of a page; None for what leads to no page.

    `base_url`: that of the page; `encoding`: the page's, as a WHATWG label. `""` is the page itself.
    """
    text = str(value)
    if len(text) > MAX_URL:
        return None
    # Most links are plain, and a whole parse takes longer than reading a field.
    if (match := _PLAIN.match(text)) is not None and match.end() == len(text):
        if text[1:2] != "/" and not _has_dots(text) and (origin := _origin_of(base_url)):
            return origin + text
    elif (plain := _plain_whole(text)) is not None:
        return plain
    url = join(base_url, text, encoding)
    return url if url is not None and url.startswith(PAGES) else None


def _plain_whole(text: str) -> str | None:
    """A whole http(s) URL without anything that a parser would change but its origin; None for any other."""
    whole = _WHOLE.match(text)
    if whole is None or whole.end() != len(text):
        return None
    origin, rest = whole.groups()
    return known + rest if not _has_dots(rest) and (known := _origin_of(origin)) else None


def join(base_url: str, text: str, encoding: str = "utf-8") -> str | None:
    """`text` as an absolute URL of whatever scheme; None when it is none. Never raises."""
    if not text.isascii():
        text = _with_query(text, encoding)
    try:
        return _as_chromium(ada_url.join_url(base_url, text))
    except ValueError:
        return None


def normal_url(text: str) -> str | None:
    """The absolute URL `text` in its one written form (host, port, dots, escapes); None when it is none."""
    if (plain := _plain_whole(text)) is not None:
        return plain
    try:
        return _as_chromium(ada_url.normalize_url(_scalar(text)))
    except ValueError:
        return None


def base_of(document_url: str, href: str, encoding: str = "utf-8") -> str:
    """The base of a page whose base element says `href`: the page itself when that is no http(s) address."""
    return to_url(href, document_url, encoding) or document_url


def without_fragment(url: str) -> str:
    """What is asked for."""
    return url.partition("#")[0]


def with_fragment_of(target: str, earlier: str) -> str:
    """A redirect's target, with the fragment asked for unless it has one of its own (RFC 9110 10.2.2)."""
    if "#" in target or "#" not in earlier:
        return target
    return f"{target}#{earlier.partition('#')[2]}"


def parameter_rule(names: Sequence[str]) -> re.Pattern[str] | None:
    """What finds the parameters of those names; a `*` at the end of a name stands for any rest."""
    if not names:
        return None
    parts = [re.escape(name[:-1]) + ".*" if name.endswith("*") else re.escape(name) for name in names]
    return re.compile("|".join(parts), re.DOTALL)


def without_parameters(url: str, rule: re.Pattern[str]) -> str:
    """`url` without the parameters that `rule` matches; the others stay as they stand."""
    before, hashed, fragment = url.partition("#")
    path, _, query = before.partition("?")
    if not query:
        return url
    pairs = query.split("&")
    kept = [pair for pair in pairs if not rule.fullmatch(unquote_plus(pair.partition("=")[0]))]
    if len(kept) == len(pairs):
        return url
    return path + ("?" + "&".join(kept) if kept else "") + hashed + fragment


def _has_dots(path: str) -> bool:
    """Whether a segment may be one or two dots, plain or escaped."""
    return "/." in path or "%2" in path


@lru_cache(maxsize=1024)
def _origin_of(url: str) -> str:
    """Scheme, host and port of an http(s) URL, or ""."""
    whole = normal_url(url)
    if whole is None or not whole.startswith(PAGES):
        return ""
    scheme, _, rest = whole.partition("://")
    # Credentials of a page's address are those of its links as well.
    return f"{scheme}://{re.split(r'[/?#]', rest, maxsplit=1)[0]}"


def _as_chromium(url: str) -> str:
    """Chromium escapes one character in paths that the standard leaves."""
    if "|" not in url:
        return url
    end = next((at for at, letter in enumerate(url) if letter in "?#"), len(url))
    return url[:end].replace("|", "%7C") + url[end:]


def _scalar(text: str) -> str:
    """Without surrogates, which no encoding has."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _with_query(text: str, encoding: str) -> str:
    """`text` with its query escaped by way of the document's encoding."""
    text = _scalar(text)
    codec = _codec_of(encoding)
    if codec is None:
        return text
    text = text.strip(_ENDS).translate(_IGNORED)
    before, hashed, fragment = text.partition("#")
    path, asked, query = before.partition("?")
    if query.isascii():
        return text
    octets = _encoded(query, codec)
    escaped = "".join(f"%{octet:02X}" if octet in _QUERY_ESCAPED else chr(octet) for octet in octets)
    return f"{path}{asked}{escaped}{hashed}{fragment}"


def _encoded(query: str, codec: codecs.CodecInfo) -> bytes:
    first = _NOT_ENCODED.get(codec.name)
    if first is None:
        return bytes(codec.encode(query, REFERENCE)[0])
    pieces = ((letter, codec.encode(letter, REFERENCE)[0]) for letter in query)
    return b"".join(_referred(letter).encode() if octets[0] in first else octets for letter, octets in pieces)


@lru_cache(maxsize=64)
def _codec_of(label: str) -> codecs.CodecInfo | None:
    """The encoder of a document's encoding; None for those whose links are UTF-8."""
    found = webencodings.lookup(label)
    if found is None or found.name in ("utf-8", "utf-16le", "utf-16be", "replacement"):
        return None
    codec: codecs.CodecInfo = found.codec_info
    return codec


def _reference(error: UnicodeError) -> tuple[str | bytes, int]:
    """What the encoding doesn't have becomes a character reference, escaped."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    if lost == "€" and error.encoding in _EURO:
        return _EURO[error.encoding], error.end
    return "".join(map(_referred, lost)), error.end


def _referred(letter: str) -> str:
    return f"%26%23{ord(letter)}%3B"


codecs.register_error(REFERENCE, _reference)
