"""A table as Arrow columns, block by block, and a file that is emptied while it is written."""

import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from catalog.data.plain import plain_attributes
from catalog.data.tables import Block, Coordinate, Table


class Rows:
    """The rows of a table as Arrow tables of one schema; they can be gone through once.

    Times are timestamps (µs, UTC) where they fit the usual calendar, else ISO 8601 text in the data's own; the schema's
    metadata key `time_encoding` says which. Key `attributes`, of the schema and of each field, is JSON.
    """

    def __init__(self, table: Table) -> None:
        self._columns = {coordinate.name: _column(coordinate) for coordinate in table.coordinates}
        self._blocks = table.blocks()
        self._first = next(self._blocks, None)
        self.schema = _schema(table, self._columns, self._first)

    def __iter__(self) -> Iterator[tuple[Block, Any]]:
        """Yield each block with its rows."""
        for block in itertools.chain([] if self._first is None else [self._first], self._blocks):
            arrays = [
                *(self._columns[name].take(pa.array(place)) for name, place in block.places.items()),
                *(_array(values).cast(self.schema.field(name).type) for name, values in block.data.items()),
            ]
            yield block, pa.Table.from_arrays(arrays, schema=self.schema)


class Sink(io.RawIOBase):
    """A file that is emptied while it is written, and keeps counting."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        """Tell that it can be written."""
        return True

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._written

    def write(self, piece: Any) -> int:
        """Keep a piece until it is drained."""
        data = bytes(piece)
        self._pieces.append(data)
        self._written += len(data)
        return len(data)

    def drained(self) -> bytes:
        """Return what was written since the last call."""
        found = b"".join(self._pieces)
        self._pieces.clear()
        return found


def decimals(values: npt.NDArray[Any], *, infinite: bool) -> Any:
    """Return numbers as the shortest decimals that read back as the same number of their type.

    NaN is null, and so are infinities where they are not wanted.
    """
    native = values.astype(values.dtype.newbyteorder("="), copy=False)
    missing = None
    if native.dtype.kind == "f":
        missing = np.isnan(native) if infinite else ~np.isfinite(native)
    return pa.array(native, mask=missing).cast(pa.string())


def joined(parts: Sequence[Any], separator: str) -> bytes:
    """Return rows of text as one: columns without nulls, or text that each row has, with a separator between."""
    rows = pc.binary_join_element_wise(*parts, separator)
    _, offsets, text = rows.buffers()
    ends = np.frombuffer(offsets, np.int32)[[rows.offset, rows.offset + len(rows)]]
    return bytes(memoryview(text)[ends[0] : ends[1]])


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
