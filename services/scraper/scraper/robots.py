"""robots.txt by RFC 9309, and what pages and headers say to crawlers. Owns: their meaning. Must not fetch.

A crawler is named by its product token alone, compared without case. Of the rules that match a path the longest counts,
and an Allow where two are equally long. Crawl-delay and Sitemap are taken as well; any other line is skipped.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

# RFC 9309 2.5: at least 500 KiB must be read.
MAX_BYTES = 512 * 1024
MAX_RULES = 50_000
MAX_SITEMAPS = 10_000
MAX_PATH = 8192
MAX_STARS = 50
_TOKEN = re.compile(r"[A-Za-z_-]+")
_ESCAPED = re.compile(r"%([0-9A-Fa-f]{2})")
_SAFE = "!#$%&()*+,-./:;=?@[]_~"
_ESCAPE = re.compile(r"[^!#$%&()*+,\-./0-9:;=?@A-Z\[\]_a-z~]")
_NAME = re.compile(r"[a-z][a-z0-9_.-]*(?:/[0-9.]+)?|\*")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_NUMBER = re.compile(r"\d{1,9}(?:\.\d{0,9})?")
# Common misspellings that crawlers take for the real word.
_KEYS = {"user-agent": "agent", "useragent": "agent", "user agent": "agent", "disallow": "disallow", "allow": "allow",
         "crawl-delay": "delay", "crawldelay": "delay", "sitemap": "sitemap", "site-map": "sitemap"}  # fmt: skip
NO_FOLLOW = frozenset({"nofollow", "none"})


def product_token(user_agent: str) -> str:
    """The name in a User-Agent header that robots.txt may address, in lower case; "" when it has none."""
    match = _TOKEN.match(user_agent.strip())
    return match[0].lower() if match else ""


@dataclass(slots=True)
class _Group:
    agents: set[str] = field(default_factory=set)
    rules: list[tuple[str, bool]] = field(default_factory=list)


@dataclass(slots=True)
class _File:
    """`delays`: by agent, since a Crawl-delay is for those that are named right before it."""

    groups: list[_Group] = field(default_factory=list)
    delays: dict[str, float] = field(default_factory=dict)
    sitemaps: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a robots.txt says to one crawler. `delay`: seconds between requests that it asks for, or None."""

    paths: "PathRules"
    delay: float | None = None
    sitemaps: tuple[str, ...] = ()

    def allow(self, url: str) -> bool:
        """Whether `url` may be fetched."""
        return self.paths.allow(url)


