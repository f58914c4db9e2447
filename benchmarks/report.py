"""What a benchmark found, in a form that can be printed, kept and drawn. Pure: knows no benchmark, writes no file."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Cell = str | float | int | None


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of figures. The first column names the row."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, slots=True)
class Bars:
    """One panel of the plot: a bar for each label."""

    title: str
    unit: str
    values: Mapping[str, float]
    logarithmic: bool = False


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure beside what it should be: at least (or else at most) `limit`."""

    what: str
    value: float
    limit: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether it is as it should be."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclass(frozen=True, slots=True)
class Report:
    """All that one benchmark found. `rounds` is the raw material of the medians."""

    name: str
    title: str
    settings: Mapping[str, Any]
    tables: Sequence[Table]
    bars: Sequence[Bars] = ()
    goals: Sequence[Goal] = ()
    notes: Sequence[str] = ()
    rounds: Any = field(default_factory=dict)

    def to_json(self, machine: Mapping[str, object], measured: str) -> dict[str, Any]:
        """The form that is kept."""
        return {"measured": measured, "machine": dict(machine), **asdict(self)}

    @classmethod
    def of_json(cls, kept: Mapping[str, Any]) -> "Report":
        """The report that `to_json` made."""
        return cls(
            name=kept["name"],
            title=kept["title"],
            settings=kept["settings"],
            tables=[Table(**table) for table in kept["tables"]],
            bars=[Bars(**bars) for bars in kept["bars"]],
            goals=[Goal(**goal) for goal in kept["goals"]],
            notes=kept["notes"],
            rounds=kept["rounds"],
        )


def shown(value: Cell) -> str:
    """A cell as people read it: three significant digits below a hundred, whole numbers with separators above."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:,.0f}"
    if value == 0:
        return "0"
    digits = 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}" if abs(value) < 10 else f"{value:.1f}"


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a text that is broken into lines."""
    return [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]


def goals_table(goals: Sequence[Goal]) -> Table | None:
    """The goals as a table; None when there are none."""
    if not goals:
        return None
    rows = [
        [
            goal.what,
            goal.value,
            f"{'at least' if goal.at_least else 'at most'} {shown(goal.limit)}",
            "met" if goal.met else "missed",
        ]
        for goal in goals
    ]
    return Table("Goals", ("figure", "measured", "goal", ""), rows)


def markdown_table(table: Table) -> str:
    """A table in Markdown; figures are set to the right."""
    numeric = [
        bool(table.rows) and all(not isinstance(row[index], str) for row in table.rows)
        for index in range(len(table.columns))
    ]
    lines = [
        "| " + " | ".join(_cell(column) for column in table.columns) + " |",
        "|" + "|".join("---:" if right else "---" for right in numeric) + "|",
    ]
    lines += ["| " + " | ".join(_cell(shown(value)) for value in row) + " |" for row in table.rows]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
