"""What to say of a field that a definition does not have. Owns: the nearest known name. Must not know definitions."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_args

from chassis.suggestions import did_you_mean
from pydantic import BaseModel
from pydantic.fields import FieldInfo


def path_of(place: Iterable[str | int]) -> str:
    """A pydantic error's `loc` as a path: `start_urls[0]`, `items.fields.price`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


def unknown_field(model: type[BaseModel], place: Sequence[str | int]) -> str:
    """The message for an unknown field at `place` (a pydantic error's `loc`) below `model`."""
    name = str(place[-1])
    known = {own for found in _models_at([model], place[:-1]) for own in _names_of(found)}
    return f"there is no such field{did_you_mean(name, sorted(known))}"


def _models_at(models: list[type[BaseModel]], place: Sequence[str | int]) -> list[type[BaseModel]]:
    """The models that may stand at `place`. A union's members have their own part in it, which leads no further."""
    for part in place:
        below = [
            inner
            for model in models
            for name, field in model.model_fields.items()
            if part in (name, field.alias)
            for inner in _models_in(field)
        ]
        models = below or models
    return models


def _models_in(field: FieldInfo) -> Iterator[type[BaseModel]]:
    waiting: list[Any] = [field.annotation]
    while waiting:
        one = waiting.pop()
        if isinstance(one, type) and issubclass(one, BaseModel):
            yield one
        waiting += get_args(one)


def _names_of(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield field.alias or name
