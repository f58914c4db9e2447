"""What can be a host's name at all. Owns: that rule (RFC 1123, with underscores as in real life; IDNA 2008).

Must not resolve anything.
"""

import re
from ipaddress import ip_address

import idna

MAX_CHARACTERS = 253
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


def can_be_host(host: str) -> bool:
    """Whether `host`, a name or an address without brackets, could be called at all."""
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode()
        except UnicodeError:
            return False
    name = host.removesuffix(".")
    return (bool(name) and len(name) <= MAX_CHARACTERS and all(map(_LABEL.fullmatch, name.split(".")))) or _is_address(
        host.partition("%")[0]
    )


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
