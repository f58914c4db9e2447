"""When schedules fire, and what becomes of what they missed."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from chassis.errors import InvalidInput
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduler.misfires import Policy, make_up, policy_of
from scheduler.schedule import FireTime, between, next_after, parse, parse_new
from scheduler.schedule_book import ScheduleBook
from scheduler.task import Task, changed, check

ZONES = (
    "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "America/Havana", "Antarctica/Troll", "Asia/Shanghai",
)  # fmt: skip


def ms(text: str) -> int:
    """Epoch ms of an ISO time; UTC without a zone."""
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def local(fire: FireTime, zone: str = "UTC") -> str:
    """The wall time of a fire time."""
    return datetime.fromtimestamp(fire.at_ms / 1000, ZoneInfo(zone)).strftime("%m-%d %H:%M:%S%z")


def fires(text: str, after: str, count: int, zone: str = "UTC") -> list[str]:
    """The first fire times after a moment, as wall times."""
    return [local(fire, zone) for fire in islice(parse(text).after(ms(after)), count)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 2 * * *", "05-02 02:00:00+0000"),
        ("@hourly", "05-01 13:00:00+0000"),
        ("@weekly", "05-03 00:00:00+0000"),
        ("@yearly", "01-01 00:00:00+0000"),
        ("*/10 * * * * *", "05-01 12:00:10+0000"),
        ("15 30 4 * * MON", "05-04 04:30:15+0000"),
        ("CRON_TZ=Asia/Shanghai 0 9 * * *", "05-02 01:00:00+0000"),
        ("CRON_TZ=Asia/Shanghai @daily", "05-01 16:00:00+0000"),
        ("0 0 L * *", "05-31 00:00:00+0000"),
        ("0 0 29 2 *", "02-29 00:00:00+0000"),
    ],
)
def test_each_form_of_a_schedule_is_read(text: str, expected: str) -> None:
    assert fires(text, "2026-05-01T12:00:00", 1) == [expected]


@pytest.mark.parametrize(
    "text",
    ["", "x", "* * * *", "* * * * * * *", "60 * * * *", "* 24 * * *", "@reboot", "@every 5m", "0 0 30 2 *",
     "0 0 31 4,6 *",
     "CRON_TZ=Nowhere * * * * *", "CRON_TZ=../../etc/passwd * * * * *", "CRON_TZ=/etc/localtime * * * * *",
     "TZ=UTC * * * * *", "CRON_TZ=UTC", "*/0 * * * *", "5-1 * * * *", "L/2 * * * *", "0 0 * * 9", "\x00 * * * *",
     "* * * * *" * 100],
)  # fmt: skip
def test_anything_else_is_refused_with_the_field(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse(text)
    assert refused.value.field == "schedule"


@settings(deadline=None)
@given(st.text(alphabet="0123456789*/,-#LW @ADEHILMNORSUY\t_=", max_size=40))
def test_no_text_breaks_the_reader(text: str) -> None:
    try:
        schedule = parse(text)
    except InvalidInput:
        return
    assert next(schedule.after(ms("2026-01-01")), None) is not None


def test_a_gap_fires_once_when_it_ends() -> None:
    zone = "America/New_York"
    expected = ["03-07 02:30:00-0500", "03-08 03:00:00-0400", "03-09 02:30:00-0400"]
    assert fires(f"CRON_TZ={zone} 30 2 * * *", "2026-03-07T00:00:00-05:00", 3, zone) == expected
    several = fires(f"CRON_TZ={zone} */15 2 * * *", "2026-03-08T00:00:00-05:00", 2, zone)
    assert several == ["03-08 03:00:00-0400", "03-09 02:00:00-0400"]


def test_an_overlap_fires_once_in_its_first_pass() -> None:
    zone = "America/New_York"
    expected = ["10-31 01:30:00-0400", "11-01 01:30:00-0400", "11-02 01:30:00-0500"]
    assert fires(f"CRON_TZ={zone} 30 1 * * *", "2026-10-31T00:00:00-04:00", 3, zone) == expected


@pytest.mark.parametrize("text", ["0 * * * *", "*/20 * * * *", "0 */5 * * * *"])
@pytest.mark.parametrize("day", ["2026-03-08", "2026-11-01"])
def test_a_schedule_of_every_hour_keeps_its_rhythm(text: str, day: str) -> None:
    times = [fire.at_ms for fire in islice(parse(f"CRON_TZ=America/New_York {text}").after(ms(day)), 400)]
    assert len({later - earlier for earlier, later in pairwise(times)}) == 1


@settings(deadline=None)
@given(
    zone=st.sampled_from(ZONES), hour=st.integers(0, 23), minute=st.integers(0, 59), start=st.integers(0, 730),
    second=st.integers(0, 86_399),
)  # fmt: skip
def test_a_daily_schedule_fires_once_on_every_day_of_every_zone(
    zone: str, hour: int, minute: int, start: int, second: int
) -> None:
    begin = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=start, seconds=second)
    text = f"CRON_TZ={zone} {minute} {hour} * * *"
    found = list(islice(parse(text).after(int(begin.timestamp() * 1000)), 200))
    days = [datetime.fromtimestamp(fire.at_ms / 1000, ZoneInfo(zone)).date() for fire in found]
    assert days == [days[0] + timedelta(days=n) for n in range(200)]
    for fire in found:
        wall = datetime.fromtimestamp(fire.at_ms / 1000, ZoneInfo(zone))
        assert (wall.hour, wall.minute) == (hour, minute) or "does not exist" in fire.note


@settings(deadline=None)
@given(
    text=st.sampled_from(["*/7 * * * *", "0 1,2,3 * * *", "30 * * * *", "15 */3 * * *", "0 0 * * MON", "9 59 1 * * *"]),
    zone=st.sampled_from(ZONES), start=st.integers(ms("2026-03-01"), ms("2026-04-10")), skip=st.integers(0, 30),
)  # fmt: skip
def test_fire_times_ascend_and_do_not_depend_on_where_one_starts(text: str, zone: str, start: int, skip: int) -> None:
    schedule = parse(f"CRON_TZ={zone} {text}")
    times = [fire.at_ms for fire in islice(schedule.after(start), 60)]
    assert all(earlier < later for earlier, later in pairwise([start, *times]))
    assert [fire.at_ms for fire in islice(schedule.after(times[skip]), 59 - skip)] == times[skip + 1 :]


@settings(deadline=None)
@given(
    text=st.sampled_from(["* * * * * *", "*/5 * * * *", "0 3 * * *", "* * * * * MON", "0 0 1 * *"]),
    length=st.integers(0, 30 * 86_400), limit=st.integers(1, 50),
)  # fmt: skip
def test_the_newest_fire_times_of_a_stretch_are_found_and_older_ones_told(text: str, length: int, limit: int) -> None:
    start = ms("2026-05-01T00:00:00")
    until = start + min(length, 4 * 86_400 if text.startswith("* ") else length) * 1000
    found, older = between(text, start, until, limit)
    assert len(found) <= limit
    if found:
        assert next_after(text, found[-1].at_ms).at_ms > until
        before = next_after(text, start)
        assert older == (before.at_ms < found[0].at_ms)
    else:
        assert next_after(text, start).at_ms > until


def missed(*minutes: int) -> list[FireTime]:
    """Fire times so many minutes ago, oldest first."""
    return [FireTime(1_000_000_000 - minute * 60_000) for minute in sorted(minutes, reverse=True)]


@pytest.mark.parametrize(
    ("policy", "started"),
    [
        (Policy("skip"), []),
        (Policy("once"), [1]),
        (Policy("all"), [9, 5, 3, 1]),
        (Policy("all", cap=2), [3, 1]),
        (Policy("all", window_seconds=240), [3, 1]),
        (Policy("once", window_seconds=30), []),
    ],
)
def test_a_policy_makes_up_for_what_it_promises(policy: Policy, started: list[int]) -> None:
    decisions = make_up(missed(9, 5, 3, 1), policy, 1_000_000_000)
    assert [d.fire for d in decisions] == missed(9, 5, 3, 1)
    assert [(1_000_000_000 - d.fire.at_ms) // 60_000 for d in decisions if d.start] == started
    assert all(d.reason for d in decisions)


@pytest.mark.parametrize(
    "metadata",
    [{"misfire": "never"}, {"misfire": 1}, {"overlap": ["skip"]}, {"misfire_window_seconds": 0},
     {"misfire_window_seconds": True}, {"misfire_cap": 1_001}, {"misfire_cap": "5"}],
)  # fmt: skip
def test_a_bad_policy_is_refused_with_the_field(metadata: dict[str, object]) -> None:
    with pytest.raises(InvalidInput) as refused:
        policy_of(metadata)
    assert refused.value.field == f"metadata.{next(iter(metadata))}"


@pytest.mark.parametrize(
    ("metadata", "field", "meant"),
    [({"overlp": "skip"}, "metadata.overlp", "overlap"), ({"parms": {}}, "metadata.parms", "params"),
     ({"Misfire": "once"}, "metadata.Misfire", "misfire"),
     ({"retry": {"inital_seconds": 5}}, "metadata.retry.inital_seconds", "initial_seconds")],
)  # fmt: skip
def test_a_slip_in_metadata_is_refused_with_what_was_meant(metadata: dict[str, object], field: str, meant: str) -> None:
    with pytest.raises(InvalidInput, match=f"did you mean '{meant}'") as refused:
        check(task(metadata=metadata))
    assert refused.value.field == field


def test_what_an_owner_keeps_in_metadata_is_its_own() -> None:
    own = {"team": "lamps", "parameters_of": [1], "overlap": "skip", "missing": 1, "retries": 2, "p": {}}
    assert check(task(metadata=own)).metadata == own


def task(schedule: str = "* * * * *", **fields: object) -> Task:
    """A task that is due at every full minute."""
    return Task(**{"id": 1, "name": "t", "task_type": "noop", "executor": "noop", "schedule": schedule, **fields})


def test_a_changed_or_resumed_schedule_starts_from_now() -> None:
    old = task(schedule_since_ms=5)
    assert changed(old, {"priority": "high"}, 100).schedule_since_ms == 5
    assert changed(old, {"schedule": "0 * * * *"}, 100).schedule_since_ms == 100
    paused = changed(old, {"status": "paused"}, 100)
    assert (paused.schedule_since_ms, paused.next_run_ms(100)) == (5, 0)
    assert changed(paused, {"status": "active"}, 200).schedule_since_ms == 200


def test_a_task_with_a_bad_schedule_is_refused() -> None:
    with pytest.raises(InvalidInput):
        check(task("61 * * * *"))


def test_the_book_tells_what_is_due_until_it_is_handled() -> None:
    book, one = ScheduleBook(), task()
    book.put(one, 0)
    assert book.next_ms() == 60_000
    assert book.due(59_999) == []
    assert book.due(60_000) == book.due(60_000) == [one]
    book.handled(one, 60_000)
    assert (book.due(60_000), book.next_ms()) == ([], 120_000)


def test_the_book_ignores_an_older_copy_and_forgets_what_has_no_schedule() -> None:
    book = ScheduleBook()
    new = task("0 * * * *", version=3, dependencies=("a", "7"))
    book.put(new, 0)
    book.put(task(version=2), 0)
    assert (book.get(1), book.next_ms()) == (new, 3_600_000)
    assert book.dependents(7, "b") == book.dependents(8, "a") == {1}
    book.put(task("", version=4), 0)
    assert (book.get(1), book.next_ms(), book.dependents(7, "a")) == (None, None, set())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0 9 15W * *", "'15W' as its day of the month: W is known as LW only"),
        ("0 9 ? * MON", "? is Quartz's, write *"),
        ("0 24 * * *", "'24' as its hour: hours go from 0 to 23"),
        ("0 0 * * 8", "'8' as its day of the week: days of the week go from 0 to 7"),
        ("0 0 * FOO *", "'FOO' as its month: months go from 1 to 12"),
        ("61 0 0 * * *", "'61' as its second"),
        ("1-70 * * * *", "'1-70' as its minute"),
        ("0 0 9 * * MON 2027", "not seven: years are not known"),
        ("* * *", "not 3"),
        ("0 0 30 2 *", "never fires"),
        ("0 0 31 4,6,9,11 *", "never fires"),
        ("*/99 * * * *", "'*/99' as its minute: a step of 99 is beyond the field"),
        ("0 */2,*/30 * * *", "a step of 30 is beyond the field"),
        ("@every 5m", "write */5 * * * *"),
        ("@every 2 hours", "write 0 */2 * * *"),
        ("@every 30s", "write */30 * * * * *"),
        ("@every 7m", "has no @every"),
        ("@sometimes", "there are @yearly"),
    ],
)
def test_a_refusal_names_the_field_and_what_is_allowed(text: str, says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_new(text)
    assert says in refused.value.message
    assert refused.value.field == "schedule"


def test_a_schedule_that_was_kept_with_a_step_too_wide_goes_on_firing() -> None:
    assert fires("*/99 * * * *", "2026-05-01T00:10", 1) == ["05-01 01:00:00+0000"]
