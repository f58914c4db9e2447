"""What viewers don't see of definitions, and how it comes back unharmed. Owns: which members of a definition are
hidden, and that what is hidden stays so in what its runs say and find. Pure.

Whoever may change definitions sees all of them. To everybody else secrets read `***`; sent back by a change, that
leaves a value as it was.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, quote_plus

import orjson
from chassis.errors import InvalidInput
from trawl.scheduler.v1 import runs_pb2

from gateway.access import Role
from gateway.checks import invalid
from gateway.exchange import Call
from gateway.secret_places import (
    HIDDEN,
    covered,
    is_secret_name,
    is_template,
    places_in_data,
    places_in_text,
    places_in_words,
)

Json = Any
SHELL = "shell"
# A shorter secret is not looked for in other texts: it would hide half of everything.
SHORTEST_SOUGHT = 4
SHORTEST_PART = 6
_EXECUTOR_MEMBERS = ("executor", "taskType", "task_type")
# Steps that type, and those that press single keys. What field it goes to only the page knows.
_TYPING = frozenset({"input", "type_keys", "change"})
_PRESSING = frozenset({"keydown", "keyDown", "keyUp", "press", "key_down", "key_up"})
_TYPED_MEMBERS = ("value", "text")
# The list of a recorder's raw export whose events type.
RAW_INPUTS = "inputs"


class Veil:
    """How somebody who may not see secrets sees things. `secrets`: values that are hidden wherever they stand.

    `addresses`: whether the secrets of addresses are hidden in what was found, though no definition holds them.
    """

    def __init__(self, secrets: Iterable[str] = (), *, addresses: bool = True) -> None:
        sought = {form for secret in secrets for form in _forms(secret)}
        long = sorted((form for form in sought if len(form) >= SHORTEST_SOUGHT), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, long))) if long else None
        self._addresses = addresses

    def definition(self, value: Json, *, executor: str = "") -> Json:
        """A task, a workflow or parameters, as far as they may be seen."""
        return _Hiding().hide(_plain(value), shell=executor == SHELL)

    def data(self, value: Json) -> Json:
        """What runs found and said: names mean nothing there."""
        if self._pattern is None and not self._addresses:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.data(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.data(inner) for inner in value]
        if isinstance(value, orjson.Fragment):
            return self._embedded(value)
        return value

    def _embedded(self, value: orjson.Fragment) -> orjson.Fragment:
        """JSON that is only read where there is something to hide; its integers keep every digit."""
        text = orjson.dumps(value).decode()
        if self.text(text) == text:
            return value
        hidden = json.dumps(self.data(json.loads(text)), ensure_ascii=False, separators=(",", ":"))
        return orjson.Fragment(hidden.encode())

    def text(self, text: str) -> str:
        """A message, a log line, an address."""
        if self._pattern is not None:
            text = self._pattern.sub(HIDDEN, text)
        return covered(text, places_in_data(text)) if self._addresses else text

    def run(self, shown: dict[str, Json], parameters: str = "", *, executor: str = "") -> dict[str, Json]:
        """A run; its member `parameters` is a definition."""
        given = shown.get(parameters)
        shown = self.data(shown)
        if given is not None:
            shown[parameters] = self.definition(given, executor=executor)
        return shown


class Clear(Veil):
    """How those see things who may change them."""

    def definition(self, value: Json, *, executor: str = "") -> Json:  # noqa: ARG002  # the other's signature
        """All of it."""
        return value

    def data(self, value: Json) -> Json:
        """All of it."""
        return value

    def text(self, text: str) -> str:
        """All of it."""
        return text


CLEAR = Clear()
BLIND = Veil()


def sees_secrets(call: Call) -> bool:
    """Whether the caller may change definitions, and so sees what they hold."""
    return call.principal is not None and call.principal.role >= Role.OPERATOR


def veil_of(call: Call, run: runs_pb2.Run | None = None, *definitions: Json) -> Veil:
    """How the caller sees what the run said, or things of these definitions. Whoever comes without a key to a port that
    asks for none sees what was found as it is, but for the definitions' own secrets: it is the client's own data.
    """
    if sees_secrets(call):
        return CLEAR
    return Veil(secrets_of(run, *definitions), addresses=call.principal is not None)


def secrets_of(run: runs_pb2.Run | None, *definitions: Json) -> set[str]:
    """The secrets that these hold."""
    hiding = _Hiding()
    for definition in definitions:
        hiding.hide(_plain(definition))
    if run is not None:
        spec = run.spec
        shell = spec.executor == SHELL
        hiding.hide({"command": spec.command, "arguments": list(spec.arguments)}, shell=shell)
        if spec.parameters_json:
            hiding.hide(orjson.loads(spec.parameters_json), shell=shell)
    return hiding.secrets


def restored(sent: Json, kept: Json, *, executor: str = "", field: str = "") -> Json:
    """`sent` with the values of `kept` where it has what a viewer is shown of them. Raises `InvalidInput` for a `***`
    that no value can be found for.
    """
    return _restored(sent, kept, _Hiding().hide(kept, shell=executor == SHELL), field)


def holds_hidden(value: Json) -> bool:
    """Whether `***` stands anywhere in it."""
    return HIDDEN.encode() in orjson.dumps(value)


class _Hiding:
    """One definition's. `secrets`: what was taken out and is worth looking for elsewhere."""

    def __init__(self) -> None:
        self.secrets: set[str] = set()

    def hide(self, value: Json, *, shell: bool = False) -> Json:
        if isinstance(value, str):
            return covered(value, places_in_text(value), self._take)
        if isinstance(value, Mapping):
            return self._object(value, shell=shell)
        if isinstance(value, list | tuple):
            if value and all(isinstance(word, str) for word in value):
                places = places_in_words(value)
                return [covered(word, spans, self._take) for word, spans in zip(value, places, strict=True)]
            return [self.hide(inner, shell=shell) for inner in value]
        return value

    def _object(self, value: Mapping[str, Json], *, shell: bool, kind: Json = None) -> dict[str, Json]:
        shell = shell or any(value.get(name) == SHELL for name in _EXECUTOR_MEMBERS)
        kind = kind or value.get("type")
        typing, pressing = (isinstance(kind, str) and kind in kinds for kinds in (_TYPING, _PRESSING))
        hidden: dict[str, Json] = {}
        for name, inner in value.items():
            if is_secret_name(name):
                hidden[name] = self._whole(inner)
            elif shell and name in ("command", "arguments"):
                hidden[name] = self._command(inner)
            elif typing and name in _TYPED_MEMBERS:
                hidden[name] = self._typed(inner, value)
            elif pressing and name == "key" and isinstance(inner, str) and len(inner) == 1:
                hidden[name] = HIDDEN
            elif name == RAW_INPUTS and isinstance(inner, list):
                hidden[name] = [
                    self._object(one, shell=False, kind="input") if isinstance(one, Mapping) else one for one in inner
                ]
            else:
                hidden[name] = self.hide(inner, shell=shell)
        return hidden

    def _command(self, value: Json) -> Json:
        """All of it: in a line of shell a secret may stand anywhere."""
        self.hide(value)
        if isinstance(value, list | tuple):
            return [HIDDEN if word else word for word in value]
        return HIDDEN if value else value

    def _typed(self, value: Json, step: Mapping[str, Json]) -> Json:
        """What a step types. Where its target says that this is a password, it is looked for elsewhere as well."""
        if not isinstance(value, str | int | float) or isinstance(value, bool) or value == "":
            return self.hide(value)
        if is_template(str(value)):
            return value
        target = orjson.dumps({name: inner for name, inner in step.items() if name not in _TYPED_MEMBERS}).decode()
        if is_secret_name(target):
            self._take(str(value))
        return HIDDEN

    def _whole(self, value: Json) -> Json:
        """A value under a secret's name. What is empty or only a switch holds none, nor does a template."""
        if value is None or isinstance(value, bool) or value in ("", [], {}):
            return value
        if isinstance(value, str) and is_template(value):
            return value
        for text in _texts(value):
            self._take(text)
        return HIDDEN

    def _take(self, secret: str) -> None:
        self.secrets.add(secret)
        for part in re.split(r"[\s;]+", secret):
            tail = re.split(r"[=:]", part, maxsplit=1)[-1]
            self.secrets.update(one for one in (part, tail) if len(one) >= SHORTEST_PART)


