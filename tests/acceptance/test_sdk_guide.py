"""The guide to tasks in Python works as printed, ports apart."""

import os
import re
import subprocess
import sys
from pathlib import Path

import cell as cells
import psutil

ROOT = Path(__file__).parents[2]


def script(cell: cells.Cell) -> str:
    """All commands of the guide, one after the other."""
    text = (ROOT / "docs" / "sdk.md").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 7
    commands = "\n".join(f"echo '=== {number}'\n{block}" for number, block in enumerate(blocks))
    commands = commands.replace("http://127.0.0.1:8083", cell.management)
    return "set -e\n" + commands.replace("http://127.0.0.1:8080", cell.api.removesuffix("/api"))


def test_the_guide_to_tasks_in_python_works_as_printed(tmp_path: Path) -> None:
    (tmp_path / ".trawl").mkdir()
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parents[1])
    with cells.running_cell(tmp_path / "cell", *cells.ALL, "gateway") as cell:
        (tmp_path / ".trawl" / "api-key").write_text(cell.api_key + "\n")
        environment = os.environ | {name: cell.shared[name] for name in cell.shared if name.endswith("_TARGET")}
        with (tmp_path / "out").open("w+") as out:
            process = subprocess.Popen(
                ["bash", "-c", script(cell)], cwd=tmp_path, env=environment, stdout=out, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
            try:
                code = process.wait(250)
            finally:
                for left in psutil.process_iter():
                    if _session(left.pid) == process.pid:
                        left.kill()
        shown = (tmp_path / "out").read_text()
        assert code == 0, shown
        parts = dict(re.findall(r"=== (\d+)\n(.*?)(?==== |\Z)", shown, re.DOTALL))
        assert '"taskName":"convert","status":"running"' in parts["3"]
        assert "{'looked_at': 3, 'attempt': 1}" in parts["4"]
        assert "info looking at table" in parts["4"]
        assert "{'product': 'chair', 'price': 5}" in parts["4"]
        assert "PERMANENT_FAILURE a rate is above zero" in parts["4"]
        assert "[0, 2, 4, 6, 8]" in parts["5"].replace(".0", "")
        # Both were asked for while it ran: it would have taken a minute and a half.
        assert '"status":"running"' in parts["6"]
        assert '"notFound":[]' in parts["6"]


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return -1
