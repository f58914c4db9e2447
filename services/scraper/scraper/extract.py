"""The fields of items. Owns: which values a field has, of what was found, and what a page's values tell of one another.

All texts of a field on a page are found first and read then: how one of them is written may tell what others mean.
A field that fails costs itself, a value that can't be read is null; both are counted. Must not know pages' origin.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from scraper.documents import Document
from scraper.executor import Json
from scraper.json_text import storable
from scraper.problems import FIELD_FAILED, VALUE_AMBIGUOUS, VALUE_CUT
from scraper.scrape_definition import FieldRule, ItemSelector
from scraper.selectors import Compiler, Finder, Node, ValueFinder, bounded, compile_selector, found_in
from scraper.values import NO_URL, Hints, Unread, clean, converter_of, shown_by

# The store takes 16 MB for an item: what a list has of it, what its own page has, and what is around it.
MAX_ITEM_BYTES = 7 * 1024 * 1024
# An item with nothing heavier than this in any of its fields is not too large.
HEAVY = 30_000
# Values of these kinds may have several meanings.
HINTED = frozenset({"number", "integer", "date"})


# A field's value in one item, and whether something was found there, even if it could not be read.
Cell = tuple[Json, bool]


@dataclass(frozen=True, slots=True)
class Field:
    """A compiled field; `where` is its place in the definition, as problems name it."""

    name: str
    rule: FieldRule
    finder: ValueFinder
    where: str

    def read(self, nodes: Sequence[Node], document: Document) -> list[Cell]:
        """The field's value in each of `nodes`."""
        document.look_for(self.where)
        raw = [self._find(node, document) for node in nodes]
        if self.rule.type in ("text", "html"):
            return [self._as_found(values, document) for values in raw]
        is_data = bool(nodes) and self.finder.is_data(nodes[0])
        return _Conversion(self, document, is_data=is_data).cells(raw)

    def _find(self, node: Node, document: Document) -> list[Json]:
        try:
            return self.finder.find(node, document)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  # what a page makes of a selector costs this field, not the run
            message = f"{type(error).__name__}: {error}"
            document.problems.note(FIELD_FAILED, self.where, f"the field could not be read: {message}")
            return []

    def _as_found(self, values: list[Json], document: Document) -> Cell:
        if not self.rule.many and len(values) == 1 and isinstance(values[0], list):
            return self._stored(values[0], document), True
        many = self.rule.many
        kept: list[Json] = []
        for value in values:
            text = value
            if not isinstance(value, str):
                text = self._stored(value, document)
            elif self.rule.type == "text":
                text = clean(value) or None
            if text is not None:
                if not many:
                    return text, True
                kept.append(text)
        return self.cell(kept, found=bool(kept))

    def _stored(self, value: Json, document: Document) -> Json:
        stored, left_out = storable(value)
        if left_out:
            message = "parts of it can't be stored (deeper than 90 levels, or no numbers) and are null"
            document.problems.note(VALUE_CUT, self.where, message, count=left_out)
        return stored

    def cell(self, kept: list[Json], *, found: bool) -> Cell:
        """The value of those that could be read, or the default."""
        rule = self.rule
        if rule.many:
            return kept or (rule.default if rule.default is not None else []), found
        return (kept[0] if kept else rule.default), found


class _Conversion:
    """The values of one field on one page, as its type."""

    def __init__(self, field: Field, document: Document, *, is_data: bool) -> None:
        self._field, self._document, self._rule = field, document, field.rule
        self._convert = converter_of(field.rule.type)
        self._hints = Hints(
            decimal=field.rule.decimal,
            order=field.rule.order,
            language=field.rule.language,
            timezone=field.rule.timezone,
            strict=field.rule.strict,
            is_data=is_data,
            page_language=document.language if field.rule.type in HINTED else None,
            encoding=document.encoding,
            usual="",
        )

    def cells(self, raw: list[list[Json]]) -> list[Cell]:
        """The cell of each item, by the values that were found in it."""
        typed = [self._typed(values) for values in raw]
        if self._rule.type in HINTED and self._are_unsettled(typed):
            self._hints = replace(self._hints, usual=self._usual(raw))
            typed = [self._typed(values) for values in raw]
        return [self._cell(values, converted) for values, converted in zip(raw, typed, strict=True)]

    def _typed(self, values: list[Json]) -> list[Json]:
        """The values converted; without `many` up to the first one that could be."""
        typed: list[Json] = []
        for value in values:
            one = self._convert(value, self._document.base_url, self._hints)
            typed.append(one)
            if not self._rule.many and one is not None and not isinstance(one, Unread):
                break
        return typed

    @staticmethod
    def _are_unsettled(typed: list[list[Json]]) -> bool:
        return any(isinstance(one, Unread) and one.what == VALUE_AMBIGUOUS for values in typed for one in values)

    def _usual(self, raw: list[list[Json]]) -> str | None:
        """How the field's texts on this page are written, when those that show it agree."""
        shown = {shown_by(value, self._rule.type) for values in raw for value in values if isinstance(value, str)}
        shown.discard(None)
        return shown.pop() if len(shown) == 1 else None

    def _cell(self, values: list[Json], typed: list[Json]) -> Cell:
        kept: list[Json] = []
        found = False
        for value, one in zip(values, typed, strict=False):
            if one is None:
                continue
            # A link that leads to no page is as good as none.
            found = found or one is not NO_URL
            if not isinstance(one, Unread):
                kept.append(one)
                continue
            example = value if isinstance(value, str) else str(value)
            self._document.problems.note(
                one.what, self._field.where, one.message, example=" ".join(example[:400].split())
            )
            if one.value is not None:
                kept.append(one.value)
        return self._field.cell(kept, found=found)


