"""Query parameters that nothing reads. Owns: which are a slip, and whether it is refused or told. Knows no contract."""

from collections.abc import Sequence

from chassis.suggestions import nearest

from gateway.checks import MAX_SHOWN_CHARACTERS
from gateway.exchange import Call, TooManyFields
from gateway.failures import UnknownParameter

# A credential, and what browsers, proxies and advertisements add by themselves.
FOREIGN = frozenset({"api_key", "gclid", "fbclid"})
FOREIGN_BEGINNINGS = ("_", "utm_")
# So near to a known name that it was meant.
NEAR = 0.6


class QueryRules:
    """The query parameters of one endpoint. `strict`: others are refused; otherwise they are ignored, and told."""

    def __init__(self, known: Sequence[str], *, strict: bool) -> None:
        self._known, self._strict = known, strict

    def check(self, call: Call) -> None:
        """Note what nothing reads in the call's warnings. Raises `UnknownParameter`, or `TooManyFields`."""
        try:
            query = call.query
        except TooManyFields:
            if self._strict:
                raise
            return  # Some of the originals' lists come as many fields of one name; their handlers have bounds.
        for name in query:
            if name in self._known or name in FOREIGN or name.startswith(FOREIGN_BEGINNINGS):
                continue
            shown = name[:MAX_SHOWN_CHARACTERS]
            if self._strict:
                raise UnknownParameter(
                    f"请求参数验证失败: {shown} 是未知的查询参数{self._hint(name)}", field=shown, rule="unknown"
                )
            call.warnings.append((shown, f"unknown query parameter, ignored{self._hint(name)}"))

    def _hint(self, name: str) -> str:
        near = nearest(name, self._known, NEAR)
        meant = f"; did you mean {near!r}?" if near else ""
        return f"{meant} (known: {', '.join(self._known) or 'none'})"
