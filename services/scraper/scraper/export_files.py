"""Tables as files, written row by row in bounded memory. Owns: CSV, Parquet and XLSX. Knows rows and columns only."""

import csv
import io
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from chassis.memory import share_heaps

from scraper.export_rows import Columns, as_kind, neutral

Json = Any
Row = Mapping[str, Json]
ROWS_FILE, COLUMNS_FILE = "rows", "columns"
BATCH_ROWS = 500
ROW_GROUP = 5_000
CHUNK_BYTES = 256 * 1024
# A sheet's limits.
SHEET_ROWS = 1_048_576
SHEET_TEXT = 32_767
MAX_EXACT_NUMBER = 2**53


@dataclass(frozen=True, slots=True)
class Table:
    """Rows in a folder, each a line of JSON with `[id, created_at, columns]`; and the columns of all of them."""

    folder: Path
    columns: Columns

    @classmethod
    def load(cls, folder: Path) -> "Table":
        """The table that lies there."""
        return cls(folder, Columns(orjson.loads((folder / COLUMNS_FILE).read_bytes())))

    def batches(self) -> Iterator[list[tuple[str, str, Row]]]:
        """Some hundred rows at a time, in order."""
        batch: list[tuple[str, str, Row]] = []
        with (self.folder / ROWS_FILE).open("rb") as file:
            for line in file:
                batch.append(orjson.loads(line))
                if len(batch) >= BATCH_ROWS:
                    yield batch
                    batch = []
        if batch:
            yield batch


def header(columns: Columns) -> list[str]:
    """The names of all columns."""
    return ["id", *columns.names, "created_at"]


def csv_chunks(table: Table) -> Iterator[bytes]:
    """The file in pieces."""
    names = table.columns.names
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([neutral(name) for name in header(table.columns)])
    for rows in table.batches():
        writer.writerows([_csv_cells(key, created, row, names) for key, created, row in rows])
        if buffer.tell() >= CHUNK_BYTES:
            yield _drain(buffer)
    yield _drain(buffer)


def _csv_cells(key: str, created: str, row: Row, names: Sequence[str]) -> list[Json]:
    return [key, *(_csv_cell(row.get(name)) for name in names), created]


def _csv_cell(value: Json) -> Json:
    if isinstance(value, bool):
        return "true" if value else "false"
    return neutral(value)


def _drain(buffer: io.StringIO) -> bytes:
    data = buffer.getvalue().encode("utf-8", "replace")
    buffer.seek(0)
    buffer.truncate()
    return data


def write_parquet(table: Table, path: Path) -> None:
    """A file whose columns have the types of their values."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "str": pa.string()}
    kinds = {name: table.columns.kind(name) for name in table.columns.names}
    schema = pa.schema([
        ("id", pa.string()), *((name, types[kind]) for name, kind in kinds.items()), ("created_at", pa.string()),
    ])  # fmt: skip
    # The default pool keeps what it once had.
    with pq.ParquetWriter(str(path), schema, compression="zstd", memory_pool=pa.system_memory_pool()) as writer:
        for rows in _grouped(table.batches()):
            arrays = [[key for key, _, _ in rows]]
            arrays += [[as_kind(row.get(name), kind) for _, _, row in rows] for name, kind in kinds.items()]
            arrays.append([created for _, created, _ in rows])
            columns = [pa.array(values, field.type) for values, field in zip(arrays, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _grouped(batches: Iterable[list[tuple[str, str, Row]]]) -> Iterator[list[tuple[str, str, Row]]]:
    group: list[tuple[str, str, Row]] = []
    for rows in batches:
        group += rows
        if len(group) >= ROW_GROUP:
            yield group
            group = []
    if group:
        yield group


def write_xlsx(table: Table, path: Path) -> None:
    """A workbook; what is too much for one sheet goes on in the next. Temporary files lie beside it."""
    import xlsxwriter

    names = table.columns.names
    options = {
        "constant_memory": True, "tmpdir": str(path.parent), "strings_to_formulas": False, "strings_to_urls": False,
        "strings_to_numbers": False, "nan_inf_to_errors": True,
    }  # fmt: skip
    book = xlsxwriter.Workbook(str(path), options)
    sheet, line = _new_sheet(book, table.columns), 1
    for rows in table.batches():
        for key, created, row in rows:
            if line >= SHEET_ROWS:
                sheet, line = _new_sheet(book, table.columns), 1
            sheet.write_string(line, 0, key)
            for column, name in enumerate(names, 1):
                if (value := row.get(name)) is not None:
                    _write_cell(sheet, line, column, value)
            sheet.write_string(line, len(names) + 1, created)
            line += 1
    book.close()


def _new_sheet(book: Any, columns: Columns) -> Any:
    sheet = book.add_worksheet()
    for column, name in enumerate(header(columns)):
        sheet.write_string(0, column, str(neutral(name))[:SHEET_TEXT])
    return sheet


def _write_cell(sheet: Any, line: int, column: int, value: Json) -> None:
    if isinstance(value, bool):
        sheet.write_boolean(line, column, value)
    elif isinstance(value, int | float) and abs(value) <= MAX_EXACT_NUMBER:
        sheet.write_number(line, column, value)
    else:
        # A sheet's numbers are doubles: what they can't hold exactly stays a text.
        text = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
        sheet.write_string(line, column, str(neutral(text))[:SHEET_TEXT])


WRITERS: Mapping[str, Callable[[Table, Path], None]] = {"parquet": write_parquet, "xlsx": write_xlsx}


def main(arguments: Sequence[str]) -> None:
    """`<kind> <folder> <path>`: write the table of that folder."""
    kind, folder, path = arguments
    share_heaps()
    WRITERS[kind](Table.load(Path(folder)), Path(path))


if __name__ == "__main__":
    main(sys.argv[1:])
