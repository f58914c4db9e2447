"""Builds the executors that the settings name. The only place that knows them all."""

from collections.abc import Mapping

from scraper.executor import Executor
from scraper.executors.noop import NoopExecutor
from scraper.settings import ScraperSettings


def build_executors(settings: ScraperSettings) -> dict[str, Executor]:
    """The executors by name."""
    return {"noop": NoopExecutor()}


def slot_limits(settings: ScraperSettings) -> tuple[dict[str, int], Mapping[str, str]]:
    """(slots of each group, group of each executor)."""
    groups = {"rpa": "browser", "scrape": "pages", "shell": "process", "python": "process"}
    limits = {
        "browser": settings.browser_slots,
        "pages": settings.process_slots,
        "process": settings.process_slots,
        "light": settings.worker_slots,
    }
    return limits, {name: groups.get(name, "light") for name in settings.executors}
