"""Starts the embedded MongoDB stand-in (nx-27017 over SQLite) in this process. Must not know any service.

Run as ``python -m trawl_local.mongo_standin --data-dir DIR --port PORT``. Loopback only: it has no authentication.
"""

import argparse
import asyncio
import contextlib
import functools
import logging
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import uvloop
from neosqlite.collection.query_helper import QueryHelper
from neosqlite.collection.query_helper._sql_updates import SqlUpdatesMixin
from nx_27017.handler import NeoSQLiteHandler
from nx_27017.server import run_server

HOST = "127.0.0.1"
# Operators whose paths the stand-in's Python tier takes literally: it would make a key with a dot in its name.
_PATH_OPERATORS = ("$inc", "$mul", "$min", "$max", "$unset")
_WRITES = ("insert", "update", "delete")


def needs_sql(update: Mapping[str, Any]) -> bool:
    """Whether only the stand-in's SQL tier does this update right.

    That tier stores booleans as numbers and dates as text, so that `$set` belongs in the Python tier, which keeps
    types. The Python tier in turn breaks dotted paths of every operator but `$set`.
    """
    return any("." in path for operator in _PATH_OPERATORS for path in update.get(operator) or ())


def keep_types() -> None:
    """Send updates to the tier that does them right. Must run before the first update."""
    by_sql = SqlUpdatesMixin._can_use_sql_updates  # noqa: SLF001 - the one switch there is; the version is pinned

    def can_use_sql(self: Any, update_spec: dict[str, Any], doc_id: int, original_doc: Any = None) -> bool:
        return needs_sql(update_spec) and bool(by_sql(self, update_spec, doc_id, original_doc))

    SqlUpdatesMixin._can_use_sql_updates = can_use_sql  # noqa: SLF001 - as above


def commit_once() -> None:
    """Give a command that writes several documents one transaction: alone, each is committed by itself, which takes
    longer than writing it. What a document did wrong undoes that document only. Must run before the first command.
    """
    for name in ("handle_insert", "handle_command"):
        setattr(NeoSQLiteHandler, name, _in_one_transaction(getattr(NeoSQLiteHandler, name)))


class _Taken(dict[str, Any]):
    """A document that came over the wire: nobody else has it, so nobody needs a copy."""

    def __deepcopy__(self, _memo: dict[int, Any]) -> "_Taken":
        return self


def take_documents() -> None:
    """Don't copy each document before it is stored, which is a third of an insert. Must run before the first one."""
    insert = QueryHelper._internal_insert  # noqa: SLF001 - every insert goes through it; the version is pinned

    def insert_taken(self: Any, document: dict[str, Any]) -> Any:
        return insert(self, _Taken(document))

    QueryHelper._internal_insert = insert_taken  # noqa: SLF001 - as above


Handle = Callable[[Any, dict[str, Any]], Any]


def _in_one_transaction(handle: Handle) -> Handle:
    @functools.wraps(handle)
    def handle_all(self: Any, message: dict[str, Any]) -> Any:
        database = _written_at_once(message)
        if not database:
            return handle(self, message)
        # The stand-in's own lock: whoever has it is alone with the database's connection.
        with self._lock_for(database):
            connection = self.get_database(database).db
            if connection.in_transaction:
                return handle(self, message)
            connection.execute("BEGIN")
            try:
                answer = handle(self, message)
                connection.execute("COMMIT")
            except BaseException:
                connection.rollback()
                raise
            return answer

    return handle_all


def _written_at_once(message: Mapping[str, Any]) -> str:
    """The database of a command that writes several documents, else nothing."""
    sections = message.get("sections") or ()
    bodies = [part for kind, part in sections if kind == "body" and isinstance(part, dict)]
    lists = [part for kind, parts in sections if kind == "payload" and isinstance(parts, dict)
             for part in parts.values()]  # fmt: skip
    if not bodies or not any(name in bodies[0] for name in _WRITES) or sum(map(len, lists)) < 2:
        return ""
    return str(bodies[0].get("$db", ""))


async def serve(data_dir: Path, port: int) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError when the port is taken."""
    handler = NeoSQLiteHandler(str(data_dir / "unused.db"), data_dir=str(data_dir))
    serving = asyncio.create_task(run_server(HOST, port, handler))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, serving.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await serving


def main() -> None:
    """The module's command line."""
    parser = argparse.ArgumentParser(prog="trawl_local.mongo_standin", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    # Plain logging: this process is what every start waits for, and imports are most of that.
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    keep_types()
    commit_once()
    take_documents()
    options.data_dir.mkdir(parents=True, exist_ok=True)
    try:
        uvloop.run(serve(options.data_dir, options.port))
    except OSError as error:
        sys.exit(f"could not serve on port {options.port}: {error}")


if __name__ == "__main__":
    main()
