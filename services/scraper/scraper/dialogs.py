"""What a page's dialogs (alert, confirm, prompt, and whether to leave) are answered. Must not know steps.

Each is logged with its text. A page is always left: one that asks whether to stay would hold its run up.
"""

from typing import Protocol

from playwright.async_api import BrowserContext, Dialog

from scraper.browser_chromium import CLOSE_SECONDS, within
from scraper.browser_options import DialogAnswer, DialogText
from scraper.step_templates import Scope

MAX_LINES = 100
MAX_TEXT = 500


class Log(Protocol):
    """`RunContext.log`."""

    def __call__(self, level: str, message: str, **data: object) -> None:
        """Add a line."""


class Dialogs:
    """Answers those of a run's context."""

    def __init__(self, answer: DialogAnswer, scope: Scope, log: Log) -> None:
        self._answer, self._scope, self._log = answer, scope, log
        self._count = 0

    def listen(self, context: BrowserContext) -> None:
        """Answer from now on."""
        context.on("dialog", self._came)

    async def _came(self, dialog: Dialog) -> None:
        if dialog.type == "beforeunload":
            done, work = "left", dialog.accept()
        elif self._answer == "dismiss":
            done, work = "dismissed", dialog.dismiss()
        elif isinstance(self._answer, DialogText):
            done, work = "answered", dialog.accept(self._scope.text(self._answer.text))
        else:
            done, work = "accepted", dialog.accept(dialog.default_value)
        self._say(dialog, done)
        # The page may be closing.
        await within(CLOSE_SECONDS, work)

    def _say(self, dialog: Dialog, done: str) -> None:
        self._count += 1
        if self._count > MAX_LINES:
            return
        text = self._scope.redactor.text(dialog.message)[:MAX_TEXT]
        self._log("info", f"A dialog ({dialog.type}) was {done}: {text}", dialog=dialog.type, answer=done)
        if self._count == MAX_LINES:
            self._log("warn", "Further dialogs are answered without a line")
