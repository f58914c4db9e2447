"""`trawl worker module:app`. Owns: the command's words and exit codes."""

import argparse
import asyncio
import logging
import os
import sys
from functools import partial

from chassis.errors import TrawlError

from trawl_sdk.fleet import NameTaken, Targets
from trawl_sdk.process import Unusable
from trawl_sdk.worker import Options, Worker


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="trawl worker",
        description="Do runs of the Python functions of a module, as a worker of the fleet. SIGTERM or Ctrl-C: finish "
        "what runs, then leave; once more: leave at once.",
        epilog="Environment: SCHEDULER_TARGET, SCRAPER_TARGET, REGISTRY_TARGET (host:port; unset: the stack on "
        "TRAWL_HOME, started before or later, else this machine's ports 50051 to 50053).",
    )
    made.add_argument("target", metavar="MODULE:APP", help="module, module:name or file.py:name; without a name, every "
                      "@task of the module")  # fmt: skip
    made.add_argument("--slots", type=int, default=4, help="runs at once, a process each (default 4)")
    made.add_argument("--drain-seconds", type=float, default=30.0, help="how long runs may go on after SIGTERM "
                      "(default 30)")  # fmt: skip
    made.add_argument("--id", default="", help="the worker's id; by default the registry makes one")
    made.add_argument("--verbose", action="store_true", help="also say what is only a nuisance")
    return made


async def _serve(options: Options) -> None:
    # Its channels belong to the loop that they are made in.
    await Worker(options, partial(Targets.of, os.environ)).run()


def main() -> int:
    """Console entry; 1 when the module can't be used."""
    given = parser().parse_args()
    if not 1 <= given.slots <= 256:
        parser().error("--slots must be 1 to 256")
    logging.basicConfig(
        level=logging.DEBUG if given.verbose else logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr
    )
    options = Options(given.target, given.slots, given.drain_seconds, given.id)
    try:
        asyncio.run(_serve(options))
    except KeyboardInterrupt:
        return 130  # before the worker could listen to it
    except (Unusable, NameTaken) as error:
        print(f"trawl worker: {error}", file=sys.stderr)
        return 1
    except TrawlError as error:
        print(f"trawl worker: {error.message}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
