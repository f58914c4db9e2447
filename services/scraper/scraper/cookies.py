"""A cookie jar by RFC 6265bis. Owns: which cookies are kept and sent. Must not know requests.

Names and values are octets, held as text with `surrogateescape`: they go back exactly as they came. Bounded in number
and size. There is no list of public suffixes: a cookie for a whole domain must at least have a dot in it.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from time import time
from urllib.parse import SplitResult, urlsplit

# RFC 6265bis 5.6: longer ones are ignored.
MAX_PAIR_BYTES = 4096
MAX_ATTRIBUTE_BYTES = 1024
MAX_PER_HOST = 180
MAX_COOKIES = 3000
# The upper limit of an age that browsers keep to.
MAX_AGE_SECONDS = 400 * 86400
_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SPACE = " \t"
_DELIMITERS = re.compile(r"[\x09\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_TIME = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})(?!\d)")
_DAY = re.compile(r"(\d{1,2})(?!\d)")
_YEAR = re.compile(r"(\d{2,4})(?!\d)")
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}


@dataclass(slots=True)
class Cookie:
    """`domain` with `host_only`: that host alone, else it and all below. `expires`: epoch seconds; None: never."""

    name: str
    value: str
    domain: str
    path: str
    host_only: bool
    secure: bool
    expires: float | None
    created: int

    @property
    def pair(self) -> str:
        """As it stands in the Cookie header."""
        return f"{self.name}={self.value}" if self.name else self.value


class CookieJar:
    """The cookies of one run."""

    def __init__(self, clock: Callable[[], float] = time) -> None:
        self._clock = clock
        self._cookies: dict[tuple[str, str, str], Cookie] = {}
        self._count = 0

    def take(self, url: str, headers: Iterable[bytes]) -> None:
        """Keep what Set-Cookie headers of the answer from `url` say, as far as they may. Never raises."""
        parts = urlsplit(url)
        for header in headers:
            cookie = self._read(header.decode("utf-8", "surrogateescape"), parts)
            if cookie is None:
                continue
            key = (cookie.domain, cookie.path, cookie.name)
            earlier = self._cookies.pop(key, None)
            if earlier is not None:
                cookie.created = earlier.created
            if cookie.expires is None or cookie.expires > self._clock():
                self._cookies[key] = cookie
                self._make_room(cookie.domain)

    def header(self, url: str) -> str | None:
        """The Cookie header for a request to `url`: longer paths first, then those that came first."""
        if not self._cookies:
            return None
        parts = urlsplit(url)
        host, path, secure, now = parts.hostname or "", parts.path or "/", parts.scheme == "https", self._clock()
        sent = [
            cookie
            for cookie in self._cookies.values()
            if (host == cookie.domain if cookie.host_only else _is_within(host, cookie.domain))
            and _matches_path(path, cookie.path)
            and (secure or not cookie.secure)
            and (cookie.expires is None or cookie.expires > now)
        ]
        sent.sort(key=lambda cookie: (-len(cookie.path), cookie.created))
        return "; ".join(cookie.pair for cookie in sent) or None

    def _read(self, header: str, parts: SplitResult) -> Cookie | None:
        pair, *rest = header.split(";")
        name, equals, value = pair.partition("=")
        name, value = (name.strip(_SPACE), value.strip(_SPACE)) if equals else ("", name.strip(_SPACE))
        length = len(name.encode("utf-8", "surrogateescape")) + len(value.encode("utf-8", "surrogateescape"))
        if not (name or value) or length > MAX_PAIR_BYTES or _FORBIDDEN.search(header):
            return None
        host = parts.hostname or ""
        said = _attributes(rest)
        domain = said.get("domain", "").removeprefix(".").lower()
        secure = "secure" in said
        if domain and not _may_set(host, domain):
            return None
        if secure and parts.scheme != "https":
            return None
        path = said.get("path", "")
        cookie = Cookie(
            name, value, domain or host, path if path.startswith("/") else _default_path(parts.path),
            host_only=not domain or (domain == host and _is_address(host)), secure=secure, expires=self._expiry(said),
            created=self._count,
        )  # fmt: skip
        self._count += 1
        return cookie if _keeps_prefix(cookie, parts.scheme, said) else None

    def _expiry(self, said: dict[str, str]) -> float | None:
        latest = self._clock() + MAX_AGE_SECONDS
        age = said.get("max-age", "")
        if re.fullmatch(r"-?[0-9]+", age):
            return (
                0.0 if age.startswith("-") else min(self._clock() + float(age[:12]), latest) if age.strip("0") else 0.0
            )
        when = _date(said["expires"]) if "expires" in said else None
        return None if when is None else min(when, latest)

    def _make_room(self, domain: str) -> None:
        """The oldest goes, of the host's own and of all."""
        own = [key for key in self._cookies if key[0] == domain]
        if len(own) > MAX_PER_HOST:
            del self._cookies[min(own, key=lambda key: self._cookies[key].created)]
        elif len(self._cookies) > MAX_COOKIES:
            del self._cookies[min(self._cookies, key=lambda key: self._cookies[key].created)]


def _attributes(parts: Iterable[str]) -> dict[str, str]:
    """The last of each name counts, and one that is too long doesn't."""
    said: dict[str, str] = {}
    for part in parts:
        name, _, value = part.partition("=")
        value = value.strip(_SPACE)
        if len(value) <= MAX_ATTRIBUTE_BYTES:
            said[name.strip(_SPACE).lower()] = value
    return said


def _keeps_prefix(cookie: Cookie, scheme: str, said: dict[str, str]) -> bool:
    """Whether it is what the prefix of its name promises; one without a name must not look as if it had one."""
    name = (cookie.name or cookie.value).lower()
    if name.startswith("__secure-"):
        return bool(cookie.name) and cookie.secure and scheme == "https"
    if name.startswith("__host-"):
        return bool(cookie.name) and cookie.secure and cookie.path == "/" and not said.get("domain")
    return True


def _may_set(host: str, domain: str) -> bool:
    return domain == host or ("." in domain and _is_within(host, domain))


def _is_within(host: str, domain: str) -> bool:
    return host == domain or (host.endswith("." + domain) and not _is_address(host))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _matches_path(path: str, wanted: str) -> bool:
    if not path.startswith(wanted):
        return False
    return len(path) == len(wanted) or wanted.endswith("/") or path[len(wanted)] == "/"


def _default_path(path: str) -> str:
    return path[: path.rindex("/")] or "/" if path.startswith("/") else "/"


def _date(text: str) -> float | None:
    """Seconds since the epoch of a date in any of the forms that servers use (RFC 6265bis 5.1.1)."""
    clock: tuple[int, int, int] | None = None
    day = month = year = None
    for token in _DELIMITERS.split(text):
        if clock is None and (found := _TIME.match(token)):
            clock = (int(found[1]), int(found[2]), int(found[3]))
        elif day is None and (found := _DAY.match(token)):
            day = int(found[1])
        elif month is None and token[:3].lower() in _MONTHS:
            month = _MONTHS[token[:3].lower()]
        elif year is None and (found := _YEAR.match(token)):
            year = int(found[1])
    if clock is None or day is None or month is None or year is None:
        return None
    return _epoch(year + (1900 if 70 <= year <= 99 else 2000 if year < 70 else 0), month, day, clock)


def _epoch(year: int, month: int, day: int, clock: tuple[int, int, int]) -> float | None:
    try:
        return (
            datetime(year, month, day, clock[0], clock[1], clock[2], tzinfo=UTC).timestamp() if year >= 1601 else None
        )
    except ValueError:
        return None
