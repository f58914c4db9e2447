"""A process's own secrets, kept from other programs of its user. Owns: its environment as others can read it.

A program may read `/proc/<pid>/environ` and the memory of every process of its user; so commands that a service runs
for somebody could read the service's keys. Root may read them all the same: see `subreaper` for its commands.
"""

import ctypes
import os
import sys
from collections.abc import Iterable

from pydantic import SecretStr

from chassis.settings import ServiceSettings

PR_SET_DUMPABLE = 4


def close_to_others() -> None:
    """Let nobody but root look into this process: neither its environment nor its memory, nor a dump of it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def forget_secrets(settings: ServiceSettings) -> None:
    """Take what the settings hold in secret out of the environment that this process's children get."""
    forget(name for name, value in settings if isinstance(value, SecretStr))


def forget(names: Iterable[str]) -> None:
    """Take these variables out of it, in either case."""
    for name in names:
        for form in (name.upper(), name.lower()):
            os.environ.pop(form, None)
