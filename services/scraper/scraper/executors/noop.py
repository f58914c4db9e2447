"""The `noop` executor: ends at once, so that everything around a run can be measured. Must not do anything."""

from scraper.executor import Json, RunContext


class NoopExecutor:
    """Completes with the result null."""

    name = "noop"

    async def run(self, context: RunContext) -> Json:  # noqa: ARG002  # the port's signature
        """Nothing."""
        return None

    async def close(self) -> None:
        """Nothing is shared between runs."""
