"""Actions that fill in: input, type_keys, select, check, upload."""

import base64
import binascii
from pathlib import Path

from playwright.async_api import FilePayload, Locator

from scraper import step_kinds as kinds
from scraper.executor import KeptFiles
from scraper.page_tools import PageTools, left_ms
from scraper.step_error import StepError

# Recordings know one event for every kind of field.
_KIND = "element => element.localName === 'select' ? 'select' : (element.type || '')"
_VALUES = "element => Array.from(element.options || [], one => one.value)"
_UNTICKED = frozenset({"", "false", "0", "off", "no"})


class PageForms:
    """The forms of one run."""

    def __init__(self, tools: PageTools) -> None:
        self._tools = tools

    async def input(self, step: kinds.Input, deadline: float) -> None:
        """Fill a field, or press its keys one by one."""
        value = self._tools.scope.text(step.value)
        element = await self._tools.one(step.target, deadline)
        kind = await element.evaluate(_KIND, timeout=left_ms(deadline))
        if kind == "password" or self._tools.scope.reveals(step.value):
            # Before it is typed: an error from the page may repeat the value.
            self._tools.scope.redactor.hide(value)
            self._tools.masked.append(element)
            if self._tools.before_secret is not None:
                await self._tools.before_secret()
        if kind == "select":
            await _choose(element, [value], deadline)
        elif kind in ("checkbox", "radio"):
            await element.set_checked(value.strip().lower() not in _UNTICKED, timeout=left_ms(deadline))
        elif step.type == "input":
            await element.fill(value, timeout=left_ms(deadline))
        else:
            await element.press_sequentially(value, delay=step.delay_ms, timeout=left_ms(deadline))

    async def select(self, step: kinds.Select, deadline: float) -> None:
        """Choose options by value or label."""
        value = self._tools.scope.fill(step.value)
        wanted = [self._tools.scope.text(one) for one in (value if isinstance(value, list) else [value])]
        await _choose(await self._tools.one(step.target, deadline), wanted, deadline)

    async def check(self, step: kinds.Check, deadline: float) -> None:
        """Tick or untick."""
        element = await self._tools.one(step.target, deadline)
        await element.set_checked(step.value is not False, timeout=left_ms(deadline))

    async def upload(self, step: kinds.Upload, deadline: float) -> None:
        """Put kept files, or files that the step carries, into a file field."""
        values = step.value if isinstance(step.value, tuple) else (step.value,)
        files = [await self._file(value) for value in values]
        element = await self._tools.one(step.target, deadline, hidden=True)
        await element.set_input_files(files, timeout=left_ms(deadline))

    async def _file(self, value: kinds.UploadFile | str) -> FilePayload:
        if isinstance(value, str):
            name = self._tools.scope.text(value)
            run = self._tools.run
            if not isinstance(run, KeptFiles):
                raise StepError("kept files can't be read here", code="NO_SUCH_FILE", fatal=True)
            data, content_type = await run.read_blob(name)
            return {"name": Path(name).name, "mimeType": content_type, "buffer": data}
        name = self._tools.scope.text(value.name)
        if value.base64 is not None:
            try:
                data = base64.b64decode(value.base64, validate=True)
            except binascii.Error as error:
                raise StepError("the file is not base64", code="INVALID_PARAMETERS", fatal=True) from error
        else:
            data = self._tools.scope.text(value.text).encode()
        return {"name": Path(name).name or "file", "mimeType": value.content_type, "buffer": data}


async def _choose(element: Locator, wanted: list[str], deadline: float) -> None:
    """Choose options by their values; by what they show where there is no such value."""
    values: list[str] = await element.evaluate(_VALUES, timeout=left_ms(deadline))
    if all(one in values for one in wanted):
        # By number: given a text, Playwright takes the first option with that value or that label.
        await element.select_option(index=[values.index(one) for one in wanted], timeout=left_ms(deadline))
    else:
        await element.select_option(wanted, timeout=left_ms(deadline))
