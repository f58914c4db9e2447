"""The parameters of browser work. Owns: their names, and which of three formats steps come in. Must not know a browser.

Parameters: `steps` or `sortedData` (canonical, recorded or both in one list, or a Chrome DevTools recording); `row`
(object or list), `BASE_URL`, `browser` (options), `pacing`, `浏览器id` / `browserId`, `adsPowerId`, `screenshots`,
`filmstrip`, `playwrightTrace`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from scraper.browser_options import BrowserOptions, parse_browser_options
from scraper.browser_profiles import browser_id_of
from scraper.devtools_steps import import_devtools, is_devtools
from scraper.executor import InvalidParameters, Json
from scraper.recorded_lists import is_raw_export, looks_recorded
from scraper.recorded_steps import Recording, import_recording, parse_pacing, rows_of
from scraper.run_recording import NOTHING, RecordingWanted, parse_recording
from scraper.step_engine import Pictures
from scraper.step_kinds import Step
from scraper.steps import parse_steps


@dataclass(frozen=True, slots=True)
class RpaParameters:
    """Checked parameters of a run."""

    steps: tuple[Step, ...]
    # How messages name the list that the steps came in.
    root: str
    # canonical | recorded | devtools
    format: str
    rows: tuple[Mapping[str, Json], ...]
    base_url: str | None
    browser: BrowserOptions
    browser_id: str = ""
    # The host of the AdsPower API.
    adspower: str | None = None
    pictures: Pictures = "failure"
    recording: RecordingWanted = NOTHING

    @property
    def first(self) -> tuple[Step, ...]:
        """BASE_URL is opened first, unless the steps navigate by themselves."""
        if self.base_url is None or (self.steps and self.steps[0].type == "navigate"):
            return ()
        return parse_steps([{"type": "navigate", "url": self.base_url}], "BASE_URL")


def parse_rpa(parameters: Mapping[str, Json], task_name: str = "") -> RpaParameters:
    """The checked parameters; raises `InvalidParameters` naming the field."""
    rows = rows_of(parameters.get("row"))
    base_url = _base_url(parameters.get("BASE_URL"))
    name = task_name or str(parameters.get("task_name") or parameters.get("taskName") or "")
    checked, root, kind = parse_any_steps(parameters, rows, name)
    if not checked and base_url is None:
        raise InvalidParameters("give steps, sortedData or BASE_URL", field="steps")
    browser_id = browser_id_of(parameters, rows)
    adspower = _adspower(parameters.get("adsPowerId"))
    if adspower is not None and not browser_id:
        raise InvalidParameters("must name the AdsPower profile", field="浏览器id")
    browser = parse_browser_options(parameters.get("browser"))
    if adspower is not None and browser.proxy_id is not None:
        raise InvalidParameters("an AdsPower profile has its own proxy", field="browser.proxyId")
    pictures = _pictures(parameters.get("screenshots"))
    recording = parse_recording(parameters.get("filmstrip"), parameters.get("playwrightTrace"))
    if adspower is not None and recording.playwright != "never":
        raise InvalidParameters("can't be had of an AdsPower profile", field="playwrightTrace")
    return RpaParameters(checked, root, kind, rows, base_url, browser, browser_id, adspower, pictures, recording)


def parse_any_steps(
    parameters: Mapping[str, Json], rows: Sequence[Mapping[str, Json]], task_name: str
) -> tuple[tuple[Step, ...], str, str]:
    """The steps, the name of the list they came in, and its format. Raises `InvalidParameters`."""
    steps, recorded = parameters.get("steps"), parameters.get("sortedData")
    if steps and recorded:
        raise InvalidParameters("give steps or sortedData, not both", field="steps")
    raw, root = (recorded, "sortedData") if recorded else (steps, "steps")
    if raw is None or raw == []:
        return (), root, "canonical"
    if is_devtools(raw):
        return import_devtools(raw, root), root, "devtools"
    if recorded and (is_raw_export(recorded) or looks_recorded(recorded)):
        recording = Recording(rows=rows, task_name=task_name, pacing=parse_pacing(parameters.get("pacing")))
        return import_recording(recorded, recording), root, "recorded"
    return parse_steps(raw, root), root, "canonical"


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


def _adspower(value: Json) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > 300:
        raise InvalidParameters("must be a host", field="adsPowerId")
    return value


def _pictures(value: Json) -> Pictures:
    match value:
        case None | "failure":
            return "failure"
        case "never" | "every":
            return value  # type: ignore[no-any-return]  # narrowed by the pattern
        case _:
            raise InvalidParameters("must be never, failure or every", field="screenshots")
