"""What all steps have in common. Owns: their shared fields, defaults and limits. Must not know types of steps."""

from typing import Annotated, Literal

from pydantic import Field

from scraper.step_targets import ExpectedPage, Targeted

DEFAULT_TIMEOUT_MS = 30_000
MAX_TIMEOUT_MS = 30 * 60 * 1000


class BaseStep(Targeted):
    """What every step may have."""

    timeout_ms: Annotated[int, Field(ge=1, le=MAX_TIMEOUT_MS)] = DEFAULT_TIMEOUT_MS
    on_error: Literal["fail", "continue", "retry"] = "fail"
    retries: Annotated[int, Field(ge=0, le=10)] = 0
    # The step is left out when its target isn't there in time.
    optional: bool = False
    # Keep a picture after the step.
    screenshot: bool = False
    # Rest before the step: recorded pauses are replayed with it.
    pause_ms: Annotated[int, Field(ge=0, le=120_000)] = 0
    # Pages that the step leads to. Each is waited for, up to `timeoutMs` after the step itself; one that doesn't come
    # fails the step, which is not done again.
    expect_navigation: Annotated[tuple[ExpectedPage, ...], Field(max_length=10)] = ()
    # Where an imported step came from, as in `sortedData[3]`.
    source: Annotated[str, Field(max_length=200)] | None = None
