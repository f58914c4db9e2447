"""Composed keys find what the filter finds, in the order of creation."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from scheduler.archive_keys import composed, composed_keys

TEXTS = st.text("ab:1-", max_size=3)
DOCUMENTS = st.fixed_dictionaries(
    {
        "task_id": st.integers(1, 12), "status": st.sampled_from(["completed", "failed"]), "worker_id": TEXTS,
        "contract": TEXTS, "scope": TEXTS, "created_ms": st.integers(0, 30),
    }
)  # fmt: skip
FIELDS = ("task_id", "status", "worker_id", "contract", "scope")


def holds(document: dict[str, Any], query: dict[str, Any]) -> bool:
    """What MongoDB's equality, $gte and $lt mean."""
    return all(
        (value.get("$gte", document[field]) <= document[field] and (
            "$lt" not in value or document[field] < value["$lt"]))
        if isinstance(value, dict) else document[field] == value
        for field, value in query.items()
    )  # fmt: skip


@given(
    st.lists(DOCUMENTS, max_size=30),
    DOCUMENTS,
    st.sets(st.sampled_from(FIELDS)),
    st.fixed_dictionaries({}, optional={"$gte": st.integers(0, 30), "$lt": st.integers(0, 31)}),
)
def test_the_rewritten_query_finds_the_same_and_its_key_sorts_by_creation(documents, like, fields, created):
    stored = [
        document | {"run_id": number} | composed_keys(document | {"run_id": number})
        for number, document in enumerate(documents)
    ]
    query = {field: like[field] for field in fields} | ({"created_ms": created} if created else {})
    wanted, order = composed(query)
    expected = [document for document in stored if holds(document, query)]
    found = [document for document in stored if holds(document, wanted)]
    assert found == expected
    by_creation = sorted(found, key=lambda one: (one["created_ms"], one["run_id"]))
    assert sorted(found, key=lambda one: one[order]) == by_creation
