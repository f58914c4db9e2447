"""Templates of workflows: what they may do, and that nothing else gets through."""

import time
from typing import Any

import pytest
from chassis.errors import InvalidInput
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduler.workflow import Step
from scheduler.workflow_params import parameters_of
from scheduler.workflow_template import MAX_RENDERED_BYTES, Renderer, TemplateFailed, parse_text, templates_in

DATA = {
    "params": {"keyword": "lamp", "limit": 3, "a-b": [1, 2], "none": None, "items": "mine", "keys": 1},
    "steps": {
        "list": {
            "result": {"items": [{"url": "u0"}, {"url": "u1"}], "total": 2},
            "completed": 1,
            "status": "completed",
        },
        "list-pages": {"result": [1, 2, 3]},
    },
    "item": {"url": "x", "关键词": "灯"},
    "index": 4,
}


def fill(value: Any) -> Any:
    """`value` filled in from DATA."""
    return Renderer(DATA).render(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{params.keyword}}", "lamp"),
        (" {{ params.limit }} ", 3),
        ("{{params.none}}", None),
        ("{{steps.list.result.items}}", [{"url": "u0"}, {"url": "u1"}]),
        ("{{params.items}}", "mine"),
        ("{{params.keys}}", 1),
        ("{{steps.list.result.items[1].url}}", "u1"),
        ("{{steps.list.result.items.0.url}}", "u0"),
        ("{{steps.list-pages.result}}", [1, 2, 3]),
        ("{{steps['list-pages'].result[0]}}", 1),
        ("{{params.a-b}}", [1, 2]),
        ("{{item.关键词}}", "灯"),
        ("{{index}}", 4),
        ("{{index > 3 and not params.none}}", True),
        ("{{params.keyword == 'lamp' or params.gone == 1}}", True),
        ("{{params.none == null}}", True),
        ("{{params.gone == null}}", True),
        ("{{params.keyword in ['lamp', 'desk']}}", True),
        ("{{ -1 < index <= 4}}", True),
        ("q={{params.keyword}}&n={{params.limit}}&x={{params.none}}", "q=lamp&n=3&x="),
        ("{{steps.list.result.items}}!", '[{"url":"u0"},{"url":"u1"}]!'),
        ("""{{"{{row.key}}"}}""", "{{row.key}}"),
        ("no template } here { at all", "no template } here { at all"),
    ],
)
def test_a_template_gives_data_and_alone_it_keeps_the_type(text: str, value: Any) -> None:
    filled = fill(text)
    assert (filled, type(filled)) == (value, type(value))


@pytest.mark.parametrize(
    "expression",
    [
        "1 + 1", "params.limit * 9", "'a' * 9999999", "9 ** 9 ** 9", "params.a ~ 'b'", "params|list", "params|length",
        "range(10)", "params.keyword.upper()", "params.get('x')", "cycler()", "x if params.limit else 1", "[1][0:1]",
        "{}", "self", "config", "loop", "namespace", "_", "__builtins__", "params is defined", "steps", "steps[index]",
        "steps[params.keyword].result", "steps.list.secret", "", "(", "1 1", "not", "params.", "a b", "%", "\x00",
        "(" * 900 + "1" + ")" * 90, "not " * 200 + "1", "1" + "==1" * 250, "params" + ".a" * 450, "x" * 2_000,
    ],
)  # fmt: skip
def test_all_but_data_access_comparison_and_boolean_operators_is_refused(expression: str) -> None:
    with pytest.raises(InvalidInput):
        parse_text("{{" + expression + "}}")


@pytest.mark.parametrize("text", ["{{params.x", "{{params.x}", "{{ {{params.x}} }}", "a {{'}}", "{{params.x}} {{"])
def test_a_template_that_is_not_closed_is_refused_and_not_taken_for_text(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_text(text)


@pytest.mark.parametrize(
    "path",
    [
        "params.__class__", "params.items.__self__", "item.url.__class__.__mro__", "().x", "params['__class__']",
        "index.real", "'a'.join", "params.keyword.format",
    ],
)  # fmt: skip
def test_nothing_has_attributes(path: str) -> None:
    """Members are keys of objects and places of lists, whatever Python objects have besides."""
    with pytest.raises(TemplateFailed, match="there is no"):
        fill("{{" + path + "}}")


def test_what_is_missing_is_named_and_in_a_condition_it_is_false() -> None:
    with pytest.raises(TemplateFailed, match=r"there is no detail.url"):
        fill({"deep": ["{{item.detail.url}}"]})
    (template,) = templates_in("{{params.gone}}")
    assert Renderer(DATA).holds(template.expressions[0]) is False
    with pytest.raises(TemplateFailed):
        fill("{{params.keyword > 3}}")


def test_the_output_of_a_small_template_is_bounded() -> None:
    big = {"params": {"text": "x" * (MAX_RENDERED_BYTES // 100)}}
    with pytest.raises(TemplateFailed, match="more than"):
        Renderer(big).render(["{{params.text}}"] * 200)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="{}()[]'\" .,|~+-*/%<>=!_0aitnorpmsxé\n\\#", max_size=120))
def test_any_text_is_read_quickly_and_fails_only_as_it_should(text: str) -> None:
    started = time.process_time()
    try:
        if parse_text(text) is None:
            assert "{{" not in text
        else:
            Renderer(DATA).text(text)
    except (InvalidInput, TemplateFailed):
        pass
    assert time.process_time() - started < 5


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(JSON)
def test_a_value_that_looks_like_a_template_is_never_filled_in_again(value: Any) -> None:
    """Filling in happens once: data is data."""
    assert Renderer({"params": {"v": value, "t": "{{params.v}}"}}).render(["{{params.v}}", "{{params.t}}"]) == [
        value, "{{params.v}}",
    ]  # fmt: skip


def test_in_commands_values_stay_out_of_the_text() -> None:
    """The executor fills them in, since it knows how to quote."""
    step = Step(
        id="s", task_type="shell",
        params={"command": "curl '{{item.url}}' > {{params.keyword}}.html", "arguments": ["--x={{index}}", "plain"],
                "env": "{{params.limit}}"},
    )  # fmt: skip
    assert parameters_of(step, DATA) == {
        "command": "curl '{{step_value_0}}' > {{step_value_1}}.html",
        "arguments": ["{{step_value_2}}", "plain"],
        "env": 3,
        "step_value_0": "x",
        "step_value_1": "lamp",
        "step_value_2": "--x=4",
    }
