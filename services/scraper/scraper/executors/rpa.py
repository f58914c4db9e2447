"""The `rpa` executor: browser steps and logins. Owns: where a run's browser and profile come from.

A run has a fresh context of the pool's Chromium, started with what its browser id has kept; or the AdsPower profile of
that id on the host that `adsPowerId` names.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from chassis.logs import get_logger

from scraper.addresses import AddressGuard
from scraper.adspower import AdsPowerRules
from scraper.adspower_browser import AdsPower
from scraper.browser import BrowserPool
from scraper.browser_lease import HeldBrowser
from scraper.browser_profiles import DEFAULT_ID, Profile, Profiles
from scraper.browser_steps import BrowserSteps
from scraper.custom_actions import CustomActions
from scraper.dialogs import Dialogs
from scraper.executor import ExecutorError, InvalidParameters, Json, RunContext
from scraper.login import SEALED_FOR, SEALED_SECONDS, LoginOrder, log_in, open_login
from scraper.page_reading import SUMMARY_SECONDS, summarize_page
from scraper.rpa_parameters import RpaParameters, parse_rpa
from scraper.sealing import Sealer
from scraper.step_templates import Scope, Secrets
from scraper.ways_out import WaysOut

log = get_logger("rpa")
STATE_SECONDS = 10.0
TRACE_SECONDS = 5.0


class RpaExecutor:
    """Runs steps in a context of its own for each attempt."""

    name = "rpa"

    def __init__(
        self, pool: BrowserPool, secrets: Secrets, *, profiles: Profiles | None = None,
        adspower: AdsPower | None = None, sealer: Sealer | None = None, custom: CustomActions | None = None,
        ways_out: WaysOut | None = None,
    ) -> None:  # fmt: skip
        self._pool, self._secrets, self._sealer, self._custom = pool, secrets, sealer, custom
        self._profiles = profiles or Profiles()
        self._adspower = adspower or AdsPower(AdsPowerRules())
        self._ways_out = ways_out or WaysOut(None, AddressGuard())

    async def run(self, context: RunContext) -> Json:
        """Do the steps; the result holds what they extracted. Without steps: title, url, status, text and links."""
        login = context.job.parameters.get("login")
        if login is not None:
            return await self._log_in(context, login)
        wanted = parse_rpa(context.job.parameters, context.job.task_name)
        async with self._browser(context, wanted) as (held, profile):
            return await profile.unless_lost(self._do(context, wanted, held, profile))

    async def close(self) -> None:
        """Nothing of its own: pool and stores are closed by who made them."""

    @asynccontextmanager
    async def _browser(self, context: RunContext, wanted: RpaParameters) -> AsyncIterator[tuple[HeldBrowser, Profile]]:
        if wanted.adspower is not None:
            place = self._adspower.place(wanted.adspower, wanted.browser_id)
            async with (
                self._profiles.hold(f"adspower:{place}", context) as lost,
                self._adspower.open(place, context) as held,
            ):
                yield held, Profile(wanted.browser_id, [], renewed=False, lost=lost, _sessions=None)
            return
        async with (
            self._profiles.use(wanted.browser_id, context) as profile,
            self._ways_out.through(wanted.browser.proxy_id) as way_out,
            self._pool.lease(wanted.browser, context.guard, profile.state, way_out=way_out, log=context.log) as lease,
        ):
            yield lease, profile

    async def _do(self, context: RunContext, wanted: RpaParameters, held: HeldBrowser, profile: Profile) -> Json:
        scope = Scope(self._secrets, row=wanted.rows[0] if wanted.rows else {})
        scope.hide_row_secrets(wanted.rows)
        steps = BrowserSteps(
            held, context, scope, rows=wanted.rows, base_url=wanted.base_url, custom=self._custom,
            pictures=wanted.pictures, recording=wanted.recording,
        )  # fmt: skip
        Dialogs(wanted.browser.dialogs, scope, context.log).listen(held.context)
        steps.trace.facts = {"format": wanted.format, "browserId": wanted.browser_id or None}
        async with self._kept(context, steps, held, profile), steps.recorded():
            result = await steps.run(wanted.steps, wanted.root, first=wanted.first)
            if wanted.steps:
                return result
            summary = await steps.reading(summarize_page, SUMMARY_SECONDS)
            return {**scope.redactor.json(summary), "status": steps.status}

    async def _log_in(self, context: RunContext, login: Json) -> Json:
        order = self._order(login)
        parameters = {
            **{name: value for name, value in context.job.parameters.items() if name in ("browserId", "浏览器id")},
            "BASE_URL": order.url, "row": list(order.rows), "sortedData": order.steps, "browser": order.browser,
        }  # fmt: skip
        wanted = parse_rpa(parameters, context.job.task_name)
        browser_id = wanted.browser_id or DEFAULT_ID
        async with (
            self._profiles.use(browser_id, context) as profile,
            self._ways_out.through(wanted.browser.proxy_id) as way_out,
            self._pool.lease(wanted.browser, context.guard, profile.state, way_out=way_out, log=context.log) as held,
        ):
            return await profile.unless_lost(self._do_login(context, order, wanted, held, profile))

    async def _do_login(
        self, context: RunContext, order: LoginOrder, wanted: RpaParameters, held: HeldBrowser, profile: Profile
    ) -> Json:
        scope = Scope(order.secrets(self._secrets), row=order.rows[0])
        for value in (order.password,):
            scope.redactor.hide(value)
        scope.hide_row_secrets(order.rows)
        steps = BrowserSteps(held, context, scope, rows=order.rows, base_url=order.url, custom=self._custom)
        Dialogs(wanted.browser.dialogs, scope, context.log).listen(held.context)
        async with self._kept(context, steps, held, profile, only_good=True):
            await log_in(steps, order, wanted.steps)
        return {"loggedIn": True, "browserId": profile.browser_id}

    def _order(self, login: Json) -> LoginOrder:
        if self._sealer is None:
            raise InvalidParameters("logins are not available on this worker", field="login")
        sealed = login.get("sealed") if isinstance(login, Mapping) else None
        if not isinstance(login, Mapping) or not isinstance(sealed, str):
            raise InvalidParameters("must be a sealed login", field="login")
        return open_login(self._sealer.open(SEALED_FOR, sealed, SEALED_SECONDS), login.get("successSelectors") or [])

    @asynccontextmanager
    async def _kept(
        self, context: RunContext, steps: BrowserSteps, held: HeldBrowser, profile: Profile, *, only_good: bool = False
    ) -> AsyncIterator[None]:
        """Keep trace and session behind the steps, unless the browser or the profile is gone."""
        try:
            yield
        except ExecutorError as error:
            if not only_good and error.code != "BROWSER_CRASHED":
                await self._keep_session(context, steps, held, profile)
            raise
        else:
            await self._keep_session(context, steps, held, profile)
        finally:
            # On a cancellation as well: it is a small file of this machine, written within the time that is left.
            await steps.keep_trace()

    async def _keep_session(
        self, context: RunContext, steps: BrowserSteps, held: HeldBrowser, profile: Profile
    ) -> None:
        if not profile.renewed:
            return
        try:
            async with asyncio.timeout(STATE_SECONDS):
                state = await steps.tools.guarded(held.context.storage_state())
        except (ExecutorError, TimeoutError) as error:
            context.log("warn", f"the browser session could not be read: {type(error).__name__}")
            return
        if not await profile.keep(state, list(steps.tools.tabs.origins)):
            context.log("warn", "the browser session could not be kept")
