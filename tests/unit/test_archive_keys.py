"""Composed keys find what the filter finds, in the order of creation."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from scheduler.archive_keys import behind, composed, composed_keys

TIMES = ("created_ms", "started_ms", "completed_ms")
TEXTS = st.text("ab:1-", max_size=3)
DOCUMENTS = st.fixed_dictionaries(
    {
        "task_id": st.integers(1, 12), "status": st.sampled_from(["completed", "failed"]), "worker_id": TEXTS,
        "contract": TEXTS, "scope": TEXTS, **dict.fromkeys(TIMES, st.integers(0, 30)),
    }
)  # fmt: skip
SPANS = st.fixed_dictionaries({}, optional={"$gte": st.integers(0, 30), "$lt": st.integers(0, 31)})
FIELDS = ("task_id", "status", "worker_id", "contract", "scope")


def holds(document: dict[str, Any], query: dict[str, Any]) -> bool:
    """What MongoDB's equality, $gte, $gt and $lt mean."""
    return all(
        (value.get("$gte", document[field]) <= document[field] and (
            "$lt" not in value or document[field] < value["$lt"]) and (
            "$gt" not in value or document[field] > value["$gt"]))
        if isinstance(value, dict) else document[field] == value
        for field, value in query.items()
    )  # fmt: skip


@given(
    st.lists(DOCUMENTS, max_size=30),
    DOCUMENTS,
    st.sets(st.sampled_from(FIELDS)),
    st.sampled_from(TIMES),
    st.dictionaries(st.sampled_from(TIMES), SPANS, max_size=2),
)
def test_the_rewritten_query_finds_the_same_and_its_key_sorts_by_the_time(documents, like, fields, time, spans):
    stored = [
        document | {"run_id": number} | composed_keys(document, number) for number, document in enumerate(documents)
    ]
    query = {field: like[field] for field in fields} | spans
    wanted, order = composed(query, time)
    expected = [document for document in stored if holds(document, query)]
    found = [document for document in stored if holds(document, wanted)]
    assert found == expected
    if order:
        in_time = sorted(found, key=lambda one: (one[time], one["run_id"]))
        assert sorted(found, key=lambda one: one[order]) == in_time
    else:
        assert time != "created_ms"
        assert "scope" in fields


def test_only_a_task_has_a_key_in_the_order_of_ids() -> None:
    assert composed({"status": "failed"}, "_id") == ({"status": "failed"}, "")
    assert composed({"task_id": 7}, "_id") == ({"by_task_id": {"$gte": "7 ", "$lt": "7!"}}, "by_task_id")
    assert composed({"task_id": 7, "status": "failed"}, "_id")[1] == ""


@given(st.lists(DOCUMENTS, max_size=30), DOCUMENTS, st.sampled_from(TIMES), st.integers(0, 30), st.booleans())
def test_what_is_behind_a_place_comes_after_it_in_the_order(documents, like, time, value, ascending):
    stored = [
        document | {"run_id": number} | composed_keys(document, number) for number, document in enumerate(documents)
    ]
    query = {"task_id": like["task_id"], time: {"$gte": 3, "$lt": 25}}
    wanted = composed(query, time)[0] | (behind(query, time, value, 12, ascending=ascending) or {})
    place = (value, 12)
    expected = [
        document for document in stored
        if holds(document, query) and ((document[time], document["run_id"]) > place) is ascending
        and (document[time], document["run_id"]) != place
    ]  # fmt: skip
    assert [document for document in stored if holds(document, wanted)] == expected
