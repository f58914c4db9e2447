"""The encoding of a body, as browsers find it. Owns: that order and the detection. Must not know documents.

A byte order mark counts most, then what the caller or the header says, then a meta element or XML declaration, then
UTF-8 if the bytes are that, and last what they look like. Labels are those of the WHATWG encoding standard.
"""

import codecs
import re
from collections.abc import Iterator
from functools import lru_cache

import webencodings

# Where browsers look for a meta element, and what of a body detection is shown.
PRESCAN_BYTES = 64 * 1024
LEAST_PRESCAN = 1024
DETECTED_BYTES = 64 * 1024
FALLBACK = "windows-1252"
MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16le"), (codecs.BOM_UTF16_BE, "utf-16be"))
_CHARSET = re.compile(r"""charset\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s;"']+))""", re.IGNORECASE)
# Bodies are hostile: none of these patterns looks at a byte more than a few times (hence what is possessive).
_COMMENT_OR_META = re.compile(rb"<!--|<meta[\s/]", re.IGNORECASE)
_ATTRIBUTES = re.compile(rb"""(?:[^>=]|=\s*+(?:"[^"]*+"|'[^']*+'|(?!["'])))*+>""")
_META_CHARSET = re.compile(rb"""[\s/"';]charset\s*+=\s*+["']?+\s*+([^\s"'/>;]+)""", re.IGNORECASE)
_HEAD_END = re.compile(rb"</head|<body", re.IGNORECASE)
_XML = re.compile(rb"""^\s*<\?xml\s[^>]*?encoding\s*=\s*["']([A-Za-z0-9._\-]+)["']""")
# What pages of the web are written in without saying so.
_LATIN = ("windows-1250", "windows-1252", "windows-1254", "windows-1257", "windows-1258", "iso-8859-2", "iso-8859-15")
_OTHER_SCRIPTS = frozenset({
    "windows-1251", "windows-1253", "windows-1255", "windows-1256", "windows-874", "koi8-r", "koi8-u", "iso-8859-5",
    "iso-8859-7", "iso-8859-8",
})  # fmt: skip
_BEYOND_ASCII = re.compile(rb"(?P<before>[A-Za-z]?)[\xc0-\xff]++(?P<behind>(?=[A-Za-z]))?")
_SCRIPT_OR_STYLE = re.compile(rb"<(script|style)\b.*?(?:</\1\s*+>|\Z)", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(rb"<[A-Za-z/!][^<>]*+>")
_DETECTED = (
    "shift_jis", "cp932", "euc-jp", "iso-2022-jp", "gb18030", "gbk", "gb2312", "big5", "big5hkscs", "euc-kr", "cp949",
    *sorted(_OTHER_SCRIPTS), *_LATIN,
)  # fmt: skip
# Python's names of codecs that aren't labels of the standard.
_STANDARD_NAMES = {
    "cp932": "shift_jis", "cp949": "euc-kr", "big5hkscs": "big5", "euc_jis_2004": "euc-jp", "euc_jp": "euc-jp",
    "cp874": "windows-874", "koi8_r": "koi8-r", "koi8_u": "koi8-u", "iso2022_jp": "iso-2022-jp",
}  # fmt: skip


def decode_body(body: bytes, content_type: str, *, charset: str | None = None) -> tuple[str, str]:
    """The text of a body, and the WHATWG label of the encoding that it was read by.

    `content_type`: the whole header; `charset`: counts in place of what it says. What can't be decoded becomes U+FFFD.
    """
    for mark, name in MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(name, "replace"), name
    label = known_label(charset or "") or known_label(header_charset(content_type)) or _declared(body, content_type)
    if label is None and (b"\x1b$B" in body or b"\x1b$@" in body):
        label = "iso-2022-jp"
    if label in (None, "utf-8"):
        try:
            return body.decode(), "utf-8"
        except UnicodeDecodeError as error:
            # A body that was cut may end inside a character.
            if label == "utf-8" or error.start >= len(body) - 3:
                return body.decode(errors="replace"), "utf-8"
        label = _detected(body)
    return _decoded(body, label), label


def known_label(label: str) -> str | None:
    """The standard's name of an encoding, or None for a label that it doesn't know."""
    found = _lookup(label[:100])
    return found.name if found is not None else None


def header_charset(content_type: str) -> str:
    """The charset parameter of a Content-Type, with or without quotation marks of either kind."""
    match = _CHARSET.search(content_type)
    return next((text.strip() for text in match.groups() if text is not None), "") if match else ""


@lru_cache(maxsize=256)
def _lookup(label: str) -> "webencodings.Encoding | None":
    found = webencodings.lookup(label)
    # The standard has it decode to one error: nothing that a reader is served by.
    return None if found is None or found.name == "replacement" else found


def _declared(body: bytes, content_type: str) -> str | None:
    """What the markup says of itself. In bytes that could be read so far, UTF-16 means UTF-8."""
    head = body[:PRESCAN_BYTES]
    if b"<" not in head:
        return None
    if (end := _HEAD_END.search(head, LEAST_PRESCAN)) is not None:
        head = head[: end.start()]
    if body.startswith((b"<\x00?\x00", b"\x00<\x00?")):
        return "utf-16le" if body[0] else "utf-16be"
    found = _XML.search(head)
    label = known_label(found[1].decode("ascii", "replace")) if found else None
    if label is None and "json" not in content_type:
        label = _meta_charset(head)
    return "utf-8" if label in ("utf-16le", "utf-16be") else "windows-1252" if label == "x-user-defined" else label


def _meta_charset(head: bytes) -> str | None:
    if b"charset" not in head.lower():
        return None
    for attributes in _metas(head):
        for match in _META_CHARSET.finditer(attributes):
            label = known_label(match[1].decode("ascii", "replace"))
            if label is not None:
                return label
    return None


def _metas(head: bytes) -> Iterator[bytes]:
    """What stands within the meta elements; one that doesn't end, or a comment, leaves nothing behind it."""
    at = 0
    while (start := _COMMENT_OR_META.search(head, at)) is not None:
        if start[0] == b"<!--":
            at = head.find(b"-->", start.end()) + 3
            if at == 2:
                return
        elif (attributes := _ATTRIBUTES.match(head, start.end() - 1)) is not None:
            at = attributes.end()
            yield attributes[0]
        else:
            return


def _detected(body: bytes) -> str:
    """What bytes that declare nothing and are no UTF-8 look like."""
    import chardet  # Its models take a tenth of a second, and most pages are UTF-8.

    head = _without_markup(body[: 4 * DETECTED_BYTES])[:DETECTED_BYTES]

    def look(among: tuple[str, ...]) -> str:
        found = chardet.detect(
            head, include_encodings=among, compat_names=False, prefer_superset=False, max_bytes=DETECTED_BYTES
        )
        name = found["encoding"] or ""
        return known_label(_STANDARD_NAMES.get(name, name)) or FALLBACK

    label = look(_DETECTED)
    return look(_LATIN) if label in _OTHER_SCRIPTS and _is_latin(head) else label


def _is_latin(head: bytes) -> bool:
    """Whether letters beyond ASCII stand within words of ASCII letters, as those of other scripts don't."""
    found = [bool(match["before"]) or match["behind"] is not None for match in _BEYOND_ASCII.finditer(head)]
    return 2 * sum(found) > len(found)


def _without_markup(body: bytes) -> bytes:
    """What has letters: tags, scripts and styles are ASCII in every language."""
    return _TAG.sub(b" ", _SCRIPT_OR_STYLE.sub(b" ", body))


def _decoded(body: bytes, label: str) -> str:
    found = _lookup(label)
    assert found is not None
    if found.name == "windows-1252":
        # The standard's table has a character for every byte.
        return body.decode("cp1252", "trawl.octet")
    if found.name == "gbk":
        return body.decode("gb18030", "replace")
    return str(found.codec_info.decode(body, "replace")[0])


def _octet(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(map(chr, error.object[error.start : error.end])), error.end


codecs.register_error("trawl.octet", _octet)
