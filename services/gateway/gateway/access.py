"""Who may do what. Owns: roles, and the way from a request's credential to a principal. Must not know any contract.

API keys read `trawl_<id>_<secret>`; only the SHA-256 of the whole key is stored, which is enough because the secret
has 256 random bits. Every comparison of secrets takes constant time.
"""

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

from chassis.errors import Forbidden, Unauthenticated
from chassis.logs import get_logger

from gateway.exchange import Call
from gateway.jwks import OutsideBearer, OutsideIssuer, make_issuer
from gateway.rate_limits import Limit
from gateway.settings import GatewaySettings
from gateway.tokens import Tokens

log = get_logger("access")
MAX_CACHED = 10_000
MAX_CREDENTIAL_CHARACTERS = 4_096
KEY_PREFIX = "trawl"
# The administrator's, whose key is a setting and in no store.
ADMIN_ID = "admin"


class Role(IntEnum):
    """What one may; each includes the ones below."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3

    @property
    def label(self) -> str:
        """As written in JSON."""
        return self.name.lower()


ROLES = {role.label: role for role in Role}


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody known. `limit` None: the one that the settings give to everybody."""

    id: str
    name: str
    role: Role
    limit: Limit | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A stored key. `digest` is the SHA-256 of the whole key, hexadecimal."""

    id: str
    name: str
    role: Role
    digest: str
    created_ms: int
    created_by: str
    limit: Limit | None = None


class KeyStore(Protocol):
    """Where keys are kept. All raise `Unavailable`."""

    async def add(self, key: ApiKey) -> None:
        """Store a new key."""

    async def find(self, key_id: str) -> ApiKey | None:
        """The key with that id."""

    async def newest(self, limit: int) -> list[ApiKey]:
        """Keys, newest first."""

    async def remove(self, key_id: str) -> bool:
        """Whether there was one to remove."""


def make_access(keys: KeyStore, settings: GatewaySettings, secret: bytes) -> "Access":
    """The access that the settings describe. `secret` signs tokens."""
    admin_key = settings.trawl_api_key.get_secret_value() if settings.trawl_api_key is not None else None
    if admin_key is None:
        log.warning("TRAWL_API_KEY is not set: only keys that are already in the database work")
    elif settings.has_weak_key:
        log.warning("TRAWL_API_KEY is a placeholder or short: whoever reaches this machine's ports can guess it")
    tokens = Tokens(secret, settings.jwt_ttl_seconds)
    return Access(
        keys, tokens, admin_key=admin_key, cache_seconds=settings.key_cache_seconds, outside=make_issuer(settings)
    )


def make_key() -> tuple[str, str, str]:
    """A new key's id, the key itself, and its digest."""
    key_id = secrets.token_hex(8)
    key = f"{KEY_PREFIX}_{key_id}_{secrets.token_urlsafe(32)}"
    return key_id, key, hashlib.sha256(key.encode()).hexdigest()


