"""The step that keeps a file: what brings it, and how it is named in the run. Must not know how files are caught."""

import asyncio
import hashlib
import re
from pathlib import PurePosixPath

from playwright.async_api import Error as PlaywrightError

from scraper import step_kinds as kinds
from scraper.executor import Json
from scraper.file_catch import CaughtFile, FileCatch
from scraper.page_tools import PageTools, left_ms
from scraper.step_error import StepError

MAX_FILE_BYTES = 50 * 1024 * 1024
_FILE_NAME = re.compile(r"[^\w.-]+")
DATA_TYPE = "file"


class PageDownloads:
    """The downloads of one run."""

    def __init__(self, tools: PageTools) -> None:
        self._tools = tools

    async def download(self, step: kinds.Download, deadline: float) -> None:
        """Keep the file that a click on the target brings, or that an address holds."""
        async with FileCatch(self._tools.held, self._tools.tabs, MAX_FILE_BYTES).watching() as catch:
            bringing = asyncio.create_task(self._bring(step, deadline))
            try:
                file = await catch.caught(bringing, deadline)
            finally:
                bringing.cancel()
                await asyncio.gather(bringing, return_exceptions=True)
        name = self._tools.scope.text(step.name) if step.name else None
        kept = await self._keep(file, name)
        self._tools.results.store(name or "download", kept)
        if self._tools.in_loop:
            await self._tools.results.emit(name or "download", [kept], DATA_TYPE)

    async def _bring(self, step: kinds.Download, deadline: float) -> None:
        if step.url is None:
            element = await self._tools.one(step.target, deadline)
            await element.click(timeout=left_ms(deadline), no_wait_after=True)
            return
        url = self._tools.address_of(self._tools.scope.text(step.url))
        try:
            await self._tools.page.goto(url, timeout=left_ms(deadline))
        except PlaywrightError as error:
            if failure := self._tools.tabs.navigation_failure(error):
                message, code = failure
                raise StepError(message, code=code, fatal=code == "ADDRESS_NOT_ALLOWED") from error
            # Its answer was taken, or began to be saved.
            if "ERR_ABORTED" not in str(error) and "Download is starting" not in str(error):
                raise

    async def _keep(self, file: CaughtFile, wanted: str | None) -> Json:
        redacted = self._tools.scope.redactor.text
        ending = PurePosixPath(file.name).suffix
        name = wanted or file.name
        if wanted and not wanted.endswith(ending):
            name += ending
        run = self._tools.run
        blob = await run.save_blob(_FILE_NAME.sub("-", redacted(name)), file.data, file.content_type)
        self._tools.log("info", "file kept", blob=blob, bytes=len(file.data))
        return {
            "file": blob,
            "name": redacted(file.name),
            "bytes": len(file.data),
            "type": file.content_type,
            "sha256": hashlib.sha256(file.data).hexdigest(),
        }
