"""Accounts and proxies. Pure. Owns: what they are, which of them may work, and reading their secrets as they come from
outside. Must not know stores, leases or X.
"""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from chassis.errors import InvalidInput
from chassis.host_names import can_be_host

Json = Any
MAX_COOKIES, MAX_COOKIE_CHARACTERS = 100, 4_096
NEEDED_COOKIES = ("auth_token", "ct0")
PROXY_SCHEMES = ("http", "socks5", "socks4")


class AccountStatus(StrEnum):
    """ACTIVE may work. BANNED was set aside by X's own word, `reason` says which; DISABLED by a person."""

    ACTIVE = "ACTIVE"
    BANNED = "BANNED"
    DISABLED = "DISABLED"


@dataclass(frozen=True, slots=True)
class Account:
    """One account. `sealed` holds its cookies, encrypted; `version` counts changes."""

    id: str
    username: str
    sealed: str
    created_ms: int
    updated_ms: int
    status: str = AccountStatus.ACTIVE
    # Why it is not active: suspended | locked | logged_out | forbidden, or a person's words.
    reason: str = ""
    status_ms: int = 0
    proxy_id: str = ""
    # Requests a day; 0: the setting's.
    daily_budget: int = 0
    user_agent: str = ""
    notes: str = ""
    version: int = 1

    def with_status(self, status: AccountStatus, reason: str, now_ms: int) -> "Account":
        """This account in another state."""
        return replace(self, status=status.value, reason=reason, status_ms=now_ms, updated_ms=now_ms)


@dataclass(frozen=True, slots=True)
class Proxy:
    """One proxy. `url` has no credentials; `sealed` holds `name:password`, encrypted, or nothing."""

    id: str
    name: str
    url: str
    sealed: str
    created_ms: int
    updated_ms: int
    enabled: int = 1
    # Not used before this; it did not work.
    rest_until_ms: int = 0
    failures: int = 0
    last_error: str = ""
    version: int = 1

    def usable(self, now_ms: int) -> bool:
        """Whether a run may go through it now."""
        return bool(self.enabled) and self.rest_until_ms <= now_ms


def new_id(kind: str) -> str:
    """`account-…` or `proxy-…`, of fixed width."""
    return f"{kind}-{secrets.token_hex(8)}"


def account_hash(account_id: str) -> str:
    """What results say of the account that found them: the same for the same account, and not its name."""
    return hashlib.sha256(b"account:" + account_id.encode()).hexdigest()[:16]


def read_cookies(raw: Json) -> dict[str, str]:
    """Cookies by name, from an object, a browser's export (a list of objects) or a `Cookie` header's text.

    Raises `InvalidInput` naming the field.
    """
    if isinstance(raw, str):
        pairs = [part.strip().partition("=") for part in raw.split(";") if part.strip()]
        found: dict[Json, Json] = {name: value for name, _, value in pairs}
    elif isinstance(raw, list):
        found = {one.get("name"): one.get("value") for one in raw if isinstance(one, Mapping)}
    elif isinstance(raw, Mapping):
        found = dict(raw)
    else:
        raise InvalidInput("must be an object, a list of cookies or the text of a Cookie header", field="cookies")
    if len(found) > MAX_COOKIES:
        raise InvalidInput(f"at most {MAX_COOKIES} cookies", field="cookies")
    cookies = {_cookie(name, "name"): _cookie(value, "value") for name, value in found.items()}
    missing = [name for name in NEEDED_COOKIES if not cookies.get(name)]
    if missing:
        raise InvalidInput(f"must contain {' and '.join(missing)}", field="cookies")
    return cookies


def _cookie(text: Json, what: str) -> str:
    sane = isinstance(text, str) and len(text) <= MAX_COOKIE_CHARACTERS and text.isascii() and text.isprintable()
    if not sane or ";" in text or (what == "name" and (not text or "=" in text)):
        raise InvalidInput(f"has a cookie whose {what} is no such thing", field="cookies")
    return str(text)


def read_proxy_url(raw: str) -> tuple[str, str]:
    """(address without credentials, `name:password` or nothing). Raises `InvalidInput`."""
    try:
        parts = urlsplit(raw.strip())
        port = parts.port
    except ValueError as error:
        raise InvalidInput(f"is not a URL: {error}", field="url") from error
    if parts.scheme not in PROXY_SCHEMES:
        raise InvalidInput(f"must begin with one of {', '.join(f'{one}://' for one in PROXY_SCHEMES)}", field="url")
    if not parts.hostname or port is None or port == 0 or not can_be_host(parts.hostname):
        raise InvalidInput("must name a host and a port", field="url")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise InvalidInput("must end with the port", field="url")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    credentials = ""
    if parts.username is not None:
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return f"{parts.scheme}://{host}:{port}", credentials


def full_url(proxy: Proxy, credentials: str) -> str:
    """The address with credentials, as clients take it."""
    if not credentials:
        return proxy.url
    scheme, _, rest = proxy.url.partition("://")
    name, _, password = credentials.partition(":")
    return f"{scheme}://{quote(name, safe='')}:{quote(password, safe='')}@{rest}"
