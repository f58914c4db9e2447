"""How far the RUNS stream has counted, in MongoDB. Owns `stream_marks`. Must not know NATS."""

import contextlib
from dataclasses import dataclass
from typing import Any

from chassis.stores import mongo_errors
from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo.errors import DuplicateKeyError


@dataclass(frozen=True, slots=True)
class Mark:
    """No message of the stream that was made then has a higher sequence. `version` 0: there is no mark yet."""

    made: str = ""
    sequence: int = 0
    version: int = 0


class StreamMarks:
    """Every method raises `Unavailable` when MongoDB can't be reached."""

    def __init__(self, database: AsyncIOMotorDatabase[dict[str, Any]], stream: str) -> None:
        self._marks, self._id = database["stream_marks"], stream

    async def get(self) -> Mark:
        """The mark."""
        with mongo_errors():
            row = await self._marks.find_one({"_id": self._id})
        return Mark(row["made"], int(row["sequence"]), int(row["version"])) if row else Mark()

    async def replace(self, old: Mark, made: str, sequence: int) -> Mark:
        """Set it unless somebody else has; answers what is there then."""
        document = {"_id": self._id, "made": made, "sequence": sequence, "version": old.version + 1}
        with mongo_errors():
            if old.version:
                await self._marks.replace_one({"_id": self._id, "version": old.version}, document)
            else:
                with contextlib.suppress(DuplicateKeyError):
                    await self._marks.insert_one(document)
        return await self.get()
