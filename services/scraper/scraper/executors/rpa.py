"""The `rpa` executor: browser steps, canonical or recorded. Owns: its parameters, and the page read without steps.

Parameters: `steps` or `sortedData`; `row` (object or list), `BASE_URL`, `browser` (options), `pacing`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from scraper.browser import BrowserPool
from scraper.browser_options import BrowserOptions, parse_browser_options
from scraper.executor import InvalidParameters, Json, RunContext
from scraper.page_reading import SUMMARY_SECONDS, summarize_page
from scraper.recorded_steps import Recording, import_recording, parse_pacing, rows_of
from scraper.step_engine import StepEngine
from scraper.step_templates import Scope, Secrets
from scraper.steps import Step, parse_steps


@dataclass(frozen=True, slots=True)
class RpaParameters:
    """Checked parameters of a run."""

    steps: tuple[Step, ...]
    # How messages name the list that the steps came in.
    root: str
    rows: tuple[Mapping[str, Json], ...]
    base_url: str | None
    browser: BrowserOptions

    @property
    def first(self) -> tuple[Step, ...]:
        """BASE_URL is opened first, unless the steps navigate by themselves."""
        if self.base_url is None or (self.steps and self.steps[0].type == "navigate"):
            return ()
        return parse_steps([{"type": "navigate", "url": self.base_url}], "BASE_URL")


def parse_rpa(parameters: Mapping[str, Json], task_name: str = "") -> RpaParameters:
    """The checked parameters; raises `InvalidParameters` naming the field."""
    if parameters.get("adsPowerId"):
        raise InvalidParameters("AdsPower profiles are not available on this worker", field="adsPowerId")
    rows = rows_of(parameters.get("row"))
    steps, recorded = parameters.get("steps"), parameters.get("sortedData")
    if steps and recorded:
        raise InvalidParameters("give steps or sortedData, not both", field="steps")
    base_url = _base_url(parameters.get("BASE_URL"))
    checked: Sequence[Step] = ()
    if recorded:
        name = task_name or str(parameters.get("task_name") or parameters.get("taskName") or "")
        recording = Recording(rows=rows, task_name=name, pacing=parse_pacing(parameters.get("pacing")))
        checked = import_recording(recorded, recording)
    elif steps is not None:
        checked = parse_steps(steps)
    if not checked and base_url is None:
        raise InvalidParameters("give steps, sortedData or BASE_URL", field="steps")
    browser = parse_browser_options(parameters.get("browser"))
    return RpaParameters(tuple(checked), "steps", rows, base_url, browser)


def _base_url(value: Json) -> str | None:
    if value is None or value == "":
        return None
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
    except ValueError:
        parts = None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidParameters("must be an http or https URL", field="BASE_URL")
    return str(value)


class RpaExecutor:
    """Runs steps in a context of its own for each attempt."""

    name = "rpa"

    def __init__(self, pool: BrowserPool, secrets: Secrets) -> None:
        self._pool, self._secrets = pool, secrets

    async def run(self, context: RunContext) -> Json:
        """Do the steps; the result holds what they extracted. Without steps: title, url, status, text and links."""
        job = context.job
        wanted = parse_rpa(job.parameters, job.task_name)
        async with self._pool.lease(wanted.browser, context.guard) as lease:
            scope = Scope(self._secrets, row=wanted.rows[0] if wanted.rows else {})
            engine = StepEngine(lease, context, scope, rows=wanted.rows, base_url=wanted.base_url)
            result = await engine.run(wanted.steps, wanted.root, first=wanted.first)
            if wanted.steps:
                return result
            summary = await engine.reading(summarize_page, SUMMARY_SECONDS)
            return {**scope.redactor.json(summary), "status": engine.status}

    async def close(self) -> None:
        """Nothing of its own: the pool is closed by who made it."""
