"""Settings that every service reads from its environment. A service's own settings extend `ServiceSettings`."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """Environment variables, in upper case; an unset one has the default that suits one machine."""

    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True)

    nats_url: str = "nats://127.0.0.1:4222"
    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    mongodb_uri: SecretStr = SecretStr("mongodb://127.0.0.1:27017/?directConnection=true")
    # Each service has a database of its own: <prefix>_<service>.
    mongodb_prefix: str = Field(default="trawl", pattern=r"^[a-z_]{1,20}$")
    stream_replicas: int = Field(default=1, ge=1, le=5)

    grpc_host: str = "127.0.0.1"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    # JSON lines also go to <log_dir>/<service>.log when set.
    log_dir: Path | None = None

    # "file" appends JSON lines to <trace_dir>/<service>.jsonl, "otlp" is OTEL_TRACES_EXPORTER=otlp. Unset: as the
    # OTEL_… variables say, which are OpenTelemetry's own to read.
    trace_exporter: Literal["none", "otlp", "file"] | None = None
    trace_dir: Path = Path("traces")

    # Files that runs keep (screenshots, downloads, traces).
    blob_dir: Path = Path("blobs")
