"""The `rpa_base` executor: the steps that make sense over HTTP, without a browser. Parameters as those of `rpa`."""

from scraper.custom_actions import CustomActions, NoCustomActions
from scraper.executor import ExecutorError, InvalidParameters, Json, RunContext
from scraper.fetch import Fetcher
from scraper.http_check import check_without_browser
from scraper.http_surface import HttpSurface
from scraper.page_readers import PageReaders
from scraper.rpa_parameters import parse_rpa
from scraper.step_engine import StepEngine
from scraper.step_error import StepError
from scraper.step_results import StepResults
from scraper.step_templates import Scope, Secrets
from scraper.step_trace import FILE_NAME, Trace


class RpaBaseExecutor:
    """Runs steps over one HTTP session for each attempt."""

    name = "rpa_base"

    def __init__(
        self, fetcher: Fetcher, secrets: Secrets, readers: PageReaders, custom: CustomActions | None = None
    ) -> None:
        self._fetcher, self._secrets, self._readers = fetcher, secrets, readers
        self._custom = custom or NoCustomActions()

    async def run(self, context: RunContext) -> Json:
        """Do the steps; without steps the result is the page's status, title, text and links."""
        job = context.job
        wanted = parse_rpa(job.parameters, job.task_name)
        if wanted.adspower is not None:
            raise InvalidParameters("there is no browser here: use /scrape", field="adsPowerId")
        check_without_browser(wanted.steps, wanted.root)
        scope = Scope(self._secrets, row=wanted.rows[0] if wanted.rows else {})
        scope.hide_row_secrets(wanted.rows)
        results, trace = StepResults(context, scope.redactor), Trace(job.run_id, job.attempt, scope.redactor)
        async with self._fetcher.session(user_agent=wanted.browser.user_agent) as session:
            surface = HttpSurface(
                session,
                context,
                scope,
                results=results,
                trace=trace,
                custom=self._custom,
                base_url=wanted.base_url,
                strict=bool(wanted.steps),
                readers=self._readers,
            )
            engine = StepEngine(surface, context, scope, results, trace, rows=wanted.rows, pictures="never")
            try:
                result = await engine.run(wanted.steps, wanted.root, first=wanted.first)
                if wanted.steps:
                    return result
                return {"status": surface.status, **scope.redactor.json(await surface.summary())}
            except StepError as failure:
                raise ExecutorError(failure.message, code=failure.code) from failure
            finally:
                await context.save_blob(FILE_NAME, trace.dump(), "application/json", replace=True)

    async def close(self) -> None:
        """Nothing of its own: the fetcher is closed by who made it."""
