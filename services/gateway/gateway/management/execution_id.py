"""Execution ids: the UUID that stands for a run. Owns the way there and back. Pure.

    tttttttt-tttt-4ttt-rrrr-rrrrrrrrrrrr        t: 60 bits that depend on the run's id, r: 62 bits of that id itself

Nothing is stored: an id of ours tells its run, and any other UUID fails the check of its first half.
"""

import hashlib
import re

MAX_RUN_ID = 2**62 - 1
_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-4[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}")


def execution_id(run_id: int) -> str:
    """The run's UUID; to others it looks like any random one."""
    check = hashlib.blake2b(run_id.to_bytes(8), digest_size=8, person=b"trawl execution").hexdigest()
    number = f"{run_id | 1 << 63:016x}"
    return f"{check[:8]}-{check[8:12]}-4{check[12:15]}-{number[:4]}-{number[4:]}"


def run_id_of(text: str) -> int | None:
    """The run that the UUID stands for, or None when it is none of ours."""
    if _UUID.fullmatch(text) is None:
        return None
    run_id = int(text[19:].replace("-", ""), 16) & MAX_RUN_ID
    return run_id if execution_id(run_id) == text.lower() else None