@dataclass(frozen=True, slots=True)
class FieldsRead:
    """The fields of one node. `missing`: required ones with neither value nor default. `lacking`: those not found.

    What was found counts (`found`) even if it could not be read and is null. `problems`: of the page, where the fields
    are all that was read from it (`Problems.to_json`).
    """

    data: dict[str, Json]
    found: int
    missing: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    problems: tuple[Json, ...] = ()


def compile_fields(rules: Mapping[str, FieldRule], compiler: Compiler, place: str) -> tuple[Field, ...]:
    """Every field, in its order; `place` is theirs in the definition (`items.fields`)."""
    group = place.removesuffix(".fields")
    return tuple(
        Field(
            name, rule, compile_selector(rule, compiler, f"{place}.{name}", where=f"{group}.{name}"), f"{group}.{name}"
        )
        for name, rule in rules.items()
    )


def read_items(fields: Sequence[Field], nodes: Sequence[Node], document: Document) -> list[FieldsRead]:
    """What each of a page's nodes has of each field."""
    columns = [field.read(nodes, document) for field in fields]
    return [_row(fields, cells, document) for cells in zip(*columns, strict=True)]


def read_fields(fields: Sequence[Field], node: Node, document: Document) -> FieldsRead:
    """What `node` has of each field."""
    return read_items(fields, [node], document)[0]


def _row(fields: Sequence[Field], cells: Sequence[Cell], document: Document) -> FieldsRead:
    data = {field.name: cell[0] for field, cell in zip(fields, cells, strict=True)}
    if any(map(_is_heavy, data.values())):
        _fit(data, fields, document)
    if all(found for _, found in cells) and None not in data.values():
        return FieldsRead(data, len(data))
    lacking = tuple(field.name for field, cell in zip(fields, cells, strict=True) if not cell[1])
    missing = tuple(field.name for field in fields if field.rule.required and data[field.name] in (None, []))
    return FieldsRead(data, len(data) - len(lacking), missing, lacking)


def _fit(data: dict[str, Json], fields: Sequence[Field], document: Document) -> None:
    """Leave out the largest values of an item that is too large for the store."""
    weights = {name: _weight(value) for name, value in data.items() if isinstance(value, str | list | dict)}
    total = sum(weights.values())
    while total > MAX_ITEM_BYTES:
        name = max(weights, key=weights.__getitem__)
        total -= weights.pop(name)
        data[name] = None
        where = next(field.where for field in fields if field.name == name)
        message = f"the item is larger than {MAX_ITEM_BYTES} bytes: its largest value was left out"
        document.problems.note(VALUE_CUT, where, message)


def _is_heavy(value: Json) -> bool:
    return len(value) > HEAVY if isinstance(value, str) else _weight(value) > HEAVY


def _weight(value: Json) -> int:
    """About how many bytes a value has in the store."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode(errors="replace"))
    if isinstance(value, list):
        return sum(16 + _weight(member) for member in value)
    if isinstance(value, dict):
        return sum(16 + len(name) + _weight(member) for name, member in value.items())
    return 8


def compile_items(selector: ItemSelector | None, compiler: Compiler) -> Finder:
    """What finds the items of a page."""
    if selector is None:
        return lambda node, _: [node]
    most, where = compiler.most, "items.select"
    if selector.jsonpath is None:
        finder = compiler.elements(selector, where)
        assert finder is not None
        return lambda node, document: bounded(finder(node, document), most, document, where)
    find = compiler.json(selector.jsonpath, f"{where}.jsonpath")

    def find_in(node: Node, document: Document) -> list[Node]:
        sources = [node] if document.is_json else document.embedded()
        return bounded(_flattened(found_in(find, sources, document, where)), most, document, where)

    return find_in


def _flattened(found: list[Json]) -> list[Json]:
    # A path to one list means its members.
    return found[0] if len(found) == 1 and isinstance(found[0], list) else found
