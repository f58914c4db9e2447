"""What callers of the worker registry rely on, against a real process and real stores."""

import asyncio
from typing import Any

import pytest
import redis
from chassis.clock import now_ms
from chassis.errors import Conflict, InvalidInput, NotFound

Registry = Any
StartRegistry = Any
SHORT_MS, KEPT_MS = 250, 1_000


async def is_past(time_ms: int) -> bool:
    """Whether it is later than that."""
    return now_ms() > time_ms


async def test_workers_without_an_id_get_unique_ones_from_all_replicas(start_registry: StartRegistry) -> None:
    """worker-001, worker-002, … with no number used twice, and none that somebody chose by hand."""
    one, two = await asyncio.gather(start_registry(), start_registry())
    await one.register("worker-003", "mine")
    made = await asyncio.gather(*(replica.register(session=f"s{n}") for n, replica in enumerate([one, two] * 10)))
    numbers = sorted(worker.id for worker in made)
    assert numbers == [f"worker-{n:03d}" for n in range(1, 22) if n != 3]
    assert (await two.listed(limit=100)).total == 21


async def test_an_id_is_not_made_twice_after_deregistration(registry: Registry) -> None:
    """History names workers, so a number is never used again."""
    first = await registry.register()
    await registry.deregister(first.id)
    assert (await registry.register(session="s2")).id == "worker-002"


async def test_a_worker_without_a_session_gets_one(registry: Registry) -> None:
    """The answer carries it, and heartbeats may name it or leave it out."""
    worker = await registry.register("w", session="")
    assert worker.session
    assert (await registry.beat("w", worker.session)).status == "active"
    assert not (await registry.beat("w", "")).unknown


async def test_registering_the_same_session_again_changes_nothing(registry: Registry) -> None:
    """A repeated request is one registration and one event."""
    first = await registry.register("w", metadata_json=b'{"a":1}')
    again = await registry.register("w", metadata_json=b'{"a":1}')
    assert again == first
    await registry.register("x")
    await registry.published("registered", "x")
    assert await registry.kinds() == [("registered", "w", "s1"), ("registered", "x", "s1")]


async def test_a_new_session_takes_the_place_of_the_old_one_whose_loss_is_told_at_once(registry: Registry) -> None:
    """`lost` for the old session comes before `registered` for the new one, long before any deadline."""
    await registry.register("w", "old")
    await registry.register("w", "new")
    await registry.published("registered", "w", "new", seconds=40)
    assert await registry.kinds() == [("registered", "w", "old"), ("lost", "w", "old"), ("registered", "w", "new")]
    assert (await registry.beat("w", "old")).unknown
    assert not (await registry.beat("w", "new")).unknown
    assert (await registry.get("w")).session == "new"


async def test_a_replaced_session_cannot_take_its_place_back(registry: Registry) -> None:
    """Two processes under one id don't take it from each other for ever."""
    await registry.register("w", "old")
    await registry.register("w", "new")
    with pytest.raises(Conflict):
        await registry.register("w", "old")
    assert (await registry.get("w")).session == "new"


async def test_a_worker_silent_for_three_intervals_is_lost_once_among_all_replicas(
    start_registry: StartRegistry,
) -> None:
    """One `lost` whatever the number of replicas, not before three intervals, and readers see it offline."""
    one, two, three = await asyncio.gather(*(start_registry() for _ in range(3)))
    # Heartbeats that come late, because the machine has other things to do, must not lose the one that is kept.
    kept = await three.register("kept", interval_ms=KEPT_MS)
    async with two.beating(("kept", "s1")):
        await asyncio.gather(one.register("w", interval_ms=SHORT_MS), two.register("x", interval_ms=SHORT_MS))
        for name in ("w", "x"):
            await one.published("lost", name)
        await one.until(lambda: is_past(kept.registered_ms + 4 * KEPT_MS))
        assert [(await one.get(name)).status for name in ("w", "x", "kept")] == ["offline", "offline", "active"]
        events = await one.events()
    lost = [event for event in events if event.kind == "lost"]
    assert sorted(event.worker_id for event in lost) == ["w", "x"]
    registered = {event.worker_id: event.time_ms for event in events if event.kind == "registered"}
    for event in lost:
        assert event.time_ms - registered[event.worker_id] >= 750
        assert event.hostname == "host-a"
        assert "750 ms" in event.reason


