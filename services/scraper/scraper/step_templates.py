"""Templates in steps: `{{row.key}}`, `{{vars.x}}`, `{{secret:NAME}}`. Owns: filling them in, and what stays hidden.

Filling in happens once: what a value brings in is text, never a template again. Must not know a browser.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, quote_plus

import orjson
from chassis.own_secrets import forget

from scraper.executor import ExecutorError, Json

_TEMPLATE = re.compile(r"\{\{(?!\}\})\s*+([^{}\s](?:[^{}]{0,298}[^{}\s])?|)\s*+\}\}")
# Keys of a row whose values are kept out of everything that leaves a run.
_SECRET_KEY = re.compile(r"pass(word|wd|phrase)?$|^pwd|secret|token|密码|口令", re.IGNORECASE)
_SECRET_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
HIDDEN = "***"
# A shorter secret is hidden where it stands alone; within other text it would hide half of everything.
SHORTEST_HIDDEN = 4

# Answers a secret's value, or None for an unknown one.
Secrets = Callable[[str], str | None]


def environment_secrets(prefix: str = "TRAWL_SECRET_", environ: Mapping[str, str] | None = None) -> Secrets:
    """Secrets from the environment: `{{secret:SHOP}}` is `TRAWL_SECRET_SHOP`. No other variable can be read.

    What is taken from this process's own environment is in that of no program that it starts.
    """
    source = os.environ if environ is None else environ
    secrets = {name.removeprefix(prefix): value for name, value in source.items() if name.startswith(prefix)}
    if environ is None:
        forget(prefix + name for name in secrets)
    return secrets.get


class Redactor:
    """Knows the values that may not be shown, and takes them out of text and JSON."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def hide(self, value: str) -> None:
        """Never show `value` again, plain or as it looks in an address."""
        forms = {form for form in (value, value.strip(), quote(value, safe=""), quote_plus(value)) if form}
        if forms <= self._values:
            return
        self._values |= forms
        long = self.sought
        self._pattern = re.compile("|".join(map(re.escape, long))) if long else None

    @property
    def sought(self) -> list[str]:
        """What is hidden within other text, the longest first."""
        return sorted((value for value in self._values if len(value) >= SHORTEST_HIDDEN), key=len, reverse=True)

    def with_more(self, values: Iterable[str]) -> "Redactor":
        """One that hides these as well."""
        more = Redactor()
        for value in (*self._values, *values):
            more.hide(value)
        return more

    def text(self, text: str) -> str:
        """The text without hidden values."""
        if text in self._values:
            return HIDDEN
        return self._pattern.sub(HIDDEN, text) if self._pattern else text

    def json(self, value: Json) -> Json:
        """The JSON value without hidden values, in keys neither."""
        if not self._values:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.json(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.json(inner) for inner in value]
        return value


def unknown(name: str) -> ExecutorError:
    """The error for a template that nothing can fill."""
    return ExecutorError(f"unknown template {{{{{name[:100]}}}}}", code="UNKNOWN_TEMPLATE", retryable=False)


def as_text(value: Json) -> str:
    """A value as it is typed or put into text."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return orjson.dumps(value, default=str).decode()


@dataclass(slots=True)
class Scope:
    """What templates may name at one point of a run."""

    secrets: Secrets
    redactor: Redactor = field(default_factory=Redactor)
    row: Mapping[str, Json] = field(default_factory=dict)
    variables: dict[str, Json] = field(default_factory=dict)

    def hide_row_secrets(self, rows: Iterable[Mapping[str, Json]]) -> None:
        """Never show what the rows hold under names like `password`."""
        for row in rows:
            for key, value in row.items():
                if _SECRET_KEY.search(str(key)) and isinstance(value, str | int) and str(value):
                    self.redactor.hide(str(value))

    def fill(self, value: Json) -> Json:
        """`value` with its templates filled in; a string that is one template keeps that value's type."""
        if isinstance(value, str):
            return self._fill_text(value)
        if isinstance(value, Mapping):
            return {key: self.fill(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.fill(inner) for inner in value]
        return value

    def text(self, value: Json) -> str:
        """`value` filled in, as text."""
        return as_text(self.fill(value))

    def texts(self, value: Json) -> Json:
        """`value` with each of its strings filled in, as text."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {key: self.texts(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.texts(inner) for inner in value]
        return value

    def reveals(self, value: Json) -> bool:
        """Whether `value` would bring in something that stays hidden, in any of its strings."""
        if isinstance(value, Mapping):
            return any(self.reveals(inner) for inner in value.values())
        if isinstance(value, list | tuple):
            return any(self.reveals(inner) for inner in value)
        if not isinstance(value, str):
            return False
        if uses_secret(value):
            return True
        try:
            filled = self.text(value)
        except ExecutorError:
            return False  # a template that nothing fills: the step says so
        return self.redactor.text(filled) != filled

    def _fill_text(self, text: str) -> Json:
        if "{{" not in text:
            return text
        if whole := _TEMPLATE.fullmatch(text.strip()):
            return self._look_up(whole[1])
        return _TEMPLATE.sub(lambda match: as_text(self._look_up(match[1])), text)

    def _look_up(self, name: str) -> Any:
        if name.startswith("secret:"):
            return self._secret(name)
        kind, _, key = name.partition(".")
        known = {"row": self.row, "vars": self.variables}.get(kind)
        if known is None or key not in known:
            raise unknown(name)
        return known[key]

    def _secret(self, name: str) -> str:
        key = name.removeprefix("secret:").strip()
        value = self.secrets(key) if _SECRET_NAME.fullmatch(key) else None
        if not value:
            raise unknown(name)
        self.redactor.hide(value)
        return value


def uses_secret(value: Json) -> bool:
    """Whether a secret would be filled in."""
    return isinstance(value, str) and any(match[1].startswith("secret:") for match in _TEMPLATE.finditer(value))
