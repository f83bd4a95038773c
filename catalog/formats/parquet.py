"""Parquet, one row a cell: the same table as CSV, in row groups, with the attributes as metadata.

Times are timestamps (µs, UTC) where they fit the usual calendar, else ISO 8601 text in the data's own
calendar; the metadata key `time_encoding` says which. Metadata key `attributes`, of the file and of each
column, is JSON.
"""

import io
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet
import xarray as xr

from catalog.data.plain import plain_attributes
from catalog.data.tables import Block, Coordinate, Table, lay_out

SUFFIX = "parquet"
MEDIA_TYPE = "application/vnd.apache.parquet"
STREAMS = True


def write(dataset: xr.Dataset) -> Iterator[bytes]:
    """Yield the rows, a row group a block. Raises NotSubsettable as `lay_out`."""
    table = lay_out(dataset)
    columns = {coordinate.name: _column(coordinate) for coordinate in table.coordinates}
    sink = _Sink()
    blocks = table.blocks()
    first = next(blocks, None)
    schema = _schema(table, columns, first)
    with pyarrow.parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        while first is not None:
            arrays = [
                *(columns[name].take(pa.array(place)) for name, place in first.places.items()),
                *(_array(values).cast(schema.field(name).type) for name, values in first.data.items()),
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            yield sink.drained()
            first = next(blocks, None)
    yield sink.drained()


class _Sink(io.RawIOBase):
    """A file that is emptied while it is written, and keeps counting."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._written

    def write(self, piece: Any) -> int:
        data = bytes(piece)
        self._pieces.append(data)
        self._written += len(data)
        return len(data)

    def drained(self) -> bytes:
        """Return what was written since the last call."""
        found = b"".join(self._pieces)
        self._pieces.clear()
        return found


def _schema(table: Table, columns: Mapping[str, Any], block: Block | None) -> Any:
    fields = [
        pa.field(c.name, columns[c.name].type, metadata=_metadata(c.attributes)) for c in table.coordinates
    ]
    for name, variable in table.variables.items():
        values = block.data[name] if block else np.empty(0, variable.dtype)
        fields.append(pa.field(name, _array(values).type, metadata=_metadata(variable.attrs)))
    encodings = {
        "timestamp" if c.datetimes is not None else "iso8601" for c in table.coordinates if c.instants
    }
    return pa.schema(fields, {**_metadata(table.attributes), "time_encoding": ",".join(sorted(encodings))})


def _metadata(attributes: Mapping[str, Any]) -> dict[str, bytes]:
    return {"attributes": orjson.dumps(plain_attributes(attributes))}


def _column(coordinate: Coordinate) -> Any:
    if coordinate.datetimes is not None:
        return pa.array(coordinate.datetimes, pa.timestamp("us", tz="UTC"))
    if coordinate.instants is not None:
        return pa.array([instant or None for instant in coordinate.instants], pa.string())
    return _array(coordinate.values)


def _array(values: npt.NDArray[Any]) -> Any:
    if values.dtype.kind == "O":
        return pa.array(values, pa.string())
    missing = np.isnan(values) if values.dtype.kind == "f" else None
    return pa.array(values.astype(values.dtype.newbyteorder("="), copy=False), mask=missing)
