"""What a file that was sent is called. Owns: reading it from Content-Disposition, address and type.

The header by RFC 6266, and as browsers read what breaks it: escaped or raw UTF-8 in a plain `filename`. Must not know
where files are kept.
"""

import codecs
import contextlib
import mimetypes
import re
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from pathlib import PurePosixPath
from urllib.parse import unquote, unquote_to_bytes, urlsplit

_EXTENDED = re.compile(r";\s*filename\*\s*=\s*\"?([\w.:-]+)'[^']*'([^;\"\s]+)", re.IGNORECASE)
_QUOTED = re.compile(r";\s*filename\s*=\s*\"((?:[^\"\\]|\\.)*)\"", re.IGNORECASE)
_PLAIN = re.compile(r";\s*filename\s*=\s*([^;\"]+)", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
# `mimetypes` has several endings for these, the odd one first.
_ENDINGS = {"image/jpeg": ".jpg", "text/plain": ".txt", "application/octet-stream": ""}


def is_attachment(disposition: str) -> bool:
    """Whether the answer is to be saved, not shown."""
    return disposition.partition(";")[0].strip().lower() == "attachment"


def sent_name(url: str, disposition: str, content_type: str) -> str:
    """The name that the answer gives its file, with the type's ending if it has none; never a path, never empty."""
    name = _in_header(";" + disposition.partition(";")[2]) or unquote(urlsplit(url).path.rpartition("/")[2])
    name = _CONTROL.sub("", re.split(r"[/\\]", name)[-1]).strip(" .")
    if not PurePosixPath(name).suffix:
        name = (name or "download") + ending_of(content_type)
    return name


def ending_of(content_type: str) -> str:
    """The usual ending of files of a type, with its dot; empty if there is none."""
    kind = content_type.partition(";")[0].strip().lower()
    return _ENDINGS.get(kind, mimetypes.guess_extension(kind) or "")


def _in_header(parameters: str) -> str:
    if found := _EXTENDED.search(parameters):
        try:
            return unquote_to_bytes(found[2]).decode(codecs.lookup(found[1]).name)
        except (LookupError, UnicodeDecodeError):
            pass  # A plain one may stand beside it.
    if found := _QUOTED.search(parameters):
        return _as_browsers_read(re.sub(r"\\(.)", r"\1", found[1]))
    if found := _PLAIN.search(parameters):
        return _as_browsers_read(found[1].strip())
    return ""


def _as_browsers_read(name: str) -> str:
    if name.startswith("=?"):
        try:
            return str(make_header(decode_header(name)))
        except (HeaderParseError, LookupError, UnicodeDecodeError):
            return name
    # Unless it was text already.
    with contextlib.suppress(UnicodeEncodeError, UnicodeDecodeError):
        name = name.encode("latin-1").decode()
    try:
        return unquote(name, errors="strict")
    except UnicodeDecodeError:
        return name
