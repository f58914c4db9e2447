"""How bytes become text. Owns: finding a page's encoding. Must not know HTTP or documents."""

from w3lib.encoding import html_to_unicode


def decode_body(body: bytes, content_type: str, *, charset: str | None = None) -> tuple[str, str]:
    """(text, encoding). By `charset`, or else header, byte order mark or markup; undeclared: UTF-8 or Windows-1252."""
    header = f"text/html; charset={charset}" if charset else content_type or None
    encoding, text = html_to_unicode(header, body, auto_detect_fun=_guess_charset)
    return text, encoding


def _guess_charset(body: bytes) -> str:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        # A body cut at the bound may end inside a character.
        return "utf-8" if error.start >= len(body) - 3 else "cp1252"
    return "utf-8"
