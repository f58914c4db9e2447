"""The search index: a Tantivy index in a folder of its own. Owns: its schema, and the mark up to which it is complete.
Must not know MongoDB, NATS or gRPC. Calls block: they belong in a thread.

The index is a copy and may be thrown away at any time. What is committed survives a crash; the mark is written after
the commit, so that after a crash some changes are put in once more, which changes nothing.
"""

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import tantivy

# Grows with every change of what is indexed: an older index is thrown away.
VERSION = 1
HEAP_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One item. `tokens` as of `search_words.tokens_of`."""

    key: str
    task_id: int
    data_type: str
    created_ms: int
    tokens: str


class SearchIndex:
    """One process at a time may have a folder open; a killed one lets go of it.

    Opening and writing raise OSError or ValueError when the disk is full, or another process has the folder open.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._mark_file = folder / "index", folder / "mark.json"
        self._schema = _schema()
        self.mark = self._read_mark()
        if not self.mark:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            self._open()
        except (ValueError, OSError) as error:
            if "lock" in str(error).lower():
                raise  # another process has it open, and it is as it should be
            # Half-written or foreign: a copy is not repaired, it is made again.
            shutil.rmtree(self._folder)
            self._folder.mkdir()
            self.mark = ""
            self._open()

    def _open(self) -> None:
        self._index = tantivy.Index(self._schema, path=str(self._folder))
        words = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build()
        self._index.register_tokenizer("words", words)
        self._writer = self._index.writer(heap_size=HEAP_BYTES, num_threads=1)

    def _read_mark(self) -> str:
        try:
            raw = json.loads(self._mark_file.read_text("utf-8"))
        except (OSError, ValueError):
            return ""
        return str(raw.get("mark", "")) if isinstance(raw, dict) and raw.get("version") == VERSION else ""

    def put(self, entries: Iterable[Entry]) -> None:
        """Add items, or replace them."""
        for entry in entries:
            self._writer.delete_documents_by_term("key", entry.key)
            document = tantivy.Document()
            document.add_text("key", entry.key)
            document.add_text("task", str(entry.task_id))
            document.add_text("type", entry.data_type)
            document.add_text("words", entry.tokens)
            document.add_unsigned("created", entry.created_ms)
            self._writer.add_document(document)

    def remove(self, *, keys: Sequence[str] = (), tasks: Sequence[int] = ()) -> None:
        """Take out items, and all items of tasks."""
        for key in keys:
            self._writer.delete_documents_by_term("key", key)
        for task_id in tasks:
            self._writer.delete_documents_by_term("task", str(task_id))

    def forget_all(self) -> None:
        """Start anew."""
        self._writer.delete_all_documents()
        self._mark_file.unlink(missing_ok=True)
        self.mark = ""

    def commit(self, mark: str) -> None:
        """Make everything so far visible and durable. `mark`: all changes up to there are in."""
        self._writer.commit()
        self._index.reload()
        if mark != self.mark:
            temporary = self._mark_file.with_suffix(".new")
            temporary.write_text(json.dumps({"version": VERSION, "mark": mark}), "utf-8")
            temporary.replace(self._mark_file)
            self.mark = mark

    def search(
        self, phrases: Sequence[Sequence[str]], *, data_type: str, offset: int, limit: int
    ) -> tuple[list[str], int]:
        """Keys of a page of the items that have all phrases (tokens in a row), newest first; and how many there are."""
        queries = [self._phrase(phrase) for phrase in phrases]
        if data_type:
            queries.append(tantivy.Query.term_query(self._schema, "type", data_type, index_option="basic"))
        query = tantivy.Query.boolean_query([(tantivy.Occur.Must, one) for one in queries])
        searcher = self._index.searcher()
        if offset >= searcher.num_docs:
            # The engine keeps room for every place up to the page's end.
            return [], _count(searcher.search(query, limit=1, count=True))
        found = searcher.search(query, limit=limit, offset=offset, count=True, order_by_field="created")
        return [str(searcher.doc(address)["key"][0]) for _, address in found.hits], _count(found)

    def _phrase(self, tokens: Sequence[str]) -> tantivy.Query:
        if len(tokens) == 1:
            return tantivy.Query.term_query(self._schema, "words", tokens[0], index_option="basic")
        return tantivy.Query.phrase_query(self._schema, "words", list(tokens))

    def __len__(self) -> int:
        return int(self._index.searcher().num_docs)


def _count(found: tantivy.SearchResult) -> int:
    return int(found.count or 0)  # type: ignore[attr-defined]  # missing in the library's stubs


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("key", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_text_field("task", tokenizer_name="raw", index_option="basic")
    builder.add_text_field("type", tokenizer_name="raw", index_option="basic")
    builder.add_text_field("words", tokenizer_name="words", index_option="position")
    builder.add_unsigned_field("created", fast=True)
    return builder.build()