class PathRules:
    """Rules for paths. Most are plain beginnings, and looked up; those with wildcards are tried, the longest first."""

    def __init__(self, rules: Iterable[tuple[str, bool]]) -> None:
        self._plain: dict[str, bool] = {}
        wild: dict[str, bool] = {}
        for path, allowed in rules:
            pattern = _normal(path)
            if pattern:
                kind = wild if "*" in pattern or pattern.endswith("$") else self._plain
                # Of two equal ones the one that allows counts.
                kind[pattern] = allowed or kind.get(pattern, False)
        self._lengths = sorted({len(pattern) for pattern in self._plain}, reverse=True)
        self._wild = sorted(wild.items(), key=lambda rule: (-len(rule[0]), not rule[1]))
        self._any = not all(self._plain.values()) or not all(wild.values())

    def allow(self, url: str) -> bool:
        """Whether `url` may be fetched; /robots.txt itself always may."""
        if not self._any:
            return True
        parts = urlsplit(url)
        path = _normal((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
        if path == "/robots.txt":
            return True
        path = path.replace("*", "%2A").replace("$", "%24")
        length, allowed = self._longest_plain(path)
        for pattern, allows in self._wild:
            if len(pattern) < length or (len(pattern) == length and allowed):
                break
            if _matches(pattern, path):
                return allows
        return allowed

    def _longest_plain(self, path: str) -> tuple[int, bool]:
        for length in self._lengths:
            if length <= len(path) and (allowed := self._plain.get(path[:length])) is not None:
                return length, allowed
        return 0, True


def read_robots(body: bytes, user_agent: str) -> Rules:
    """The rules of a robots.txt for the crawler of that User-Agent. Never raises."""
    if len(body) >= MAX_BYTES:
        # The last line may have been cut, and half a path is another one.
        body = body[:MAX_BYTES]
        body = body[: max(body.rfind(b"\n"), body.rfind(b"\r")) + 1]
    text = body.removeprefix(b"\xef\xbb\xbf").decode(errors="surrogateescape")
    token = product_token(user_agent)
    file = _read(text)
    name = token if token and any(token in group.agents for group in file.groups) else "*"
    rules = PathRules(rule for group in file.groups if name in group.agents for rule in group.rules)
    return Rules(rules, file.delays.get(name), tuple(dict.fromkeys(file.sitemaps)))


def _read(text: str) -> _File:
    file = _File()
    # Agents that follow one another share a group; only a rule ends their names, lines of other kinds in between don't.
    naming = delayed = False
    named: set[str] = set()
    count = 0
    for key, value in _lines(text):
        if key == "sitemap":
            if value and len(file.sitemaps) < MAX_SITEMAPS:
                file.sitemaps.append(value)
        elif key == "agent":
            if not naming:
                file.groups.append(_Group())
            named = {_agent(value)} if not naming or delayed else named | {_agent(value)}
            naming, delayed = True, False
            file.groups[-1].agents.add(_agent(value))
        elif key == "delay":
            delayed = True
            if found := _NUMBER.match(value):
                file.delays |= {name: max(file.delays.get(name, 0.0), float(found[0])) for name in named}
        elif file.groups and count < MAX_RULES:
            naming = False
            count += 1
            file.groups[-1].rules.append((value[:MAX_PATH], key == "allow"))
    return file


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """(kind, value) of the lines that are known; CR, LF and both end a line, and nothing else does."""
    for line in re.split(r"\r\n|\r|\n", text):
        key, colon, value = line.partition("#")[0].partition(":")
        kind = _KEYS.get(" ".join(key.lower().split())) if colon else None
        if kind is not None:
            yield kind, value.strip()


def _agent(value: str) -> str:
    """The product token of a User-agent line: what follows it (a version) doesn't count."""
    if value.partition(" ")[0] == "*":
        return "*"
    match = _TOKEN.match(value)
    return match[0].lower() if match else ""


def _normal(path: str) -> str:
    """One form of a path or rule: what addresses escape is escaped, what needs no escape isn't, hex is in capitals.

    A `$` that isn't at the end stands for itself.
    """
    if _ESCAPE.search(path):
        path = quote(path, safe=_SAFE, errors="surrogateescape")
    if "%" in path:
        path = _ESCAPED.sub(_shown, path)
    return path[:-1].replace("$", "%24") + path[-1:] if "$" in path[:-1] else path


def _shown(match: re.Match[str]) -> str:
    letter = chr(int(match[1], 16))
    return letter if letter in _UNRESERVED else match[0].upper()


def _matches(pattern: str, path: str) -> bool:
    """Whether a rule matches from the beginning of the path; `*` is any text, `$` at the end is the path's end."""
    if "*" not in pattern and not pattern.endswith("$"):
        return path.startswith(pattern)
    ends = pattern.endswith("$")
    first, *pieces = (pattern[:-1] if ends else pattern).split("*", MAX_STARS)
    if not path.startswith(first):
        return False
    at = len(first)
    if ends and not pieces:
        return at == len(path)
    # Each piece where it comes first: what follows it has the most room then.
    for piece in pieces[:-1] if ends else pieces:
        found = path.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return not ends or (len(path) - at >= len(pieces[-1]) and path.endswith(pieces[-1]))


def says_nofollow(content: str) -> bool:
    """Whether the directives of a robots meta element ask not to follow links."""
    return not NO_FOLLOW.isdisjoint(part.strip() for part in re.split(r"[,\s]+", content.lower()))


def header_says_nofollow(values: Iterable[str], user_agent: str) -> bool:
    """Whether X-Robots-Tag headers ask the crawler of that User-Agent not to follow links.

    A value may begin with the name of the crawler that it is for, which then goes for the directives behind it.
    """
    token = product_token(user_agent)
    for value in values:
        meant = True
        for part in value.lower().split(","):
            name, colon, rest = part.partition(":")
            directive = part.strip()
            name = name.strip()
            # Directives with a value of their own are no names of crawlers, and neither are parts of a date.
            if colon and name not in _WITH_VALUE and _NAME.fullmatch(name):
                meant, directive = name.partition("/")[0] in (token, "*", "robots"), rest.strip()
            if meant and not NO_FOLLOW.isdisjoint(directive.split()):
                return True
    return False


_WITH_VALUE = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
