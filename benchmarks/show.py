"""Brings reports to the terminal, to files and into the documentation. Must not know how anything was measured."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from benchmarks.report import Bars, Report, Table, goals_table, markdown_table, shown

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "docs" / "performance"
RESULTS = Path(__file__).resolve().parent / "results"
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
NOTHING = "Nothing has been kept yet: `make bench ARGS=--keep` measures and writes here."


def print_report(report: Report, console: Console) -> None:
    """Tables, goals and notes."""
    goals = goals_table(report.goals)
    for table in [*report.tables, *([goals] if goals else [])]:
        drawn = RichTable(title=f"{report.title}: {table.title}", title_justify="left")
        for index, column in enumerate(table.columns):
            text = any(isinstance(row[index], str) for row in table.rows)
            drawn.add_column(column, justify="left" if text else "right")
        for row in table.rows:
            drawn.add_row(*(shown(value) for value in row))
        console.print(drawn)
    for note in report.notes:
        console.print(f"- {note}", markup=False)


def save(report: Report, machine: Mapping[str, object], measured: str, *, keep: bool) -> Path:
    """Write the JSON, and with `keep` the plot and the documentation's results; answers the JSON's path."""
    folder = KEPT if keep else RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{report.name}.json"
    text = json.dumps(report.to_json(machine, measured), indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    if keep:
        if report.bars:
            draw(report.title, report.bars, path.with_suffix(".png"))
        render_page()
    return path


def draw(title: str, panels: Sequence[Bars], path: Path) -> None:
    """Horizontal bars, one panel beside the other."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    height = 1.2 + 0.36 * max(len(panel.values) for panel in panels)
    figure, axes = plt.subplots(1, len(panels), figsize=(4.6 * len(panels), height), squeeze=False)
    for axis, panel in zip(axes[0], panels, strict=True):
        labels = list(panel.values)
        bars = axis.barh(labels, list(panel.values.values()), color=_colours(labels))
        axis.bar_label(bars, labels=[shown(value) for value in panel.values.values()], padding=3, fontsize=8)
        axis.invert_yaxis()
        axis.margins(x=0.18)
        axis.set_title(panel.title, fontsize=9)
        axis.set_xlabel(panel.unit, fontsize=8)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        if panel.logarithmic:
            axis.set_xscale("log")
    figure.suptitle(title, fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=130, metadata={"Software": None})
    plt.close(figure)


def _colours(labels: Sequence[str]) -> list[str]:
    return ["#c44e52" if label.startswith("Trawl") else "#8c96a8" for label in labels]


def render_page(page: Path = PAGE, kept: Path = KEPT) -> None:
    """Put all kept results between the page's two marks. Raises ValueError when it hasn't them in this order."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page.name} must have {BEGIN} and then {END}")
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(kept.glob("*.json"))]
    block = "\n\n".join(section(result) for result in results) or NOTHING
    page.write_text(f"{before}{BEGIN}\n{block}\n{END}{after}", encoding="utf-8")


def section(kept: Mapping[str, Any]) -> str:
    """One kept result as a section of the page."""
    report, machine = Report.of_json(kept), kept["machine"]
    settings = ", ".join(f"{name} {value:,g}" for name, value in report.settings.items())
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    goals = goals_table(report.goals)
    place = f"{machine['cores']} cores, {machine['memory_gb']} GB, Python {machine['python']}, {packages}"
    parts = [f"### {report.title}", f"`{report.name}`, {kept['measured']}; {place}; {settings}."]
    if report.bars:
        parts.append(f"![{report.title}](performance/{report.name}.png)")
    parts += [_titled(table) for table in report.tables]
    if goals:
        parts.append(_titled(goals))
    if report.notes:
        parts.append("\n".join(f"- {note}" for note in report.notes))
    return "\n\n".join(parts)


def _titled(table: Table) -> str:
    return f"**{table.title}**\n\n{markdown_table(table)}"
