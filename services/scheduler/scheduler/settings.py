"""Settings of the scheduler, beside those that every service has."""

from chassis.settings import ServiceSettings
from pydantic import Field


class SchedulerSettings(ServiceSettings):
    """Environment variables of the scheduler."""

    grpc_port: int = 50051
    # Whom to ask which queues have workers.
    registry_target: str = "127.0.0.1:50053"
    # A run whose worker has said nothing for this long goes back to the queue.
    lease_seconds: float = Field(15, gt=0)
    # How long after an attempt's timeout the scheduler itself ends it, should its worker hang.
    deadline_grace_seconds: float = Field(20, gt=0)
    # Parameters larger than this go by reference (bytes); a NATS message carries at most 8 MB.
    inline_parameters_bytes: int = Field(512 * 1024, gt=0)
    # More waiting runs than this are refused with 429: each takes about 1.5 KB of Redis.
    max_pending_runs: int = Field(default=250_000, gt=0)
