"""Builds the executors that the settings name. The only place that knows them all."""

import asyncio
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from chassis.logs import get_logger
from chassis.store_clock import StoreClock
from chassis.stores import Database, redis_client

from scraper.account_parts import AccountParts
from scraper.addresses import AddressGuard
from scraper.adspower import AdsPowerRules
from scraper.adspower_browser import AdsPower
from scraper.browser import BrowserPool, PoolSettings
from scraper.browser_process import machine_memory_bytes, reap_browsers
from scraper.browser_profiles import Profiles
from scraper.command_limits import MEGABYTE, ProcessLimits
from scraper.custom_actions import RegisteredActions
from scraper.definition_checks import definition_checks
from scraper.executor import Executor
from scraper.executors.http import HttpExecutor
from scraper.executors.noop import NoopExecutor
from scraper.executors.python import PythonExecutor
from scraper.executors.rpa import RpaExecutor
from scraper.executors.rpa_base import RpaBaseExecutor
from scraper.executors.scrape import Known, ScrapeExecutor
from scraper.executors.shell import ShellExecutor
from scraper.executors.x import XExecutor
from scraper.fetch import Fetcher
from scraper.mongo_known import MongoKnownItems, MongoKnownPages
from scraper.mongo_sessions import MongoSessions
from scraper.page_readers import PageReaders
from scraper.pipeline import Pipeline
from scraper.process_group import reap_leftovers
from scraper.processes import CommandRunner
from scraper.redis_paces import RedisPaces
from scraper.redis_profiles import RedisProfiles
from scraper.renderer import BrowserRenderer
from scraper.sealing import Sealer
from scraper.settings import ScraperSettings
from scraper.step_templates import environment_secrets
from scraper.ways_out import WaysOut
from scraper.x_run import XParts, XSettings
from scraper.x_tasks import TASK_TYPES as X_TASK_TYPES

log = get_logger("composition")
# Executors that share slots: a browser, or a process of their own, costs more than a request.
GROUPS = {
    "rpa": "browser", "scrape": "pages", "shell": "process", "python": "process", "pipeline_dedup": "process",
    "pipeline_ocr": "process", "pipeline_index": "process", "pipeline_keyword_expand": "process",
    **dict.fromkeys(X_TASK_TYPES, "browser"),
}  # fmt: skip