class Access:
    """Authenticates requests. What was found is believed for `cache_seconds`, so that a busy caller costs no reads."""

    def __init__(
        self,
        keys: KeyStore,
        tokens: Tokens,
        *,
        admin_key: str | None,
        cache_seconds: float,
        outside: OutsideIssuer | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.keys, self.tokens, self._clock = keys, tokens, clock
        self._outside = outside
        self._admin_digest = hashlib.sha256(admin_key.encode()).digest() if admin_key else None
        self._cache_seconds = cache_seconds
        self._cache: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()

    async def authorize(self, call: Call, role: Role) -> Principal:
        """Who is calling. Raises `Unauthenticated`, `Forbidden` for a lower role, `Unavailable`."""
        principal = await self.authenticate(credential_of(call))
        if principal.role < role:
            raise Forbidden(f"权限不足: 需要 {role.label} 角色", rule="role", value=principal.role.label)
        return principal

    async def recognize(self, call: Call) -> Principal | None:
        """Who is calling a port that asks for no key: None without a credential that counts. Raises `Unavailable`."""
        if b"authorization" not in call.headers and b"api_key=" not in call.scope["query_string"]:
            return None
        try:
            return await self.authenticate(credential_of(call))
        except Unauthenticated:
            return None

    async def authenticate(self, credential: str) -> Principal:
        """Whose credential it is: an API key, or an access token."""
        digest = hashlib.sha256(credential.encode("utf-8", "surrogatepass")).digest()
        now = self._clock()
        cached = self._cache.get(digest)
        if cached is not None and now < cached[0]:
            return cached[1]
        principal, until = await self._verify(credential, digest, now)
        self._cache[digest] = (until, principal)
        self._cache.move_to_end(digest)
        if len(self._cache) > MAX_CACHED:
            self._cache.popitem(last=False)
        return principal

    async def _verify(self, credential: str, digest: bytes, now: float) -> tuple[Principal, float]:
        until = now + self._cache_seconds
        if self._admin_digest is not None and hmac.compare_digest(digest, self._admin_digest):
            return Principal(ADMIN_ID, "admin", Role.ADMIN), until
        if is_token(credential):
            if self._outside is not None and self._outside.signs(credential):
                return _outside_principal(await self._outside.read(credential), until)
            claims = self.tokens.read(credential)
            role = ROLES.get(str(claims["role"]))
            if role is None:
                raise Unauthenticated("令牌无效")
            principal = await self._behind(claims, role)
            return principal, min(until, float(claims["exp"]))
        parts = credential.split("_", 2)
        key = None
        if len(parts) == 3 and parts[0] == KEY_PREFIX and len(parts[1]) == 16 and parts[1].isalnum():
            key = await self.keys.find(parts[1])
        if key is None or not hmac.compare_digest(digest, bytes.fromhex(key.digest)):
            raise Unauthenticated("API密钥无效")
        return Principal(key.id, key.name, key.role, key.limit), until

    async def _behind(self, claims: Mapping[str, Any], role: Role) -> Principal:
        """For whom a token of ours speaks: it ends with the key that it was made with, and never may more than it."""
        subject = str(claims["sub"])
        if subject == ADMIN_ID:
            if self._admin_digest is None:
                raise Unauthenticated("令牌无效或已过期")
            return Principal(subject, str(claims.get("name", "")), role)
        key = await self.keys.find(subject)
        if key is None:
            raise Unauthenticated("令牌无效或已过期")
        return Principal(key.id, key.name, min(role, key.role), key.limit)

    def forget(self, key_id: str) -> None:
        """Believe nothing any more that was found for the key; other processes forget within the cache's time."""
        for digest in [digest for digest, (_, principal) in self._cache.items() if principal.id == key_id]:
            del self._cache[digest]


def _outside_principal(bearer: OutsideBearer, until: float) -> tuple[Principal, float]:
    role = max((ROLES[name] for name in bearer.roles if name in ROLES), default=None)
    if role is None:
        raise Unauthenticated("令牌中没有已知的角色", field="role", rule="enum")
    return Principal(bearer.id, bearer.name, role), min(until, bearer.expires)


def is_token(credential: str) -> bool:
    """Whether it has the form of an access token; keys have no dots."""
    return credential.count(".") == 2


def credential_of(call: Call) -> str:
    """The key or token that came along. Raises `Unauthenticated`."""
    header = call.headers.get(b"authorization")
    if header is not None:
        scheme, _, credential = header.decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated("Authorization必须是Bearer")
    elif b"api_key=" in call.scope["query_string"]:
        credential = call.query.get("api_key", "")
    else:
        credential = ""
    credential = credential.strip()
    if not credential:
        raise Unauthenticated("缺少API密钥或令牌")
    if len(credential) > MAX_CREDENTIAL_CHARACTERS:
        raise Unauthenticated("API密钥无效")
    return credential
