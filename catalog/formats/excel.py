"""Excel workbook of a small table: sheet `data` as CSV has it, sheet `about` with licence, citation, source and more.

Numbers are unpacked, text is only ever text (no formula, no link), a missing value is an empty cell. Times are dates of
Excel where all are whole seconds since March 1900 of the usual calendar, else ISO 8601 text in the data's own calendar.
"""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data.plain import plain_attributes, words
from catalog.data.tables import Coordinate, Table, lay_out
from catalog.errors import NotSubsettable, TooLarge
from catalog.formats._credits import described, said
from catalog.formats._fields import ranges

SUFFIX = "xlsx"
MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
STREAMS = False
MOST_ROWS = 100_000
MOST_CELLS = 1_000_000
"""What a workbook may hold: beyond it Excel is slow, and the file, which is made in memory, large."""

_LONGEST = 32_767  # characters of a cell
_EXACT = 2**53
_FIRST_DATE = np.datetime64("1900-03-01", "us")  # Excel counts a 29 February 1900
_EMPTY = (None, "")


def write(dataset: xr.Dataset) -> Iterator[bytes]:
    """Yield the workbook.

    Raises:
        TooLarge: It has more than 100,000 rows or a million cells.
        NotSubsettable: A text is longer than a cell; or as `lay_out`.
    """
    import xlsxwriter  # noqa: PLC0415 - only who writes a workbook waits for it

    table = lay_out(dataset)
    _check(table)
    file = io.BytesIO()
    # in memory, because its temporary files would stay behind a process that is killed
    book = xlsxwriter.Workbook(
        file, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    )
    book.set_properties({"title": words(dataset.attrs.get("title", ""))[:250], "comments": "Bien Mo"})
    bold = book.add_format({"bold": True})
    date = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
    data = book.add_worksheet("data", _exact(xlsxwriter.worksheet.Worksheet))
    _fill(data, table, bold, date)
    _tell(book.add_worksheet("about"), dataset, table, bold)
    book.close()
    yield file.getvalue()


def _exact(sheet: Any) -> Any:
    """The kind of sheet whose numbers read back the same: xlsxwriter writes 16 digits, and a double may need 17."""

    def number(self: Any, value: float, attributes: Any = None) -> None:
        marks = "".join(f' {key}="{text}"' for key, text in attributes or ())
        self.fh.write(f"<c{marks}><v>{value!r}</v></c>")

    return type("Exact", (sheet,), {"_xml_number_element": number})


def _check(table: Table) -> None:
    rows = int(np.prod(list(table.sizes.values()), dtype=object))
    cells = rows * (len(table.coordinates) + len(table.variables))
    if rows > MOST_ROWS or cells > MOST_CELLS:
        raise TooLarge(
            f"a workbook holds {MOST_ROWS} rows and {MOST_CELLS} cells, and this would be {rows} and {cells}",
            hint="ask for less (a smaller box, fewer times or variables), or for CSV or Parquet",
            details={"limit": MOST_ROWS, "asked": rows},
        )


def _fill(sheet: Any, table: Table, bold: Any, date: Any) -> None:
    columns = [_column(coordinate) for coordinate in table.coordinates]
    names = [*(coordinate.name for coordinate in table.coordinates), *table.variables]
    for position, name in enumerate(names):
        sheet.write_string(0, position, name[:_LONGEST], bold)
    sheet.freeze_panes(1, 0)
    sheet.set_column(0, len(names) - 1, 14)
    for position, (_, dated) in enumerate(columns):
        if dated:
            sheet.set_column(position, position, 19, date)
    first = 1
    for block in table.blocks():
        for position, (values, _) in enumerate(columns):
            _write(sheet, first, position, [values[at] for at in block.places[names[position]].tolist()])
        for position, numbers in enumerate(block.data.values(), len(columns)):
            _write(sheet, first, position, _cells(numbers))
        first += next(iter(block.places.values())).size


def _write(sheet: Any, first: int, position: int, values: list[Any]) -> None:
    """Write a column's values below one another, text as text and numbers as numbers."""
    for row, value in enumerate(values, first):
        if value in _EMPTY or value != value:  # noqa: PLR0124 - NaN, with an empty cell for it
            continue
        if isinstance(value, str):
            if len(value) > _LONGEST:
                raise NotSubsettable(
                    f"a cell of Excel holds {_LONGEST} characters", hint="ask for CSV or NetCDF"
                )
            sheet.write_string(row, position, value)
        else:
            sheet.write_number(row, position, value)


def _cells(values: npt.NDArray[Any]) -> list[Any]:
    """Values as Excel holds them: numbers beyond its own, which are doubles, are text."""
    if values.dtype.kind == "f" and not np.isinf(values).any():
        # the shortest decimals of a float32, not its binary digits
        return [float(item) for item in values.astype(str)] if values.dtype.itemsize < 8 else values.tolist()  # noqa: PLR2004
    found: list[Any] = values.tolist()
    return [str(item) if isinstance(item, int | float) and abs(item) > _EXACT else item for item in found]


def _column(coordinate: Coordinate) -> tuple[list[Any], bool]:
    """A coordinate's values as cells, and whether they are dates."""
    times = coordinate.datetimes
    if times is not None:
        known = times[~np.isnat(times)]
        if known.size and (known >= _FIRST_DATE).all() and not (known.astype(np.int64) % 1_000_000).any():
            days: list[Any] = ((times - np.datetime64("1899-12-30", "us")) / np.timedelta64(1, "D")).tolist()
            return days, True
    if coordinate.instants is not None:
        return list(coordinate.instants), False
    return _cells(coordinate.values), False


def _tell(sheet: Any, dataset: xr.Dataset, table: Table, bold: Any) -> None:
    """Write what the data are, from whom, and under which terms."""
    sheet.set_column(0, 1, 24)
    sheet.set_column(2, 2, 100)
    lines: list[tuple[str, str, str]] = [("about", name, text) for name, text in said(dataset).items()]
    lines += [("dataset", name, words(value)) for name, value in plain_attributes(table.attributes).items()]
    columns = [(c.name, c.attributes) for c in table.coordinates]
    for name, attributes in (*columns, *((n, v.attrs) for n, v in table.variables.items())):
        lines += [(name, key, words(value)) for key, value in described(attributes).items()]
    for coordinate in table.coordinates:
        ends = ranges(dataset, coordinate.name)
        lines += [(coordinate.name, "first – last", text) for text in ends]
    for position, label in enumerate(("of", "name", "value")):
        sheet.write_string(0, position, label, bold)
    for row, line in enumerate(lines, 1):
        for position, text in enumerate(line):
            sheet.write_string(row, position, text[:_LONGEST])
