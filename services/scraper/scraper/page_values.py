"""Actions that take values from the page: extract, set_variable, output, screenshot."""

import re

from scraper import step_kinds as kinds
from scraper.executor import Json
from scraper.page_tools import PageTools, now
from scraper.step_error import TargetMissingError
from scraper.step_extract import read_fields, read_values

_FILE_NAME = re.compile(r"[^\w-]+")
_BODY = kinds.Target(css="html")
WHOLE = kinds.ExtractField()


class PageValues:
    """The values of one run."""

    def __init__(self, tools: PageTools) -> None:
        self._tools = tools

    async def extract(self, step: kinds.Extract, deadline: float) -> None:
        """Text, attributes or fields into the result and the items."""
        whole = kinds.ExtractField(attribute=step.attribute, type=step.value_type, transform=step.transform)
        targets = step.target or (None if self._tools.finder.within is not None else (_BODY,))
        if step.list and targets is not None:
            elements = await self._tools.some(targets, deadline, hidden=True)
        else:
            elements = await self._tools.one(targets, deadline, hidden=True)
        url, name = self._tools.tabs.page.url, self._tools.scope.text(step.name)
        values: list[Json]
        if step.fields:
            values = list(await read_fields(elements, step.fields, url, self._tools.left_out))
        else:
            values = await read_values(elements, whole, url, self._tools.left_out)
        if step.list:
            await self._tools.results.store_list(name, values, step.data_type)
            return
        if not values:
            raise TargetMissingError("the element went away while it was read")
        self._tools.results.store(name, values[0])
        if self._tools.in_loop:
            await self._tools.results.emit(name, values[:1], step.data_type)

    async def _value(self, step: kinds.SetVariable | kinds.Output, deadline: float) -> Json:
        """The target's text; the step's own value without a target, or when the target isn't there."""
        if step.target is None and (step.value is not None or self._tools.finder.within is None):
            return self._tools.scope.fill(step.value)
        try:
            element = await self._tools.one(step.target, deadline, hidden=True)
        except TargetMissingError:
            if step.value is None:
                raise
            return self._tools.scope.fill(step.value)
        field = kinds.ExtractField(attribute=step.attribute) if step.attribute else WHOLE
        values = await read_values(element, field, self._tools.tabs.page.url, self._tools.left_out)
        return values[0] if values else None

    async def set_variable(self, step: kinds.SetVariable, deadline: float) -> None:
        """Remember a value."""
        self._tools.scope.variables[step.name] = await self._value(step, deadline)

    async def output(self, step: kinds.Output, deadline: float) -> None:
        """Store a value."""
        value = await self._value(step, deadline)
        name = self._tools.scope.text(step.name)
        self._tools.results.store(name, value)
        if self._tools.in_loop:
            await self._tools.results.emit(name, [value], "item")

    async def screenshot(self, step: kinds.Screenshot, deadline: float) -> None:
        """Keep a picture."""
        picture = await self._tools.picture(max(deadline - now(), 0.1), full_page=step.full_page)
        own = self._tools.scope.text(step.name) if step.name else ""
        wanted = self._tools.scope.redactor.text(own or self._tools.where.split()[0])
        wanted = _FILE_NAME.sub("-", wanted).strip("-")[:100]
        name = await self._tools.run.save_blob(f"{wanted or 'picture'}.png", picture, "image/png")
        self._tools.log("info", "picture kept", blob=name)
        if own:
            self._tools.results.store(own, name)
