"""What a browser keeps, by origin. Owns: the split of a storage state into origins, and the way back. Pure.

The form is Playwright's: `{"cookies": [...], "origins": [{"origin", "localStorage": [...]}]}`. A cookie belongs to
hosts, not origins: it is kept with the first visited origin that it is sent to.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

Json = Any
# More than this a browser doesn't keep for one site either.
MAX_COOKIES = 3_000
MAX_ORIGINS = 200


@dataclass(frozen=True, slots=True)
class OriginState:
    """What one origin has kept."""

    origin: str
    cookies: Sequence[Mapping[str, Json]]
    local_storage: Sequence[Mapping[str, Json]]

    @property
    def expires_ms(self) -> int:
        """When the first cookie ends that ends by itself; 0: none does."""
        ends = [float(cookie.get("expires", -1)) for cookie in self.cookies]
        return int(min((end for end in ends if end > 0), default=0) * 1000)


def split_state(state: Mapping[str, Json], visited: Iterable[str]) -> list[OriginState]:
    """The state by origin; `visited` are the origins of the run, in order."""
    stored = {entry["origin"]: entry.get("localStorage", []) for entry in state.get("origins", [])}
    origins = list(dict.fromkeys([*visited, *stored]))
    cookies: dict[str, list[Mapping[str, Json]]] = {}
    for cookie in state.get("cookies", [])[:MAX_COOKIES]:
        cookies.setdefault(_origin_of(cookie, origins), []).append(cookie)
    names = [name for name in dict.fromkeys([*origins, *cookies]) if stored.get(name) or cookies.get(name)]
    return [OriginState(name, cookies.get(name, []), stored.get(name, [])) for name in names[:MAX_ORIGINS]]


def join_states(states: Iterable[OriginState]) -> dict[str, Json]:
    """The storage state that a context starts with. Of two cookies of one name and place, the later one counts."""
    cookies: dict[tuple[Json, ...], Mapping[str, Json]] = {}
    origins = []
    for state in states:
        for cookie in state.cookies:
            cookies[cookie.get("name"), cookie.get("domain"), cookie.get("path")] = cookie
        if state.local_storage:
            origins.append({"origin": state.origin, "localStorage": list(state.local_storage)})
    return {"cookies": list(cookies.values()), "origins": origins}


def _origin_of(cookie: Mapping[str, Json], origins: Sequence[str]) -> str:
    domain = str(cookie.get("domain", ""))
    host = domain.lstrip(".")
    for origin in origins:
        name = urlsplit(origin).hostname or ""
        if name == host or (domain.startswith(".") and name.endswith(f".{host}")):
            return origin
    return f"{'https' if cookie.get('secure') else 'http'}://{host}"
