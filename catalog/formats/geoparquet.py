"""GeoParquet 1.1: the table of Parquet, with each row's position as a WKB point in OGC:CRS84, longitudes −180…180.

Source: https://geoparquet.org/releases/v1.1.0/ (metadata key `geo`); WKB as in OGC 06-103r4, 8.2. A row without
position has no geometry. Metadata key `about` says licence, citation, source and request as JSON.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet
import xarray as xr

from catalog.data.tables import Coordinate, lay_out
from catalog.formats._arrow import Rows, Sink
from catalog.formats._credits import said
from catalog.formats._places import longitudes, positions

SUFFIX = "geoparquet"
MEDIA_TYPE = "application/vnd.apache.parquet; profile=geo"
STREAMS = True
_POINT = np.dtype([("order", "u1"), ("type", "<u4"), ("x", "<f8"), ("y", "<f8")])


def write(dataset: xr.Dataset) -> Iterator[bytes]:
    """Yield the rows, a row group a block.

    Raises:
        NotSubsettable: The data have no positions; or as `lay_out`.
    """
    table = lay_out(dataset)
    place = positions(dataset, table, "GeoParquet")
    x, y = (_numbers(coordinate) for coordinate in place)
    x = longitudes(x)
    rows = Rows(table)
    name = "geometry"
    while name in rows.schema.names:
        name += "_"
    metadata = {**rows.schema.metadata, b"geo": _geo(name, x, y), b"about": orjson.dumps(said(dataset))}
    schema = rows.schema.append(pa.field(name, pa.binary())).with_metadata(metadata)
    sink = Sink()
    with pyarrow.parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        for block, part in rows:
            points = _points(x[block.places[place[0].name]], y[block.places[place[1].name]])
            writer.write_table(pa.Table.from_arrays([*part.columns, points], schema=schema))
            yield sink.drained()
    yield sink.drained()


def _numbers(coordinate: Coordinate) -> npt.NDArray[np.float64]:
    return np.asarray(coordinate.values, np.float64)


def _geo(name: str, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> bytes:
    column: dict[str, Any] = {"encoding": "WKB", "geometry_types": ["Point"]}
    known = [values[np.isfinite(values)] for values in (x, y)]
    if all(values.size for values in known):
        column["bbox"] = [float(side(values)) for side in (np.min, np.max) for values in known]
    return orjson.dumps({"version": "1.1.0", "primary_column": name, "columns": {name: column}})


def _points(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> Any:
    """Points as WKB, little-endian, 21 bytes each; null where there is no position."""
    points = np.empty(x.size, _POINT)
    points["order"], points["type"], points["x"], points["y"] = 1, 1, x, y
    offsets = np.arange(x.size + 1, dtype=np.int32) * _POINT.itemsize
    there = np.isfinite(x) & np.isfinite(y)
    validity = None if there.all() else pa.py_buffer(np.packbits(there, bitorder="little").tobytes())
    return pa.Array.from_buffers(
        pa.binary(), x.size, [validity, pa.py_buffer(offsets), pa.py_buffer(points.tobytes())]
    )
