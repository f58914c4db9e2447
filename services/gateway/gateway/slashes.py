"""Names with slashes in paths. Owns: how `%2F` stays part of a name, though servers hand on paths decoded."""

import re
from typing import Any
from urllib.parse import unquote

# Stands for an encoded slash until the router has taken the path apart; no name has it.
STAND_IN = "\0"
ENCODED = re.compile(rb"%2[Ff]")


def keep_slashes(scope: Any) -> None:
    """Keep encoded slashes apart from those between the path's parts."""
    raw: bytes = scope["raw_path"]
    if ENCODED.search(raw) and STAND_IN not in scope["path"]:
        scope["path"] = STAND_IN.join(unquote(part.decode("latin-1")) for part in ENCODED.split(raw))
        scope["trawl.slashes"] = True


def with_slashes(scope: Any, text: str) -> str:
    """A part of the path, or all of it, as it was meant."""
    return text.replace(STAND_IN, "/") if "trawl.slashes" in scope else text
