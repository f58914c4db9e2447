"""Where a page shows what it must not in a picture. Owns: finding a run's secrets in the page. Must not know why they
are secret.

The secrets never reach the page's own scripts: its fields' values are read and compared here, and texts are looked for
in the world that is Playwright's alone.
"""

from collections.abc import Sequence

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Frame, Locator, Page

# Of these, so many are looked for, in so many fields of a frame.
MAX_SOUGHT = 20
MAX_FIELDS = 2_000
_FIELDS = "input:not([type=password]), textarea, select"
_VALUES = f"all => all.slice(0, {MAX_FIELDS}).map(one => String(one.value || '').slice(0, 10000))"


async def repeats_of(secrets: Sequence[str], page: Page) -> list[Locator]:
    """What of the page shows one of them: texts, and fields."""
    if not secrets:
        return []
    found: list[Locator] = []
    for frame in page.frames:
        found += [frame.get_by_text(secret) for secret in secrets]
        found += await _fields(frame, secrets)
    return found


async def _fields(frame: Frame, secrets: Sequence[str]) -> list[Locator]:
    fields = frame.locator(_FIELDS)
    try:
        values: list[str] = await fields.evaluate_all(_VALUES)
    except PlaywrightError:
        if frame.is_detached():
            return []
        raise
    return [fields.nth(index) for index, value in enumerate(values) if any(secret in value for secret in secrets)]
