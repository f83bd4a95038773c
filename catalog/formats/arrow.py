"""Arrow IPC stream, one row a cell: the same columns as Parquet, with the attributes as metadata, a batch a block.

Times are timestamps (µs, UTC) where they fit the usual calendar, else ISO 8601 text in the data's own
calendar; the metadata key `time_encoding` says which. Metadata key `attributes`, of the schema and of each
field, is JSON.
"""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.ipc
import xarray as xr

from catalog.data.tables import lay_out
from catalog.formats._arrow import Rows, Sink

SUFFIX = "arrow"
MEDIA_TYPE = "application/vnd.apache.arrow.stream"
STREAMS = True


def write(dataset: xr.Dataset) -> Iterator[bytes]:
    """Yield the rows, a record batch a block. Raises NotSubsettable as `lay_out`."""
    rows = Rows(lay_out(dataset))
    sink = Sink()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        for _, table in rows:
            writer.write_table(table)
            yield sink.drained()
    yield sink.drained()
