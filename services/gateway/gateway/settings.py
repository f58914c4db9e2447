"""The gateway's settings. Owns: names, defaults and limits of what can be set. Must not know how any of it is used."""

import ipaddress
from pathlib import Path
from typing import Annotated, Literal, Self

from chassis.calling_settings import CallingSettings
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

MEGABYTE = 1024 * 1024
MIN_SECRET_CHARACTERS = 16
# Repetitions of them are none either.
PLACEHOLDERS = (
    "replace-me", "replaceme", "changeme", "change-me", "development", "admin", "secret", "password", "test",
    "your-api-key", "your-secret", "example",
)  # fmt: skip
MINUTE, HOUR = 60.0, 3_600.0
# Between one attempt and the next, as the Standard Webhooks convention suggests: ten attempts in 76 hours.
RETRY_SECONDS = (5.0, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR)


class GatewaySettings(CallingSettings):
    """Read from the environment. A port of 0 switches its contract's listener off."""

    gateway_host: str = "127.0.0.1"
    port_scheduler: int = Field(default=8080, ge=0, le=65_535)
    port_smartrpa: int = Field(default=8082, ge=0, le=65_535)
    port_management: int = Field(default=8083, ge=0, le=65_535)
    port_xget: int = Field(default=8003, ge=0, le=65_535)
    port_pipeline: int = Field(default=8000, ge=0, le=65_535)

    scheduler_target: str = "127.0.0.1:50051"
    scraper_target: str = "127.0.0.1:50052"
    registry_target: str = "127.0.0.1:50053"

    # native: only port 8080 asks for a key; all: every port does. Unset: native on loopback, all elsewhere.
    auth_required: Literal["native", "all"] | None = None
    # The key that always works, as an administrator, and needs no database.
    trawl_api_key: SecretStr | None = None
    # Signs access tokens: the same for all replicas. Unset: the file's content, which is made on first use; without
    # both a random one of this process, on loopback only.
    jwt_secret: SecretStr | None = None
    jwt_secret_file: Path | None = None
    jwt_ttl_seconds: int = Field(default=900, ge=10, le=86_400)
    # How long a key that was checked against the database is believed: a deleted key works on for that long.
    key_cache_seconds: float = Field(default=5, ge=0, le=300)

    # Tokens of an outside issuer (RS256): its public keys, and what its tokens must say. All but the role claim go
    # together. A dotted role claim leads into objects; a list counts with its highest known role.
    jwks_url: str = Field(default="", pattern=r"^(https?://\S+)?$")
    jwks_file: Path | None = None
    jwks_cache_seconds: float = Field(default=600, ge=1, le=86_400)
    jwt_issuer: str = ""
    jwt_audience: str = ""
    jwt_role_claim: str = "role"

    # What one key may ask for; 0: no limit. A key's own limit goes before it.
    rate_limit_per_minute: int = Field(default=60_000, ge=0, le=100_000_000)
    rate_limit_burst: int = Field(default=10_000, ge=1, le=10_000_000)
    # Whether the limit also holds for TRAWL_API_KEY.
    rate_limit_admin: bool = False

    webhook_retry_seconds: Annotated[tuple[float, ...], NoDecode] = RETRY_SECONDS
    webhook_timeout_seconds: float = Field(default=20, gt=0, le=60)
    # A delivery is kept for this long, and at most so many ended ones of each webhook.
    webhook_kept_days: float = Field(default=7, gt=0, le=90)
    webhook_kept_deliveries: int = Field(default=10_000, ge=10, le=1_000_000)
    # A webhook with more than this still to be sent is disabled.
    webhook_max_pending: int = Field(default=100_000, ge=10, le=10_000_000)
    # How often `system.health_check` is sent, and `worker.heartbeat` at most for each worker.
    health_event_seconds: float = Field(default=60, ge=0.1, le=86_400)
    heartbeat_event_seconds: float = Field(default=60, ge=0.1, le=86_400)

    # Event streams that one key may hold open, administrators' excepted.
    max_streams_per_key: int = Field(default=20, ge=1, le=480)
    # Names, besides the loopback ones, that ports without authentication answer to (comma list).
    allowed_hosts: str = ""
    # Connections that one address may hold open, on all ports together; 0: any number (behind a proxy of one's own).
    max_connections_per_address: int = Field(default=1_000, ge=0, le=1_000_000)
    max_body_bytes: int = Field(default=50 * MEGABYTE, ge=1024, le=60 * MEGABYTE)
    # Of all requests under way; one more gets 429.
    max_bodies_bytes: int = Field(default=256 * MEGABYTE, ge=64 * 1024, le=64 * 1024 * MEGABYTE)
    # Longest time that one `scrape_dengdai` is waited for.
    wait_seconds: float = Field(default=1_800, gt=0, le=7_200)

    @field_validator("webhook_retry_seconds", mode="before")
    @classmethod
    def _delays(cls, value: object) -> object:
        return tuple(part for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("webhook_retry_seconds")
    @classmethod
    def _sane_delays(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if len(value) > 20 or not all(0 < seconds <= 7 * 24 * HOUR for seconds in value):
            raise ValueError("at most 20 delays, each above 0 and up to a week, in seconds")
        return value

    @model_validator(mode="after")
    def _outside_tokens_are_complete(self) -> Self:
        has_keys = bool(self.jwks_url) or self.jwks_file is not None
        if has_keys and not (self.jwt_issuer and self.jwt_audience):
            raise ValueError(
                "JWKS_URL and JWKS_FILE need JWT_ISSUER and JWT_AUDIENCE: tokens made for others must not work"
            )
        if self.jwks_url and self.jwks_file is not None:
            raise ValueError("set JWKS_URL or JWKS_FILE, not both")
        return self

    @model_validator(mode="after")
    def _secrets_are_secret(self) -> Self:
        if is_loopback(self.gateway_host) and self.auth_required != "all":
            return self
        for name in ("trawl_api_key", "jwt_secret"):
            secret: SecretStr | None = getattr(self, name)
            if secret is not None and is_placeholder(secret.get_secret_value()):
                raise ValueError(
                    f"{name.upper()} is a placeholder or has fewer than {MIN_SECRET_CHARACTERS} characters: "
                    "set a secret of your own, since this port is not for this machine alone"
                )
        if self.jwt_secret is None and self.jwt_secret_file is None and not is_loopback(self.gateway_host):
            raise ValueError("set JWT_SECRET or JWT_SECRET_FILE: access tokens need a secret that replicas share")
        return self

    @property
    def has_weak_key(self) -> bool:
        """Whether somebody could guess the administrator's key."""
        return self.trawl_api_key is not None and is_placeholder(self.trawl_api_key.get_secret_value())

    @property
    def open_ports_ask_for_key(self) -> bool:
        """Whether the contracts that document no authentication ask for the key all the same."""
        if self.auth_required is None:
            return not is_loopback(self.gateway_host)
        return self.auth_required == "all"

    @property
    def host_names(self) -> frozenset[str]:
        """What may stand in `Host` on a port without authentication."""
        listed = (name.strip().lower() for name in self.allowed_hosts.split(","))
        return frozenset({"localhost", "127.0.0.1", "::1", self.gateway_host.lower(), *filter(None, listed)})


def is_placeholder(secret: str) -> bool:
    """Whether it is one of the words that stand in examples, or short enough to be tried out."""
    word = secret.strip().lower()
    return len(word) < MIN_SECRET_CHARACTERS or any(word == one * (len(word) // len(one)) for one in PLACEHOLDERS)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
