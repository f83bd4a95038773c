"""Tab-separated values: the table that CSV has, with tabs; text with a tab or line's end stands in quotes as in CSV."""

from collections.abc import Iterator

import xarray as xr

from catalog.data.tables import lay_out
from catalog.formats._separated import separated

SUFFIX = "tsv"
MEDIA_TYPE = "text/tab-separated-values; charset=utf-8"
STREAMS = True


def write(dataset: xr.Dataset) -> Iterator[bytes]:
    """Yield the rows in pieces, after a line of column names. Raises NotSubsettable as `lay_out`."""
    return separated(lay_out(dataset), "\t")
