"""Parameters on their way to a command."""

from pathlib import Path
from typing import Any

import pytest
from executor_kit import context_of
from scraper.command_environment import MAX_VARIABLE_BYTES, command_environment
from scraper.executor import InvalidParameters


@pytest.mark.parametrize(
    ("parameters", "variables", "named"),
    [
        ({"a-b": 1, "c": "x y"}, {"PARAM_A_B": "1", "PARAM_C": "x y"}, []),
        ({"HOME": 1, "home": 2, "n": 3}, {"PARAM_N": "3"}, ["'HOME', 'home'"]),
        ({"é": 1, "-": 2, "_": 3}, {}, ["'é', '-', '_'"]),
        ({"a b": 1, "a.b": [2]}, {"PARAM_A_B": "1"}, []),
        ({"a=b": 1, "LD_PRELOAD": "x"}, {"PARAM_A_B": "1", "PARAM_LD_PRELOAD": "x"}, []),
        ({"none": None, "yes": True}, {"PARAM_NONE": "", "PARAM_YES": "true"}, []),
        ({"wide": "w" * (MAX_VARIABLE_BYTES + 1)}, {}, ["'wide' is too large for PARAM_WIDE", "TASK_PARAMETERS_FILE"]),
    ],
)
def test_parameters_as_variables(
    tmp_path: Path, parameters: dict[str, Any], variables: dict[str, str], named: list[str]
) -> None:
    """One name never stands for two values, and what has no variable is named in the log."""
    context = context_of(parameters=parameters)
    environment = command_environment(context, tmp_path, "/bin")
    assert {name: value for name, value in environment.items() if name.startswith("PARAM_")} == variables
    messages = "\n".join(context.messages("warn"))
    assert all(name in messages for name in named)
    assert len(context.messages()) == len(named)


def test_parameters_of_any_size_arrive(tmp_path: Path) -> None:
    small = command_environment(context_of(parameters={"n": 2**70}), tmp_path, "/bin")
    assert small["TASK_PARAMETERS"].replace(" ", "") == f'{{"n":{2**70}}}'
    large = command_environment(context_of(parameters={"n": ["x" * 300_000]}), tmp_path, "/bin")
    assert Path(large["TASK_PARAMETERS_FILE"]).stat().st_size > 300_000
    assert "TASK_PARAMETERS" not in large


def test_a_nul_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameters, match=r"parameters\.who"):
        command_environment(context_of(parameters={"who": "a\0b"}), tmp_path, "/bin")
