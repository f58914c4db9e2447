"""Starts the embedded MongoDB stand-in (nx-27017 over SQLite) in this process. Must not know any service.

Run as ``python -m trawl_local.mongo_standin --data-dir DIR --port PORT``. Loopback only: it has no authentication.
"""

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvloop
from neosqlite.collection.query_helper._sql_updates import SqlUpdatesMixin
from nx_27017.handler import NeoSQLiteHandler
from nx_27017.server import run_server

HOST = "127.0.0.1"
# Operators whose paths the stand-in's Python tier takes literally: it would make a key with a dot in its name.
_PATH_OPERATORS = ("$inc", "$mul", "$min", "$max", "$unset")


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
    options.data_dir.mkdir(parents=True, exist_ok=True)
    try:
        uvloop.run(serve(options.data_dir, options.port))
    except OSError as error:
        sys.exit(f"could not serve on port {options.port}: {error}")


if __name__ == "__main__":
    main()
