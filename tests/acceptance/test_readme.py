"""The README's tour works as printed, address and key apart."""

import json
import re
import subprocess
from pathlib import Path

import cell as cells

ROOT = Path(__file__).parents[2]


def tour() -> list[str]:
    """The commands of the README's tour, each whole."""
    text = (ROOT / "README.md").read_text()
    block = re.search(r"## Five minutes.*?```sh\n(.*?)```", text, re.DOTALL)
    assert block is not None
    lines = [line for line in block.group(1).splitlines() if line and not line.startswith("#")]
    commands: list[str] = []
    open_quote = False
    for line in lines:
        if open_quote:
            commands[-1] += "\n" + line
        else:
            commands.append(line)
        open_quote = (open_quote + line.count("'")) % 2 == 1
    return commands


def test_the_tour_of_the_readme_works_as_printed(tmp_path: Path) -> None:
    commands = tour()
    assert commands[0].startswith("export KEY=")
    with cells.running_cell(tmp_path, *cells.ALL, "gateway") as cell:
        # Whoever has run the demonstration first has tasks and runs already.
        cell.await_run(cell.start_run(cell.create_task("earlier", "noop")))
        script = f"set -e\nexport KEY={cell.api_key} API={cell.api}\n" + "\necho\n".join(commands[1:])
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stderr
        answers = [json.loads(line) for line in done.stdout.splitlines() if line.strip()]
        assert all(answer["success"] for answer in answers), done.stdout
        run, changed, aborted, created = (answer["data"] for answer in answers)
        assert (run["status"], run["task_name"], run["result"].strip()) == ("completed", "hello", "hello world")
        assert changed["command"].startswith("sleep 600")
        assert aborted["status"] == "aborted"
        assert created["executor"] == "scrape"
