"""Templates and redaction."""

import pytest
from scraper.executor import ExecutorError
from scraper.step_templates import Redactor, Scope, environment_secrets


def scope(**row):
    return Scope({"KEY": "hunter22"}.get, row=row, variables={"list": [1, 2]})


def test_values_are_filled_in_once_and_keep_their_type_when_alone():
    filled = scope(**{"关键词": "灯", "n": 3, "evil": "{{secret:KEY}}", "a.b": "dot"})
    assert filled.fill("{{row.n}}") == 3
    assert filled.fill("x{{ row.n }}-{{row.关键词}}") == "x3-灯"
    assert filled.fill("{{row.evil}}") == "{{secret:KEY}}"
    assert filled.fill({"a": ["{{vars.list}}", "{{row.a.b}}", 7]}) == {"a": [[1, 2], "dot", 7]}


@pytest.mark.parametrize("name", ["row.no", "vars.no", "secret:NO", "secret:", "secret:../x", "env.PATH", "row", "7*7"])
def test_what_is_unknown_is_an_error_that_names_it(name):
    with pytest.raises(ExecutorError, match="unknown template") as caught:
        scope().fill(f"a {{{{{name}}}}}")
    assert name in caught.value.message


def test_only_variables_with_the_prefix_are_secrets(monkeypatch):
    monkeypatch.setenv("TRAWL_SECRET_SHOP", "a")
    monkeypatch.setenv("MONGODB_URI", "mongodb://user:pw@host")
    secrets = environment_secrets()
    assert (secrets("SHOP"), secrets("MONGODB_URI")) == ("a", None)


def test_hidden_values_vanish_from_text_addresses_keys_and_values():
    redactor = Redactor()
    for value in ("pass word&1", "pass word&12", "ab"):
        redactor.hide(value)
    assert redactor.text("x pass word&12 y") == "x *** y"
    assert redactor.text("?p=pass%20word%261&q=pass+word%261") == "?p=***&q=***"
    assert redactor.json({"pass word&1": ["pass word&1", 5, None]}) == {"***": ["***", 5, None]}
    assert (redactor.text("ab"), redactor.text("cab")) == ("***", "cab"), "short ones only where they stand alone"


def test_a_filled_secret_is_hidden_from_then_on():
    filled = scope()
    assert filled.text("{{secret:KEY}}") == "hunter22"
    assert filled.redactor.text("it was hunter22") == "it was ***"


@pytest.mark.parametrize(
    ("value", "reveals"),
    [
        ({"value": "x {{secret:KEY}}"}, True),
        ({"value": "{{secret:UNKNOWN}}"}, True),
        ([{"url": "/?t={{row.token}}"}], True),
        ({"steps": ["typed hunter1234"]}, True),
        ({"value": "{{row.n}}", "count": 3, "none": None}, False),
        ({"value": "{{row.missing}}"}, False),
    ],
)
def test_a_step_that_would_bring_in_something_hidden_is_known_before(value, reveals):
    one = scope(token="hunter1234", n=3)
    one.hide_row_secrets([one.row])
    assert one.reveals(value) is reveals