async def test_a_lost_worker_is_active_again_with_its_next_heartbeat(registry: Registry) -> None:
    """The same session needs no new registration; `active` is published, once."""
    await registry.register("w", interval_ms=KEPT_MS)
    await registry.published("lost", "w")
    assert (await registry.beat("w")).status == "active"
    assert (await registry.get("w")).status == "active"
    await registry.beat("w")
    await registry.published("active", "w")
    # Once its time is over again, it is lost again.
    kinds = await registry.kinds()
    assert kinds[:3] == [("registered", "w", "s1"), ("lost", "w", "s1"), ("active", "w", "s1")]
    assert kinds[3:] in ([], [("lost", "w", "s1")])


async def test_heartbeats_carry_what_readers_see(registry: Registry) -> None:
    """Occupancy and load of the last heartbeat, its time, and nothing of it once the worker is lost."""
    registered = await registry.register("w", max_concurrent_tasks=4)
    assert (registered.status, registered.current_task_count) == ("active", 0)
    await registry.beat(
        "w", current_task_count=2, current_runs=[7, 2**62], load_average=0.5, memory_usage=512, cpu_usage=25.5
    )
    seen = await registry.get("w")
    assert (seen.current_task_count, list(seen.current_runs)) == (2, [7, 2**62])
    assert (seen.load_average, seen.memory_usage, seen.cpu_usage) == (0.5, 512, 25.5)
    assert seen.last_heartbeat_ms >= seen.registered_ms == registered.registered_ms
    await registry.register("silent", interval_ms=SHORT_MS)
    await registry.beat("silent", current_task_count=2)
    heard = (await registry.get("silent")).last_heartbeat_ms

    async def offline() -> bool:
        return (await registry.get("silent")).status == "offline"

    await registry.until(offline)
    gone = await registry.get("silent")
    assert (gone.current_task_count, gone.last_heartbeat_ms) == (0, heard)


async def test_draining_and_offline_reach_the_worker_with_its_next_heartbeat(registry: Registry) -> None:
    """What an operator wants is answered to heartbeats, told once, and outlives a restart of the worker."""
    await registry.register("w")
    assert (await registry.update("w", status="draining")).status == "draining"
    assert (await registry.update("w", status="draining")).status == "draining"
    assert (await registry.beat("w")).status == "draining"
    assert (await registry.register("w", "s2")).status == "draining"
    await registry.update("w", status="offline")
    assert (await registry.beat("w", "s2")).status == "offline"
    await registry.update("w", status="active")
    assert (await registry.beat("w", "s2")).status == "active"
    await registry.published("active", "w", "s2")
    assert [kind for kind, _, _ in await registry.kinds()] == [
        "registered", "draining", "lost", "registered", "draining", "active",
    ]  # fmt: skip


async def test_operators_change_slots_types_and_metadata_and_nothing_else(registry: Registry) -> None:
    """Other fields and bad values are refused by name; what was not named stays."""
    await registry.register("w", metadata_json=b'{"$where": "x", "a.b": [1]}')
    changed = await registry.update("w", max_concurrent_tasks=10, task_types=["python", "http"])
    assert (changed.max_concurrent_tasks, list(changed.task_types)) == (10, ["python", "http"])
    assert changed.metadata_json == b'{"$where":"x","a.b":[1]}'
    assert (await registry.update("w", metadata_json=b"{}")).metadata_json == b"{}"
    bad = {"hostname": "x", "max_concurrent_tasks": 0, "task_types": ["a.b"], "status": "gone", "metadata_json": b"[1]"}
    for field, value in bad.items():
        with pytest.raises(InvalidInput) as error:
            await registry.update("w", **{field: value})
        assert error.value.field == field.removesuffix("_json")
    with pytest.raises(NotFound):
        await registry.update("nobody", status="active")


async def test_deregistering_is_told_with_the_session_and_forgets_the_worker(registry: Registry) -> None:
    """A session that is not the current one deregisters nobody."""
    await registry.register("w")
    with pytest.raises(NotFound):
        await registry.deregister("w", "other")
    await registry.deregister("w", "s1")
    await registry.published("unregistered", "w")
    assert (await registry.beat("w")).unknown
    for call in (registry.get, registry.deregister):
        with pytest.raises(NotFound):
            await call("w")


