"""The Lua scripts in `lua/`: loading them, and handing them their arguments. Must not know what they do."""

from collections.abc import Iterable
from importlib import resources
from typing import Any

import msgpack
from chassis.stores import redis_errors
from redis.asyncio import Redis


class Script:
    """One script, with `common.lua` before it. Its arguments are packed into one (see there)."""

    def __init__(self, redis: Redis, name: str) -> None:
        folder = resources.files("scheduler") / "lua"
        source = (folder / "common.lua").read_text() + (folder / f"{name}.lua").read_text()
        self._script = redis.register_script(source)

    async def run(self, arguments: Iterable[Any]) -> Any:
        """The script's answer. Bytes go as they are, anything else as its text. Raises `Unavailable`."""
        packed = msgpack.packb(
            [part if isinstance(part, bytes) else str(part) for part in arguments], use_bin_type=False
        )
        with redis_errors():
            return await self._script(args=[packed])
