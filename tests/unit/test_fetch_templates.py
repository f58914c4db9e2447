"""Templates are data access, nothing more."""

import pytest
from scraper.executor import InvalidParameters
from scraper.templates import fill

PARAMETERS = {"a": "x y", "n": 1.5, "t": True, "none": None, "o": {"k": ["v", {"z": 2}]}, "名字": "灯"}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{{a}}", "x y"),
        ("{{ a }}-{{n}}", "x y-1.5"),
        ("{{t}}{{none}}", "true"),
        ("{{o.k.0}}", "v"),
        ("{{o.k.1.z}}", "2"),
        ("{{o}}", '{"k":["v",{"z":2}]}'),
        ("{{名字}}", "灯"),
        ("{{.Names}} {{1}} {{ a b }} {{a.__class__()}}", "{{.Names}} {{1}} {{ a b }} {{a.__class__()}}"),
    ],
)
def test_shell_templates_fill(text: str, filled: str) -> None:
    assert fill(text, PARAMETERS, field="command") == filled


@pytest.mark.parametrize("name", ["b", "a.upper", "a.__class__", "o.k.9", "o.k.-1", "n.real"])
def test_shell_templates_name_what_is_unknown(name: str) -> None:
    with pytest.raises(InvalidParameters) as caught:
        fill(f"{{{{{name}}}}}", PARAMETERS, field="arguments")
    assert f"{{{{{name}}}}}" in caught.value.message


def test_shell_template_values_are_not_filled_again() -> None:
    assert fill("{{a}}", {"a": "{{b}}", "b": "no"}, field="command") == "{{b}}"
