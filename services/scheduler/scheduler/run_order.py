"""The orders of lists of runs, and places in them. Pure: knows no store.

A run's key is (the value that is sorted by, its id). An id and a time of creation never change. A start and an end do:
a walk takes them as they were when it began, which its `tick` says (see `lua/common.lua`). What has changed since has
the value 0, as if it were still to come.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chassis.errors import InvalidInput
from trawl.scheduler.v1 import runs_pb2 as pb

from scheduler.archive_keys import COMPLETED, CREATED, STARTED
from scheduler.redis_runs import LiveRun

Key = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Order:
    """`field` is the archive's. `tick_field` names the tick of the change of a value that changes, else it is empty."""

    field: str
    tick_field: str = ""


ORDERS: Mapping[str, Order] = {
    "created_at": Order(CREATED),
    "started_at": Order(STARTED, "claimed_tick"),
    "completed_at": Order(COMPLETED, "ended_tick"),
    "id": Order("_id"),
}
DEFAULT = "created_at"


def order_of(sort: str) -> Order:
    """The order of that name. Raises `InvalidInput`."""
    order = ORDERS.get(sort or DEFAULT)
    if order is None:
        raise InvalidInput(f"sort must be one of {', '.join(ORDERS)}", field="sort", rule="enum", value=sort)
    return order


@dataclass(frozen=True, slots=True)
class Place:
    """Behind the run with this key, in a walk that began at `tick` (0 when the order's values never change)."""

    key: Key
    tick: int = 0

    def text(self) -> str:
        """As clients of this service hold it."""
        return ".".join(map(str, (*self.key, self.tick)))

    @classmethod
    def parse(cls, text: str) -> "Place | None":
        """The place; None for no text. Raises `InvalidInput`."""
        if not text:
            return None
        parts = text.split(".")
        if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) <= 18 for part in parts):
            raise InvalidInput("the cursor is not one of this list", field="cursor", rule="cursor")
        value, run_id, tick = map(int, parts)
        return cls((value, run_id), tick)


def sorted_start_ms(run: pb.Run, claimed_ms: int) -> int:
    """The start that a run is sorted by: when it was claimed, by one clock; 0 = it has not started."""
    return (claimed_ms or run.started_ms) if run.started_ms else 0


def archived_key(order: Order, row: Mapping[str, Any], tick: int) -> Key:
    """The key of an archived run's document in a walk that began at `tick`."""
    run_id = int(row["_id"])
    if order.field == "_id":
        return run_id, run_id
    if order.tick_field and row.get(order.tick_field, 0) > tick:
        return 0, run_id
    return int(row[order.field]), run_id


def live_key(order: Order, live: LiveRun, run: pb.Run, tick: int) -> Key:
    """The key of a live run, which `run` shows."""
    if order.field == "_id":
        return live.run_id, live.run_id
    if order.field == CREATED:
        return run.spec.created_ms, live.run_id
    # What has ended here is not archived yet, so that a walk's tick comes before its end.
    if order.field == COMPLETED or live.claimed_tick > tick:
        return 0, live.run_id
    return sorted_start_ms(run, live.started_ms), live.run_id


def waiting_key(order: Order, created_ms: int, run_id: int) -> Key:
    """The key of a run that waits."""
    value = {"_id": run_id, CREATED: created_ms}.get(order.field, 0)
    return value, run_id


def beyond(key: Key, place: Place | None, *, ascending: bool) -> bool:
    """Whether a run with that key comes after the place."""
    if place is None:
        return True
    return key > place.key if ascending else key < place.key
