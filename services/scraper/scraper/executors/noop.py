"""An executor that does nothing, for measuring what a run costs."""

from scraper.executor import Json, RunContext


class NoopExecutor:
    """Ends at once with null."""

    name = "noop"

    async def run(self, context: RunContext) -> Json:
        """Nothing."""

    async def close(self) -> None:
        """Nothing."""
