"""Settings of the scraper, beside those that every service has."""

import socket
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode
from wire.subjects import PIPELINE, PIPELINE_QUEUES

from scraper.pipeline_settings import PipelineSettings
from scraper.x_tasks import TASK_TYPES as X_TASK_TYPES

# One name for all executors of a kind.
GROUPS = {"x": X_TASK_TYPES, PIPELINE: tuple(PIPELINE_QUEUES.values())}


class ScraperSettings(PipelineSettings):
    """Environment variables of the scraper. Lists are comma-separated."""

    grpc_port: int = 50052
    scheduler_target: str = "127.0.0.1:50051"
    registry_target: str = "127.0.0.1:50053"

    worker_id: str = Field("", pattern=r"^[A-Za-z0-9_.-]{0,100}$")
    hostname: str = socket.gethostname()
    # `pipeline` stands for all six of the pipeline's.
    executors: Annotated[tuple[str, ...], NoDecode] = ("http", "scrape", "rpa", "noop", *PIPELINE_QUEUES.values())
    # Runs at the same time, all together and of those that need a browser.
    worker_slots: int = Field(256, ge=1, le=10_000)
    browser_slots: int = Field(4, ge=1, le=100)
    process_slots: int = Field(8, ge=1, le=1_000)
    heartbeat_seconds: float = Field(5, gt=0)
    # Processes in which scraped pages are read (0: one for each core), and the processor time that one page may take.
    reading_processes: int = Field(0, ge=0, le=1_000)
    reading_seconds: float = Field(5, gt=0, le=3_600)
    # How long running runs may go on after the order to stop; what is left then goes back to the queue.
    drain_seconds: float = Field(5, ge=0)

    # What a command that is told to stop has between SIGTERM and SIGKILL.
    grace_seconds: float = Field(10, ge=0, le=300)
    # Limits of a command beyond those of its user; 0: none. They don't measure what is really used: see operations.md.
    command_open_files: int = Field(0, ge=0, le=10_000_000)
    command_file_mb: int = Field(0, ge=0, le=1_000_000_000)
    command_address_space_mb: int = Field(0, ge=0, le=1_000_000_000)
    command_processes: int = Field(0, ge=0, le=10_000_000)

    # Files and folders, with colons between, that commands find empty where this process is root.
    command_hidden_paths: str = ""

    scripts_dir: Path = Path("scripts")
    work_dir: Path = Path("work")
    # The search index: a copy that can be lost at any time, and is then built anew from the store.
    search_dir: Path = Path("search")
    chromium_path: str = ""
    # What all browsers of this worker may take together, in MB; 0: half of the machine's or container's.
    browser_memory_mb: int = Field(0, ge=0, le=10_000_000)
    # Unset: on, unless this process is root. Containers without user namespaces must switch it off.
    browser_sandbox: bool | None = None

    # What encrypts accounts' and proxies' secrets: any text of at least 16 characters (several: the first encrypts, all
    # decrypt), else the file that holds one, made on first use. Without both no secret can be stored.
    secrets_key: SecretStr | None = None
    secrets_key_file: Path | None = None

    # The X web application, how long a page of it may take to be answered, and how long runs wait at an open breaker.
    x_base_url: str = Field("https://x.com", pattern=r"^https?://[^/\s?#@]+/?$")
    x_answer_seconds: float = Field(30, gt=0, le=600)
    x_breaker_seconds: float = Field(60, gt=0, le=86_400)
    # Requests that an account may make in a day (UTC) unless it says otherwise; 0: as many as X allows.
    x_daily_budget: int = Field(0, ge=0, le=10_000_000)
    # A worker that dies keeps its account for so long.
    account_lease_seconds: float = Field(60, ge=3, le=3_600)
    # Hosts (`host` or `host:port`) whose AdsPower API runs may use.
    adspower_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    adspower_api_key: SecretStr = SecretStr("")
    adspower_requests_per_second: float = Field(1, gt=0, le=100)

    @property
    def hidden_from_commands(self) -> tuple[str, ...]:
        """The absolute paths, with the file that holds the key of secrets."""
        named = [*self.command_hidden_paths.split(":"), str(self.secrets_key_file or "")]
        return tuple(str(Path(path).absolute()) for path in named if path)

    @field_validator("executors", mode="after")
    @classmethod
    def _with_companions(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Who does browser steps does those that need no browser as well."""
        return (*value, "rpa_base") if "rpa" in value and "rpa_base" not in value else value

    @field_validator("adspower_hosts", mode="before")
    @classmethod
    def _hosts(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("executors", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        named = [part.strip() for part in value.split(",") if part.strip()]
        return tuple(dict.fromkeys(name for part in named for name in GROUPS.get(part, (part,))))