async def test_lists_filter_sort_and_page(registry: Registry) -> None:
    """By status, task type and host; newest first unless asked otherwise."""
    for n, host in enumerate(["b", "a", "a"]):
        await registry.register(f"w{n}", hostname=host, task_types=["http", f"t{n}"])
        await asyncio.sleep(0.003)  # registration times are whole milliseconds
    await registry.update("w1", status="draining")

    async def ids(**query: object) -> list[str]:
        return [worker.id for worker in (await registry.listed(**query)).workers]

    assert await ids() == ["w2", "w1", "w0"]
    assert await ids(ascending=True) == ["w0", "w1", "w2"]
    assert await ids(sort="hostname", ascending=True) == ["w1", "w2", "w0"]
    assert await ids(status="draining") == ["w1"]
    assert await ids(task_type="t2") == ["w2"]
    assert await ids(hostname="a", offset=1) == ["w1"]
    page = await registry.listed(limit=1, offset=1)
    assert ([worker.id for worker in page.workers], page.total) == (["w1"], 3)
    await registry.beat("w0")
    assert (await ids(sort="last_heartbeat"))[0] == "w0"


@pytest.mark.parametrize(
    ("field", "query"),
    [("sort", {"sort": "$where"}), ("status", {"status": "x"}), ("limit", {"limit": 5000}), ("offset", {"offset": -1})],
)
async def test_bad_list_queries_name_the_field(registry: Registry, field: str, query: dict[str, Any]) -> None:
    """Nothing unknown reaches a store."""
    with pytest.raises(InvalidInput) as error:
        await registry.listed(**query)
    assert error.value.field == field


async def test_bad_registrations_and_heartbeats_name_the_field(registry: Registry) -> None:
    """Hostile ids, sessions, addresses and figures are refused."""
    cases: list[tuple[str, dict[str, Any]]] = [
        ("id", {"worker_id": "../x"}),
        ("id", {"worker_id": "a" * 65}),
        ("session", {"session": "a.b >"}),
        ("hostname", {"hostname": ""}),
        ("hostname", {"hostname": "a\nb"}),
        ("ip_address", {"ip_address": "999.1.1.1"}),
        ("port", {"port": 70_000}),
        ("task_types", {"task_types": []}),
        ("task_types", {"task_types": ["a b"]}),
        ("max_concurrent_tasks", {"max_concurrent_tasks": -1}),
        ("metadata", {"metadata_json": b"[" * 5000}),
        ("metadata", {"metadata_json": b'{"a": NaN}'}),
    ]
    for field, arguments in cases:
        with pytest.raises(InvalidInput) as error:
            await registry.register(**arguments)
        assert error.value.field == field, arguments
    for field, value in {"load_average": float("nan"), "cpu_usage": -1.0, "current_task_count": -1}.items():
        with pytest.raises(InvalidInput) as error:
            await registry.beat("w", **{field: value})
        assert error.value.field == field
    registry.interval_ms = 1
    with pytest.raises(InvalidInput) as error:
        await registry.register("w")
    assert error.value.field == "heartbeat_interval_ms"


async def test_ids_that_look_like_something_else_are_just_ids(registry: Registry) -> None:
    """Numbers, object ids and words of SQL."""
    for worker_id in ("123", "1e5", "507f1f77bcf86cd799439011", "null", "select"):
        await registry.register(worker_id)
        await registry.update(worker_id, max_concurrent_tasks=7)
        assert (await registry.get(worker_id)).max_concurrent_tasks == 7
        await registry.deregister(worker_id)
    assert (await registry.listed()).total == 0


async def test_a_deregistered_worker_leaves_nothing_behind_in_redis(registry: Registry, redis_url: str) -> None:
    """No key of it is left; the outbox is empty once NATS has its events."""
    await registry.register("w")
    for _ in range(5):
        await registry.beat("w")
    await registry.deregister("w")
    await registry.published("unregistered", "w")
    with redis.Redis.from_url(redis_url) as keys:

        async def clean() -> bool:
            return set(keys.keys()) <= {b"{registry}:stamp"}

        await registry.until(clean)
