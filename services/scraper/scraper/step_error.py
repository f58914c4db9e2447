"""How a step fails. Owns: the failures that the step engine weighs by a step's `onError`. Must not know a browser."""


class StepError(Exception):
    """A step could not be done. `code` becomes the run's; a `fatal` one is not retried and can't be continued over."""

    def __init__(self, message: str, *, code: str = "STEP_FAILED", fatal: bool = False) -> None:
        super().__init__(message)
        self.message, self.code, self.fatal = message, code, fatal
        # Set once the failure has its place, log line and picture, so that the steps around it don't repeat them.
        self.reported = False


class TargetMissingError(StepError):
    """No way to the target led to one visible element."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="TARGET_NOT_FOUND")
