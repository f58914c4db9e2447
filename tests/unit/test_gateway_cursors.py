"""A cursor fits the question that it was made for, for a day, and nobody can make one up."""

import base64

import pytest
from gateway.cursors import KEPT_SECONDS, MAX_CHARACTERS, Cursors, question_of
from gateway.failures import UnfitCursor
from hypothesis import given
from hypothesis import strategies as st
from trawl.scheduler.v1 import runs_pb2

NOW = 1_800_000_000.0
CURSORS = Cursors(b"a secret of thirty-two characters")
PLACE = "1800000000000.123456789012345.1800000000000000"
CURSOR = CURSORS.seal(b"runs", PLACE, NOW) or ""


def place(text: str, question: bytes = b"runs", now: float = NOW, cursors: Cursors = CURSORS) -> str:
    return cursors.open(question, {"cursor": text}, now)


def test_it_opens_for_its_question_on_every_replica_with_the_secret() -> None:
    assert place(CURSOR) == PLACE
    assert place(CURSOR, cursors=Cursors(b"a secret of thirty-two characters")) == PLACE
    assert len(CURSORS.seal(b"runs", "x" * 100, NOW) or "") <= MAX_CHARACTERS


def test_without_one_a_list_begins_and_at_the_end_there_is_none() -> None:
    assert CURSORS.open(b"runs", {}, NOW) == place("") == ""
    assert CURSORS.seal(b"runs", "", NOW) is None


@pytest.mark.parametrize("index", range(len(CURSOR)))
def test_whatever_character_is_changed_it_is_refused(index: int) -> None:
    """Also those whose lowest bits say nothing."""
    for other in "AB_-7":
        if CURSOR[index] != other:
            with pytest.raises(UnfitCursor):
                place(CURSOR[:index] + other + CURSOR[index + 1 :])


def test_it_is_refused_elsewhere_and_with_another_secret_and_after_a_day() -> None:
    for wrong in (
        lambda: place(CURSOR, b"tasks"),
        lambda: place(CURSOR, cursors=Cursors(b"another secret")),
        lambda: place(CURSOR, now=NOW + KEPT_SECONDS + 1),
    ):
        with pytest.raises(UnfitCursor) as raised:
            wrong()
        assert raised.value.field == "cursor"
    assert place(CURSOR, now=NOW + KEPT_SECONDS - 1) == PLACE


@given(st.one_of(st.text(min_size=1), st.binary(min_size=1).map(lambda raw: base64.urlsafe_b64encode(raw).decode())))
def test_any_text_is_refused_and_nothing_worse(text: str) -> None:
    with pytest.raises(UnfitCursor):
        place(text)


def test_the_question_is_all_of_the_request_but_the_part_that_is_wanted() -> None:
    plain = runs_pb2.ListRunsRequest(task_id=7, sort="id", offset=40, limit=20)
    other = runs_pb2.ListRunsRequest(task_id=7, sort="id", after="1.2.3", limit=1_000)
    assert question_of(plain) == question_of(other)
    for name, value in (("task_id", 8), ("sort", "created_at"), ("ascending", True), ("worker_id", "w")):
        changed = runs_pb2.ListRunsRequest()
        changed.CopyFrom(plain)
        setattr(changed, name, value)
        assert question_of(changed) != question_of(plain)
