"""Short-lived access tokens (JWT, HS256). Owns: their claims and the signing key. Must not know where keys are kept."""

import hashlib
import hmac
import os
from collections.abc import Mapping
from typing import Any

import jwt
from chassis.errors import Unauthenticated

ISSUER = "trawl"
AUDIENCE = "trawl-api"
ALGORITHM = "HS256"


class Tokens:
    """Makes and reads tokens. All replicas that share `secret` read each other's."""

    def __init__(self, secret: bytes, ttl_seconds: int) -> None:
        self._secret, self.ttl_seconds = secret, ttl_seconds

    def issue(self, *, subject: str, name: str, role: str, now: float, limit: tuple[int, int] | None = None) -> str:
        """A token that speaks for `subject` with `role` until `now + ttl_seconds`. `limit`: per minute, and burst."""
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject,
            "name": name,
            "role": role,
            "iat": int(now),
            "exp": int(now) + self.ttl_seconds,
        }
        if limit is not None:
            claims["limit"] = limit
        return jwt.encode(claims, self._secret, algorithm=ALGORITHM)

    def read(self, token: str) -> Mapping[str, Any]:
        """The claims of a token that is genuine and not over. Raises `Unauthenticated`."""
        try:
            claims: Mapping[str, Any] = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                options={"require": ["exp", "sub", "role"]},
            )
        except jwt.PyJWTError as error:
            raise Unauthenticated("令牌无效或已过期") from error
        return claims


def signing_secret(jwt_secret: str | None, admin_key: str | None) -> bytes:
    """The secret to sign with: the one that is set, else derived from the admin key, else random for this process."""
    if jwt_secret:
        return hashlib.sha256(jwt_secret.encode()).digest()
    if admin_key:
        return hmac.digest(admin_key.encode(), b"trawl access tokens, version 1", "sha256")
    return os.urandom(32)
