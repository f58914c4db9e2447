"""What a template may hold, how much of it there may be, and how much work it may make."""

import time
from typing import Any

import pytest
from chassis.errors import InvalidInput
from scheduler.workflow import MAX_TEMPLATES, Step, Workflow, ancestors, check
from scheduler.workflow_expression import parse_expression
from scheduler.workflow_template import MAX_COMPARED_BYTES, Renderer, TemplateFailed, takes_long

DATA: dict[str, Any] = {"params": {"l": [1, 2], "d": {"a": 1}, "big": "x" * 1_000_000}, "steps": {}}
BEYOND = [
    "36893488147419103232", "-9223372036854775809", "0x1FFFFFFFFFFFFFFFF", "1_000_000_000_000_000_000_000", "9" * 800,
    "[0, 36893488147419103232]", "[[[-36893488147419103232]]]", "(1, 36893488147419103232)", "3e999", "-3e999",
    "[2e308]", "params.l[3e999]", "params.l == 3e999", "not 3e999", "params[[36893488147419103232]]",
    r"'\ud800'", r"'a\udfff'", r"['\ud83d', 1]", r"params['\udc00']", r"steps.a['\ud800']", r"params.l in '\ud801'",
    "-'x'", "-true", "(" * 65 + "1" + ")" * 65, "[" * 42 + "1" + "]" * 42,
]  # fmt: skip


@pytest.mark.parametrize("expression", BEYOND)
def test_what_no_encoder_carries_is_refused_when_it_is_read(expression: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_expression(expression)
    refused.value.message.encode()


@pytest.mark.parametrize("field", ["params", "when", "forEach"])
def test_a_saved_definition_names_the_step_and_the_field(field: str) -> None:
    text = "{{[36893488147419103232]}}"
    fields = {"params": {"params": {"x": [text]}}, "when": {"when": text}, "forEach": {"for_each": text}}[field]
    with pytest.raises(InvalidInput) as refused:
        check(Workflow("w", (Step("first", task="t"), Step("bad", task="t", **fields))))
    assert (refused.value.field, refused.value.details["step"]) == (f"steps[1].{field}", "bad")


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("18446744073709551615", 2**64 - 1), ("-9223372036854775808", -(2**63)), ("1.7e308", 1.7e308),
        ("1e-999", 0.0), (r"'a\x00b'", "a\x00b"), ("(1, 2)", [1, 2]), ("[1, (2, 3)]", [1, [2, 3]]),
        ("1 < 2 < 3", True), ("1 < 2 > 3", False), ("params.l and 0 or 'x'", "x"), ("not params.gone", True),
        ("2 in params.l and 3 not in params.l", True), ("params.l[-1]", 2), ("null", None), ("params['d']['a']", 1),
    ],
)  # fmt: skip
def test_what_every_encoder_carries_is_taken(expression: str, value: Any) -> None:
    worked_out = Renderer(DATA).value(parse_expression(expression))
    assert (worked_out, type(worked_out)) == (value, type(value))


@pytest.mark.parametrize(
    "expression",
    ["params.l[99999999999999999999]", "[params.gone]", "[1, item]", "params.l in params.d", "1 in 5", "'a' < 1",
     "params.gone > 1", "params.d.a.b.c", "params.d < params.d"],
)  # fmt: skip
def test_what_does_not_fit_the_data_fails_and_says_why(expression: str) -> None:
    with pytest.raises(TemplateFailed, match=r"\{\{"):
        Renderer(DATA).value(parse_expression(expression))


def test_comparisons_look_at_a_bounded_amount_of_data() -> None:
    compare = "{{params.big == params.big}}"
    assert Renderer(DATA).render([compare]) == [True]
    with pytest.raises(TemplateFailed, match="compare more than"):
        Renderer(DATA).render([compare] * (MAX_COMPARED_BYTES // 2_000_000 + 1))


def test_a_definition_has_a_bounded_number_of_templates() -> None:
    def definition(count: int) -> Workflow:
        return Workflow("w", (Step("a", task="t", params={"x": ["{{params.a}} {{params.b}}"] * (count // 2)}),))

    check(definition(MAX_TEMPLATES))
    with pytest.raises(InvalidInput, match="at most"):
        check(definition(MAX_TEMPLATES + 2))


def test_only_what_is_short_is_read_in_the_loop() -> None:
    few, many = {"a": "{{params.a}}", "b": "x" * 100_000}, {"a": ["{{params.a}}" * 50] * 20}
    assert [takes_long(few), takes_long(many), takes_long(few, 10_000)] == [False, True, True]


def test_many_dependencies_between_many_steps_are_counted_once() -> None:
    """All steps before each: work that grows with the edges, not with the paths."""
    steps = tuple(Step(f"s{n}", task="t", depends_on=tuple(f"s{m}" for m in range(n))) for n in range(200))
    began = time.process_time()
    above = ancestors(Workflow("w", steps))
    assert above["s199"] == frozenset(f"s{n}" for n in range(199))
    assert above["s0"] == frozenset()
    assert time.process_time() - began < 20
