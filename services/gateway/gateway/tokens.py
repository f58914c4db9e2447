"""Short-lived access tokens (JWT, HS256). Owns: their claims and the signing key. Must not know where keys are kept."""

import contextlib
import hashlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
from chassis.errors import Unauthenticated

ISSUER = "trawl"
AUDIENCE = "trawl-api"
ALGORITHM = "HS256"
SECRET_BYTES = 32


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


def signing_secret(jwt_secret: str | None, file: Path | None) -> bytes:
    """The secret to sign with: the one that is set, else the file's (made when it isn't there), else random for this
    process. Never one that a key can be guessed from.
    """
    if jwt_secret:
        return hashlib.sha256(jwt_secret.encode()).digest()
    if file is not None:
        return hashlib.sha256(_kept(file)).digest()
    return os.urandom(SECRET_BYTES)


def _kept(file: Path) -> bytes:
    """What the file holds. It appears whole or not at all, and who makes it second takes the first one's."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        draft = file.with_name(f"{file.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as made:
            made.write(secrets.token_hex(SECRET_BYTES))
        with contextlib.suppress(FileExistsError):
            os.link(draft, file)
        draft.unlink()
        return file.read_bytes()