def _forms(secret: str) -> tuple[str, ...]:
    """How it may be written: plain, in an address, in JSON."""
    return secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret, ensure_ascii=False)[1:-1]


def _texts(value: Json) -> Iterable[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield str(value)


def _plain(value: Json) -> Json:
    """JSON that is embedded as bytes, read; objects may hold such members."""
    if isinstance(value, orjson.Fragment):
        return orjson.loads(orjson.dumps(value))
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def _restored(sent: Json, kept: Json, shown: Json, field: str) -> Json:
    if sent == shown:
        return kept
    if kept == shown:
        return sent  # Nothing is hidden here.
    if isinstance(sent, Mapping) and isinstance(kept, Mapping):
        return {name: _restored_member(name, sent, kept, shown, field) for name in sent}
    if isinstance(sent, list) and isinstance(kept, list | tuple):
        return _restored_list(sent, kept, shown, field)
    if isinstance(sent, str) and HIDDEN in sent:
        return _restored_text(sent, kept, shown, field)
    return sent


def _restored_member(
    name: str, sent: Mapping[str, Json], kept: Mapping[str, Json], shown: Mapping[str, Json], field: str
) -> Json:
    here = f"{field}.{name}".lstrip(".")
    if name in kept:
        return _restored(sent[name], kept[name], shown[name], here)
    if sent[name] == HIDDEN:
        raise _lost(here)
    return sent[name]


def _restored_list(sent: list[Json], kept: Sequence[Json], shown: Sequence[Json], field: str) -> list[Json]:
    """By place what looks as it did there, else by what looks the same, else by place again."""
    found: list[Json] = []
    for index, one in enumerate(sent):
        here = f"{field}[{index}]"
        same = [place for place, other in enumerate(shown) if other == one]
        if index in same and len(sent) == len(kept):
            found.append(kept[index])
        elif same and all(kept[place] == kept[same[0]] for place in same):
            found.append(kept[same[0]])
        elif len(sent) == len(kept) and type(one) is type(kept[index]):
            found.append(_restored(one, kept[index], shown[index], here))
        elif holds_hidden(one):
            raise _lost(here)
        else:
            found.append(one)
    return found


def _restored_text(sent: str, kept: Json, shown: Json, field: str) -> str:
    """A text that was changed around its secrets: as many `***` as there were secrets stand for them, in order."""
    taken: list[str] = []
    by_places = isinstance(kept, str) and covered(kept, places_in_text(kept), taken.append) == shown
    pieces = sent.split(HIDDEN)
    if not by_places or len(taken) != len(pieces) - 1:
        raise _lost(field)
    return "".join(piece + secret for piece, secret in zip(pieces, [*taken, ""], strict=True))


def _lost(field: str) -> InvalidInput:
    return invalid(field, "hidden", "含有 ***, 但无法判断它代表哪个已隐藏的值: 请写出该值", HIDDEN)