class Executors:
    """The executors by name, and what they share."""

    def __init__(
        self, settings: ScraperSettings, worker_id: str, database: Database, pipeline: Pipeline,
        accounts: AccountParts,
    ) -> None:  # fmt: skip
        work_dir = Path(settings.work_dir)
        self._fetcher = Fetcher(AddressGuard(settings.allowed_addresses, settings.allowed_ports))
        self._runner = CommandRunner(
            worker_id=worker_id, work_dir=work_dir, limits=_limits(settings), grace_seconds=settings.grace_seconds,
            hidden=settings.hidden_from_commands,
        )  # fmt: skip
        self._browsers = BrowserPool(
            PoolSettings(
                work_dir=work_dir,
                marker=self._runner.marker,
                slots=settings.browser_slots,
                executable=settings.chromium_path or None,
                sandbox=settings.browser_sandbox,
                memory_bytes=settings.browser_memory_mb * 2**20 or machine_memory_bytes() // 2,
            ),
            self._fetcher.guard,
        )
        self._readers = PageReaders(settings.reading_processes or os.cpu_count() or 1, settings.reading_seconds)
        self._work_dir = work_dir
        secrets, custom = environment_secrets(), RegisteredActions()
        self.sealer = Sealer(accounts.box)
        self.sessions = MongoSessions(database, self.sealer)
        self._redis = redis_client(settings)
        self.clock = StoreClock(self._redis)
        self.leases = RedisProfiles(self._redis)
        known_items, known_pages = MongoKnownItems(database), MongoKnownPages(database)
        # What must be prepared before the first run.
        self.stores = (self.sessions, known_items, known_pages)
        profiles = Profiles(self.sessions, self.leases)
        adspower = AdsPower(
            AdsPowerRules(
                hosts=settings.adspower_hosts,
                api_key=settings.adspower_api_key.get_secret_value(),
                requests_per_second=settings.adspower_requests_per_second,
            )
        )
        self._adspower = adspower
        self._pipeline = pipeline
        x = self._x_parts(settings, accounts)
        ways_out = WaysOut(accounts.pool.proxy_url, self._fetcher.guard)
        renderer = BrowserRenderer(self._browsers, secrets, ways_out)
        builders: Mapping[str, Callable[[], Executor]] = {
            "noop": NoopExecutor,
            "http": lambda: HttpExecutor(fetcher=self._fetcher),
            "shell": lambda: ShellExecutor(runner=self._runner),
            "rpa": lambda: RpaExecutor(
                self._browsers,
                secrets,
                profiles=profiles,
                adspower=adspower,
                sealer=self.sealer,
                custom=custom,
                ways_out=ways_out,
            ),
            "rpa_base": lambda: RpaBaseExecutor(self._fetcher, secrets, self._readers, custom),
            "scrape": lambda: ScrapeExecutor(
                fetcher=self._fetcher,
                renderer=renderer,
                proxy_of=ways_out.address_of,
                known=Known(known_items, known_pages),
                shared_paces=RedisPaces(self._redis, worker_id),
                readers=self._readers,
            ),
            "python": lambda: PythonExecutor(runner=self._runner, scripts_dir=settings.scripts_dir),
            **pipeline.builders(self._fetcher, self._runner),
            **{name: partial(XExecutor, name, x) for name in X_TASK_TYPES},
        }
        unknown = sorted(set(settings.executors) - builders.keys())
        if unknown:
            raise ValueError(f"EXECUTORS names {', '.join(unknown)}; there are {', '.join(sorted(builders))}")
        checks = definition_checks(self._readers, settings.scripts_dir)
        self.checks = {name: checks[name] for name in settings.executors if name in checks}
        self.by_name = {name: builders[name]() for name in settings.executors}

    def _x_parts(self, settings: ScraperSettings, accounts: AccountParts) -> XParts:
        waits = XSettings(
            settings.x_base_url,
            answer_seconds=settings.x_answer_seconds,
            breaker_seconds=settings.x_breaker_seconds,
        )
        return XParts(waits, self._browsers, accounts.pool, accounts.stores.breakers, self._fetcher.guard)

    async def reap(self) -> None:
        """End what an earlier life of this worker left behind, before the first run."""
        killed = await asyncio.to_thread(reap_leftovers, self._runner.marker)
        await asyncio.to_thread(self._runner.clear_folders)
        await self._pipeline.clear()
        killed += await asyncio.to_thread(reap_browsers, self._work_dir, self._runner.marker)
        if killed:
            log.warning("killed what an earlier life left behind", processes=killed)

    async def close(self) -> None:
        """Give back what is shared."""
        for executor in self.by_name.values():
            await executor.close()
        self._readers.close()
        await self._browsers.close()
        await self._adspower.close()
        await self._redis.aclose()
        await self._fetcher.close()
        await self._pipeline.close()


def _limits(settings: ScraperSettings) -> ProcessLimits:
    return ProcessLimits(
        open_files=settings.command_open_files,
        file_bytes=settings.command_file_mb * MEGABYTE,
        address_space_bytes=settings.command_address_space_mb * MEGABYTE,
        processes=settings.command_processes,
    )


def slot_limits(settings: ScraperSettings) -> tuple[dict[str, int], Mapping[str, str]]:
    """(slots of each group, group of each executor)."""
    limits = {
        "browser": settings.browser_slots,
        "pages": settings.process_slots,
        "process": settings.process_slots,
        "light": settings.worker_slots,
    }
    return limits, {name: GROUPS.get(name, "light") for name in settings.executors}
