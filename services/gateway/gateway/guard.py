"""Keeps web pages in somebody's browser away from ports without authentication. Owns: which Host, Origin and content
type such a port takes. Knows no contract.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from chassis.errors import Forbidden, TrawlError

from gateway.failures import UnsupportedMedia

_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


class Guard:
    """`names`: host names that the port answers to, lower case. `keyed`: the port asks for a key, which no web page
    has; what comes without one reaches its open paths alone.
    """

    def __init__(self, names: frozenset[str], *, keyed: bool = False) -> None:
        self._names, self._keyed = names, keyed

    def refusal(self, method: str, headers: Mapping[bytes, bytes], query: bytes = b"") -> TrawlError | None:
        """Why the request is refused, or None. A browser can't forge Host and Origin, and can't send JSON across
        origins without asking first, which no port here answers.
        """
        if self._keyed and (b"authorization" in headers or b"api_key=" in query):
            return None
        if not self._known(f"//{headers.get(b'host', b'').decode('latin-1')}"):
            return Forbidden("Host不被允许", field="Host", rule="allowed_host")
        if self._keyed:
            return None
        origin = headers.get(b"origin")
        if origin is not None and not self._known(origin.decode("latin-1")):
            return Forbidden("Origin不被允许", field="Origin", rule="allowed_origin")
        media = headers.get(b"content-type", b"").split(b";", 1)[0].strip().lower()
        bodiless = not media and headers.get(b"content-length", b"0") == b"0" and b"transfer-encoding" not in headers
        # What has neither body nor type is no form, and a browser says of every POST from where it comes.
        if method in _WITH_BODY and media != b"application/json" and not bodiless:
            return UnsupportedMedia("Content-Type必须是application/json", field="Content-Type", rule="json")
        return None

    def _known(self, url: str) -> bool:
        try:
            return urlsplit(url).hostname in self._names
        except ValueError:
            return False
