"""A project's full-text index: one SQLite file. Owns: its tables, how text becomes words, queries, highlights.

SQLite's FTS5 does the work: words in their stem, BM25, snippets. Chinese, Japanese and Korean have no spaces: each of
their characters is a word, and a run of them is searched for as a phrase. Ligatures, raised and wide letters are what
they stand for (NFKC), in texts and in queries; what a PDF has hyphenated is found whole. A file is written by one
process, then never changed again, so that any number of readers can have it open.
"""

import html
import re
import sqlite3
import unicodedata
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from scraper.paper_hyphens import GAP, with_whole_words
from scraper.paper_text import INVISIBLE

Json = Any
# Grows with every change of how text becomes words: what was indexed before is indexed anew.
VERSION = 2
# bm25() takes the columns' weights in order: id, title, abstract, authors, body.
WEIGHTS = "0.0, 8.0, 3.0, 2.0, 1.0"
COLUMNS = {"title": 1, "abstract": 2, "body": 4}
SNIPPET_WORDS = 32
QUERY_SECONDS = 5.0
MAX_TERMS = 50
_START, _END = "\x01", "\x02"
_MARKS = re.compile(f"[\x00\x01\x02{GAP}]")
# NFKC makes letters of these, which would be part of the word before them.
_SYMBOLS = re.compile("[\u2100-\u214f\u00a9\u00ae]")
# Kana, ideographs, Hangul syllables.
_SPACELESS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_ONE_SPACELESS = re.compile(f"([{_SPACELESS}])")
_BETWEEN = "\u200b"
_TERMS = re.compile(r'"([^"]*)"|([^\s"]+)')
_WORD = re.compile(r"\w+")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (id TEXT PRIMARY KEY, digest TEXT NOT NULL, line INTEGER NOT NULL) WITHOUT ROWID;
CREATE VIRTUAL TABLE IF NOT EXISTS papers USING fts5(
  id UNINDEXED, title, abstract, authors, body, tokenize = 'porter unicode61 remove_diacritics 2');
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5vocab(papers, 'row');
"""


@dataclass(frozen=True, slots=True)
class Hit:
    """A paper that was found. `highlights`: HTML by field, with the words found in `<em>`."""

    paper_id: str
    score: float
    highlights: Mapping[str, str]


class QueryTooSlow(Exception):
    """The query took longer than a reader may wait."""


def digests(path: Path, *, published: bool) -> dict[str, str]:
    """What an index holds: id → digest. One that is not published yet is made, or put right after a kill. Blocks."""
    with closing(_open(path) if published else sqlite3.connect(path)) as database:
        if not published:
            database.executescript(_SCHEMA)
        return dict(database.execute("SELECT id, digest FROM documents"))


def apply_changes(path: Path, changes: Iterable[Mapping[str, Json]]) -> None:
    """Put and drop papers: all of the changes or, when this process is killed, none. A change is `{"id"}` to drop, and
    with `digest`, `title`, `abstract`, `authors` and `body` to put.
    """
    with closing(sqlite3.connect(path)) as database:
        database.executescript(_SCHEMA)
        with database:
            for change in changes:
                _drop(database, change["id"])
                if "digest" in change:
                    _put(database, change)


def _drop(database: sqlite3.Connection, paper_id: str) -> None:
    row = database.execute("SELECT line FROM documents WHERE id = ?", (paper_id,)).fetchone()
    if row is not None:
        database.execute("DELETE FROM papers WHERE rowid = ?", row)
        database.execute("DELETE FROM documents WHERE id = ?", (paper_id,))


def _put(database: sqlite3.Connection, change: Mapping[str, Json]) -> None:
    *short, body = (_MARKS.sub("", change[name]) for name in ("title", "abstract", "authors", "body"))
    texts = [*map(spaced, short), spaced(with_whole_words(body))]
    line = database.execute(
        "INSERT INTO papers (id, title, abstract, authors, body) VALUES (?, ?, ?, ?, ?)", (change["id"], *texts)
    ).lastrowid
    database.execute("INSERT INTO documents VALUES (?, ?, ?)", (change["id"], change["digest"], line))


def finish(path: Path) -> dict[str, int]:
    """Pack the index for its readers; answers how many documents and different words it has."""
    with closing(sqlite3.connect(path)) as database:
        database.executescript(_SCHEMA)
        database.execute("INSERT INTO papers(papers) VALUES ('optimize')")
        database.commit()
        database.execute("VACUUM")
        (documents,) = database.execute("SELECT count(*) FROM documents").fetchone()
        (terms,) = database.execute("SELECT count(*) FROM words").fetchone()
        return {"documents": documents, "terms": terms}


def search(path: Path, query: str, *, offset: int, limit: int) -> tuple[list[Hit], int]:
    """(hits, the best first; how many there are). All words must be in a paper; if they are in none, any of them.

    Raises QueryTooSlow. Blocks.
    """
    terms = query_terms(query)
    if not terms:
        return [], 0
    with closing(_open(path)) as database:
        until = monotonic() + QUERY_SECONDS
        database.set_progress_handler(lambda: monotonic() > until, 10_000)
        try:
            for connector in (" AND ", " OR "):
                expression = connector.join(terms)
                counted = database.execute("SELECT count(*) FROM papers WHERE papers MATCH ?", (expression,))
                total = counted.fetchone()[0]
                if total or len(terms) == 1:
                    break
            return _hits(database, expression, offset, limit), total
        except sqlite3.OperationalError as error:
            if "interrupted" in str(error):
                raise QueryTooSlow(query) from error
            raise


def query_terms(query: str) -> list[str]:
    """The query as quoted FTS5 phrases: nothing in it is an operator."""
    terms: list[str] = []
    for phrase, word in _TERMS.findall(query):
        words = _WORD.findall(spaced(_MARKS.sub("", phrase or word)).replace(_BETWEEN, " "))
        if words:
            terms.append('"' + " ".join(words) + '"')
    return list(dict.fromkeys(terms))[:MAX_TERMS]


def _hits(database: sqlite3.Connection, expression: str, offset: int, limit: int) -> list[Hit]:
    snippets = ", ".join(
        f"snippet(papers, {column}, ?, ?, '…', {64 if name == 'title' else SNIPPET_WORDS})"
        for name, column in COLUMNS.items()
    )
    rows = database.execute(
        # Only constants of this module are put into the statement.
        f"SELECT id, bm25(papers, {WEIGHTS}) AS score, {snippets} FROM papers"  # noqa: S608
        " WHERE papers MATCH ? ORDER BY score, id LIMIT ? OFFSET ?",
        (*(mark for _ in COLUMNS for mark in (_START, _END)), expression, limit, offset),
    )
    found = []
    for paper_id, score, *texts in rows:
        shown = {name: _shown(text) for name, text in zip(COLUMNS, texts, strict=True) if text and _START in text}
        found.append(Hit(paper_id, round(-score, 6), shown))
    return found


def _shown(text: str) -> str:
    escaped = html.escape(text.replace(_BETWEEN, "").replace(GAP, ""), quote=False)
    # Neighbours that are found together are one.
    return escaped.replace(_END + _START, "").replace(_START, "<em>").replace(_END, "</em>")


def spaced(text: str) -> str:
    """The text in the letters that people search with, and with an invisible boundary after each character of a script
    without spaces.
    """
    visible = INVISIBLE.sub("", text)
    if not visible.isascii():
        visible = unicodedata.normalize("NFKC", _SYMBOLS.sub(_apart, visible))
    return _ONE_SPACELESS.sub(rf"{_BETWEEN}\1{_BETWEEN}", visible)


def _apart(match: re.Match[str]) -> str:
    """A sign such as ™ apart from its word; letters that only look different, such as ℝ, stay in theirs."""
    return match[0] if match[0].isalpha() else f" {match[0]} "


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)
