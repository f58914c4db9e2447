"""A workflow finishes whatever is killed, and the effect of each step and item is there once.

`FAN_OUT_ITEMS=1000` makes the fan-out larger.
"""

import os
import random
import time
from collections import defaultdict
from collections.abc import Iterator

import pytest
from workflow_kit import Management, running_management, runs_of, statuses, steps_of

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]
# The file that a command leaves says which item it was for, and which run it was of.
EFFECT = "r=${{TRAWL_RUN#*:}}; touch {}/$PARAM_AT-${{r%%:*}}; sleep 0.3"
VICTIMS = ("scheduler", "second scheduler", "scraper", "registry", "gateway", "mongodb", "nats", "redis")
ITEMS, KILLS = int(os.environ.get("FAN_OUT_ITEMS", "100")), 10
END_SECONDS = 240


@pytest.fixture(scope="module")
def management(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Management]:
    """A system with two schedulers, and leases short enough to watch them run out."""
    with running_management(tmp_path_factory.mktemp("cell"), LEASE_SECONDS="6", HEARTBEAT_SECONDS="1") as running:
        running.cell.add_scheduler("second scheduler").start()
        running.cell.create_task("effect", "shell", command=EFFECT.format(running.effects), retry_count=30)
        yield running


def create_diamond(management: Management, name: str) -> None:
    """a, then a fan-out beside a single step, then d, whose effect names how many items there were."""
    management.create(
        name,
        {"id": "a", "task": "effect", "params": {"at": f"{name}.a"}},
        {"id": "fan", "task": "effect", "dependsOn": ["a"], "forEach": "{{params.items}}", "maxParallel": 16,
         "params": {"at": name + ".fan{{item}}"}},
        {"id": "c", "task": "effect", "dependsOn": ["a"], "params": {"at": f"{name}.c"}},
        {"id": "d", "task": "effect", "dependsOn": ["fan", "c"], "params": {"at": name + ".d{{steps.fan.completed}}"}},
    )  # fmt: skip


def made(management: Management, name: str) -> dict[str, list[str]]:
    """The runs that left an effect, for each step and item of that workflow."""
    found: dict[str, list[str]] = defaultdict(list)
    for effect in management.made():
        workflow, _, rest = effect.partition(".")
        place, _, run_id = rest.rpartition("-")
        if workflow == name:
            found[place].append(run_id)
    return found


def await_effects(management: Management, name: str, count: int, said: str) -> None:
    """Return when there are so many."""
    until = time.monotonic() + END_SECONDS
    while (there := len(made(management, name))) < count:
        assert time.monotonic() < until, (said, there)
        time.sleep(0.01)


def check_finished_once(management: Management, name: str, execution_id: str, items: int, said: str) -> None:
    """Completed, with one run and its effect for each step and item."""
    ended = management.await_end(execution_id, END_SECONDS)
    assert ended["status"] == "completed", (said, ended)
    assert set(statuses(ended).values()) == {"completed"}, said
    effects = made(management, name)
    assert set(effects) == {"a", "c", f"d{items}", *(f"fan{n}" for n in range(items))}, said
    assert {place: runs for place, runs in effects.items() if len(runs) != 1} == {}, said
    fan = steps_of(ended)["fan"]
    assert [effects[f"fan{n}"] for n in range(items)] == [[str(run_id)] for run_id in runs_of(fan)], said


def test_a_diamond_with_a_fan_out_survives_ten_kills_at_random_points(management: Management) -> None:
    """Each victim dies at least once, at a moment that the number of effects so far decides."""
    seed = random.randrange(10**9)
    chosen = random.Random(seed)
    victims = [*VICTIMS, *chosen.choices(VICTIMS, k=KILLS - len(VICTIMS))]
    chosen.shuffle(victims)
    moments = sorted(chosen.sample(range(ITEMS), k=KILLS))
    said = f"seed {seed}: {list(zip(moments, victims, strict=True))}"
    create_diamond(management, "killed")
    execution_id = management.execute("killed", items=list(range(ITEMS)))
    for moment, victim in zip(moments, victims, strict=True):
        await_effects(management, "killed", moment, said)
        # It comes back while the others go on: nobody waits for it, and the next one may die meanwhile.
        management.cell.programs[victim].kill()
        management.cell.programs[victim].start(wait=False)
    check_finished_once(management, "killed", execution_id, ITEMS, said)


def test_an_execution_goes_on_after_everything_was_killed_at_once(management: Management) -> None:
    create_diamond(management, "all")
    execution_id = management.execute("all", items=list(range(30)))
    await_effects(management, "all", 8, "")
    for program in management.cell.programs.values():
        program.kill()
    management.cell.start(*management.cell.programs)
    check_finished_once(management, "all", execution_id, 30, "")
