"""Prints the part of requirements.lock that one service needs, hashes included.

`requirements_of.py gateway < requirements.lock > gateway.lock`. Knows the lock's format: blocks of `name==version`
with indented `# via` lines, which name who asked for it.
"""

import re
import sys
import tomllib
from pathlib import Path

PROJECT = "trawl"


def canonical(name: str) -> str:
    """A package's name as the lock spells it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", name.strip(), maxsplit=1)[0]).lower()


def blocks_of(lock: str) -> dict[str, str]:
    """The lock's blocks by package."""
    blocks: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lock.splitlines():
        if line and not line.startswith((" ", "#")):
            current = blocks.setdefault(canonical(line), [])
        if not line.startswith("#"):
            current.append(line)
    return {name: "\n".join(lines) for name, lines in blocks.items()}


def askers(block: str) -> set[str]:
    """The packages that asked for a block's package."""
    found = set()
    for line in block.splitlines():
        comment = line.strip().removeprefix("#").strip() if line.strip().startswith("#") else ""
        name = comment.removeprefix("via").strip()
        if name and not name.startswith(PROJECT):
            found.add(canonical(name))
    return found


def subset(lock: str, roots: set[str]) -> str:
    """The blocks of `roots` and of all that they need."""
    blocks = blocks_of(lock)
    needed = roots & set(blocks)
    while more := {name for name, block in blocks.items() if name not in needed and askers(block) & needed}:
        needed |= more
    return "\n".join(blocks[name] for name in sorted(needed)) + "\n"


def roots_of(pyproject: str, extra: str) -> set[str]:
    """What the project itself asks for, for every service and for this one."""
    project = tomllib.loads(pyproject)["project"]
    return {canonical(name) for name in project["dependencies"] + project["optional-dependencies"][extra]}


if __name__ == "__main__":
    sys.stdout.write(
        subset(sys.stdin.read(), roots_of(Path("pyproject.toml").read_text(encoding="utf-8"), sys.argv[1]))
    )
