"""Parquet, one row a cell: the same table as CSV, in row groups, with the attributes as metadata.

Times are timestamps (µs, UTC) where they fit the usual calendar, else ISO 8601 text in the data's own
calendar; the metadata key `time_encoding` says which. Metadata key `attributes`, of the file and of each
column, is JSON.
"""

from collections.abc import Iterator

import pyarrow.parquet
import xarray as xr

from catalog.data.tables import lay_out
from catalog.formats._arrow import Rows, Sink

SUFFIX = "parquet"
MEDIA_TYPE = "application/vnd.apache.parquet"
STREAMS = True


def write(dataset: xr.Dataset) -> Iterator[bytes]:
    """Yield the rows, a row group a block. Raises NotSubsettable as `lay_out`."""
    rows = Rows(lay_out(dataset))
    sink = Sink()
    with pyarrow.parquet.ParquetWriter(sink, rows.schema, compression="zstd") as writer:
        for _, table in rows:
            writer.write_table(table)
            yield sink.drained()
    yield sink.drained()
