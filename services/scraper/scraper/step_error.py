"""How a step fails. Owns: the failures that the step engine weighs by a step's `onError`. Must not know a browser."""


class StepError(Exception):
    """A step could not be done. `code` becomes the run's; a `fatal` one is not retried and can't be continued over.

    `done`: what the step does has been done, only what should come of it has not. Such a step isn't tried again.
    """

    def __init__(self, message: str, *, code: str = "STEP_FAILED", fatal: bool = False, done: bool = False) -> None:
        super().__init__(message)
        self.message, self.code, self.fatal, self.done = message, code, fatal, done
        # Set once the failure has its place, log line and picture, so that the steps around it don't repeat them.
        self.reported = False


class TargetMissingError(StepError):
    """No way to the target led to one visible element."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="TARGET_NOT_FOUND")
