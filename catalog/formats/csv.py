"""CSV (RFC 4180, with line feeds), one row a cell: time, depth, latitude, longitude, then the variables, unpacked.

Numbers are the shortest decimals that read back as the same number of their type; a missing value is an
empty cell. Times are ISO 8601 in the data's own calendar. Text that a spreadsheet would run as a formula
gets an apostrophe first.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xarray as xr

from catalog.data.tables import Coordinate, lay_out

SUFFIX = "csv"
MEDIA_TYPE = "text/csv; charset=utf-8"
STREAMS = True
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write(dataset: xr.Dataset) -> Iterator[bytes]:
    """Yield the rows in blocks, after a line of column names. Raises NotSubsettable as `lay_out`."""
    table = lay_out(dataset)
    names = [*(coordinate.name for coordinate in table.coordinates), *table.variables]
    yield _lines([pa.array([_cell(name)]) for name in names])
    columns = {coordinate.name: _coordinate(coordinate) for coordinate in table.coordinates}
    for block in table.blocks():
        yield _lines(
            [
                *(columns[name].take(pa.array(place)) for name, place in block.places.items()),
                *(_tokens(values) for values in block.data.values()),
            ]
        )


def _cell(text: str) -> str:
    """Text as a cell that no spreadsheet runs as a formula, in quotes where RFC 4180 asks for them."""
    safe = f"'{text}" if text.startswith(_FORMULA) else text
    quoted = safe.replace('"', '""')
    return f'"{quoted}"' if any(mark in safe for mark in ',"\r\n') else safe


def _lines(columns: list[Any]) -> bytes:
    """Rows of tokens: joined by commas, each with its line's end (the text buffer of the joined column)."""
    empty = "" if len(columns) > 1 else '""'  # a line of nothing is no row to many readers
    cells = [column.fill_null(empty) for column in columns]
    if len(cells) == 1:
        cells = [pc.if_else(pc.equal(cells[0], ""), empty, cells[0])]
    rows = pc.binary_join_element_wise(pc.binary_join_element_wise(*cells, ","), "", "\n")
    _, offsets, text = rows.buffers()
    ends = np.frombuffer(offsets, np.int32)[[rows.offset, rows.offset + len(rows)]]
    return bytes(memoryview(text)[ends[0] : ends[1]])


def _coordinate(coordinate: Coordinate) -> Any:
    """A coordinate's tokens, made once."""
    if coordinate.instants is not None:
        return pa.array(coordinate.instants, pa.string())
    return _tokens(coordinate.values)


def _tokens(values: npt.NDArray[Any]) -> Any:
    if values.dtype.kind == "O":
        return pa.array([_cell(item) for item in values], pa.string())
    native = values.astype(values.dtype.newbyteorder("="), copy=False)
    return pa.array(native, mask=np.isnan(native) if native.dtype.kind == "f" else None).cast(pa.string())
